package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

const (
	defaultAnalyticsTime   = 24 * time.Hour
	defaultAnalyticsBucket = time.Hour
)

// Two projections of the lifecycle log answer here; inferences have a log, and positions, of their own.
type analyticsGet struct {
	ModelPath

	MinPosition int64  `header:"Phantom-Min-Position" minimum:"0" doc:"Wait until trainings and deployments have seen this position of the lifecycle log; 503 after 10 s. Inferences stand in a log of their own: they are not waited for"`
	From        string `query:"from" doc:"A time (RFC 3339), rounded down to a minute. Default: 24 h before to"`
	To          string `query:"to" doc:"A time (RFC 3339), rounded up to a minute. Default: now"`
	Bucket      string `query:"bucket" doc:"Whole minutes, like 15m or 1h; at most 1000 buckets. Default: 1h"`
}

func (s *server) analytics(api huma.API) {
	handle(s, api, operation("get-analytics", http.MethodGet, "/api/v1/models/{model_id}/analytics",
		"Sum up what a model answered, trained and served in a time range of at most 31 days", "models"), s.getAnalytics)
}

func (s *server) getAnalytics(ctx context.Context, in *analyticsGet) (*item[readmodel.Analytics], error) {
	filter, err := in.filter(time.Now())
	if err != nil {
		return nil, err
	}
	for _, name := range []string{readmodel.CatalogueName, readmodel.TrainingsName, readmodel.DeploymentsName} {
		if err := s.reached(ctx, name, in.MinPosition); err != nil {
			return nil, err
		}
	}
	found, err := s.Reader.GetAnalytics(ctx, callerOf(ctx).Tenant, in.id(), filter)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Analytics]{Position: found.Position, Body: found}, nil
}

// filter reads the parameters; the read model checks what they mean together.
func (in *analyticsGet) filter(now time.Time) (readmodel.AnalyticsFilter, error) {
	f := readmodel.AnalyticsFilter{To: now, Bucket: defaultAnalyticsBucket}
	var err error
	if in.To != "" {
		if f.To, err = time.Parse(time.RFC3339Nano, in.To); err != nil {
			return f, &domain.InvalidInput{Field: "to", Reason: "must be a time like 2026-11-23T10:00:00Z"}
		}
	}
	f.From = f.To.Add(-defaultAnalyticsTime)
	if in.From != "" {
		if f.From, err = time.Parse(time.RFC3339Nano, in.From); err != nil {
			return f, &domain.InvalidInput{Field: "from", Reason: "must be a time like 2026-11-23T10:00:00Z"}
		}
	}
	if in.Bucket != "" {
		if f.Bucket, err = time.ParseDuration(in.Bucket); err != nil {
			return f, &domain.InvalidInput{Field: "bucket", Reason: "must be a length of time, like 15m or 1h"}
		}
	}
	return f, nil
}
