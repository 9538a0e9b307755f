package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

// defaultRange is how far back analytics look when nobody says from when.
const defaultRange = 24 * time.Hour

// InferenceFreshness is Freshness of the other log.
type InferenceFreshness struct {
	MinPosition int64 `header:"Phantom-Min-Position" minimum:"0" doc:"Wait until the answer has seen this position of the inference log (not the lifecycle log's, which other answers carry); 503 after 10 s"`
}

type analyticsGet struct {
	ModelPath
	InferenceFreshness

	From   time.Time `query:"from" doc:"Inferences made at or after (RFC 3339); default: 24 hours before to"`
	To     time.Time `query:"to" doc:"Inferences made before (RFC 3339); default: now"`
	Bucket string    `query:"bucket" enum:"1m,5m,15m,30m,1h,6h,12h,1d" default:"1h" doc:"The size of a bucket of time; the range is widened to whole ones"`
}

// analyticsAnswer has a position of the inference log: Phantom-Position of other answers is the lifecycle log's.
type analyticsAnswer struct {
	Position int64 `header:"Phantom-Position" doc:"The position of the inference log that the answer has at least seen"`
	Body     readmodel.Analytics
}

func (s *server) analytics(api huma.API) {
	op := operation("get-model-analytics", http.MethodGet, "/api/v1/models/{model_id}/analytics",
		"What was measured of a model's inferences over a range of time, by version and target", "models")
	op.Description = "Positions of this answer, and its Phantom-Min-Position, are the inference log's. A label counts in the bucket of its inference, however late it comes. " +
		"A range of more than 1,500 buckets is refused (422)."
	handle(s, api, op, s.getAnalytics)
}

func (s *server) getAnalytics(ctx context.Context, in *analyticsGet) (*analyticsAnswer, error) {
	if err := s.reached(ctx, readmodel.InferenceAnalyticsName, in.MinPosition); err != nil {
		return nil, err
	}
	asked := readmodel.AnalyticsRange{From: in.From, To: in.To, Bucket: bucketSize(in.Bucket)}
	if asked.To.IsZero() {
		asked.To = time.Now()
	}
	if asked.From.IsZero() {
		asked.From = asked.To.Add(-defaultRange)
	}
	found, err := s.Reader.Analytics(ctx, callerOf(ctx).Tenant, in.id(), asked)
	if bad, ok := errors.AsType[*domain.InvalidInput](err); ok {
		return nil, param(bad.Field, bad.Reason)
	}
	if err != nil {
		return nil, err
	}
	found.Bucket = in.Bucket
	return &analyticsAnswer{Position: found.Position, Body: found}, nil
}

// bucketSize reads one of the sizes that the operation takes.
func bucketSize(text string) time.Duration {
	if text == "1d" {
		return 24 * time.Hour
	}
	size, err := time.ParseDuration(text)
	if err != nil {
		return 0 // which the reader refuses
	}
	return size
}
