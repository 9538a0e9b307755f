package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/readmodel"
)

// EventFilter are the query parameters of a list of events.
type EventFilter struct {
	After int64     `query:"after" minimum:"0" doc:"Events after this position; the next page's is next_cursor"`
	Limit int       `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Types []string  `query:"type,explode" doc:"Event types; several: any of them"`
	From  time.Time `query:"from" doc:"Occurred at or after (RFC 3339)"`
	To    time.Time `query:"to" doc:"Occurred before (RFC 3339)"`
}

type modelEvents struct {
	ModelPath
	EventFilter
}

func (s *server) events(api huma.API) {
	handle(s, api, operation("list-model-events", http.MethodGet, "/api/v1/models/{model_id}/events",
		"List the events of a model, its trainings and rollouts, in log order", "events"),
		func(ctx context.Context, in *modelEvents) (*list[eventstore.Event], error) {
			answer, err := s.listEvents(ctx, in.id(), in.EventFilter)
			if err != nil {
				return nil, err
			}
			return answer, s.modelExists(ctx, in.id(), len(answer.Body.Items))
		})
	handle(s, api, operation("list-events", http.MethodGet, "/api/v1/events", "List the events of the lifecycle log", "events"),
		func(ctx context.Context, in *EventFilter) (*list[eventstore.Event], error) {
			return s.listEvents(ctx, "", *in)
		})
}

// modelExists is modelThere for the log, which a read model may be behind.
func (s *server) modelExists(ctx context.Context, id domain.ModelID, items int) error {
	if items > 0 {
		return nil
	}
	model, err := s.Registry.Model(ctx, callerOf(ctx).Tenant, id)
	if err == nil && !model.Exists() {
		err = &domain.NotFound{Kind: "model", ID: string(id)}
	}
	return err
}

func (s *server) listEvents(ctx context.Context, model domain.ModelID, in EventFilter) (*list[eventstore.Event], error) {
	found, err := s.Reader.ListEvents(ctx, callerOf(ctx).Tenant, readmodel.EventFilter{
		ModelID: model, Types: in.Types, From: in.From, To: in.To, After: in.After,
	}, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(found), nil
}
