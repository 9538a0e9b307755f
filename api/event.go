package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/readmodel"
)

// EventFilter are the query parameters of a list of events.
type EventFilter struct {
	After int64     `query:"after" minimum:"0" doc:"Events after this position; the next page's is next_cursor. A stream that names none begins with what happens next"`
	Limit int       `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Events in a page; a stream has no end"`
	Types []string  `query:"type,explode" doc:"Event types; several: any of them"`
	From  time.Time `query:"from" doc:"Occurred at or after (RFC 3339)"`
	To    time.Time `query:"to" doc:"Occurred before (RFC 3339)"`

	Accept      string `header:"Accept" doc:"text/event-stream follows the log"`
	LastEventID int64  `header:"Last-Event-ID" minimum:"0" doc:"The position that a broken stream had reached; comes before after"` //nolint:tagliatelle // the name of the HTML standard
}

type modelEvents struct {
	ModelPath
	EventFilter
}

func (s *server) events(api huma.API) {
	byModel := operation("list-model-events", http.MethodGet, "/api/v1/models/{model_id}/events",
		"List the events of a model, its trainings and rollouts, in log order, or follow them", "events")
	describeEvents(api, &byModel)
	handle(s, api, byModel, func(ctx context.Context, in *modelEvents) (*huma.StreamResponse, error) {
		if err := s.modelExists(ctx, in.id()); err != nil {
			return nil, err
		}
		return s.listEvents(ctx, in.id(), in.EventFilter)
	})
	all := operation("list-events", http.MethodGet, "/api/v1/events", "List the events of the lifecycle log, or follow them", "events")
	describeEvents(api, &all)
	handle(s, api, all, func(ctx context.Context, in *EventFilter) (*huma.StreamResponse, error) {
		return s.listEvents(ctx, "", *in)
	})
}

// describeEvents says what huma cannot see behind a stream.
func describeEvents(api huma.API, op *huma.Operation) {
	op.Responses = map[string]*huma.Response{"200": {
		Description: "A page of events; or, for Accept: text/event-stream, Server-Sent Events without end: id is the position, event the type, data the event",
		Headers: map[string]*huma.Param{"Phantom-Position": {
			Description: "The position of the log that the answer has at least seen", Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64"},
		}},
		Content: map[string]*huma.MediaType{
			"application/json":  {Schema: api.OpenAPI().Components.Schemas.Schema(typeOf[page[eventstore.Event]](), true, "")},
			"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}},
		},
	}}
}

// modelExists asks the log, which a read model may be behind.
func (s *server) modelExists(ctx context.Context, id domain.ModelID) error {
	model, err := s.Registry.Model(ctx, callerOf(ctx).Tenant, id)
	if err == nil && !model.Exists() {
		err = &domain.NotFound{Kind: "model", ID: string(id)}
	}
	return err
}

func (s *server) listEvents(ctx context.Context, model domain.ModelID, in EventFilter) (*huma.StreamResponse, error) {
	if strings.Contains(in.Accept, "text/event-stream") {
		return s.streamEvents(ctx, model, in)
	}
	found, err := s.Reader.ListEvents(ctx, callerOf(ctx).Tenant, in.of(model), in.Limit)
	if err != nil {
		return nil, err
	}
	answer := pageOf(found)
	text, err := json.Marshal(answer.Body)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetHeader("Phantom-Position", number(answer.Position))
		_, _ = hc.BodyWriter().Write(append(text, '\n')) // a caller who left hears nothing
	}}, nil
}

func (f EventFilter) of(model domain.ModelID) readmodel.EventFilter {
	return readmodel.EventFilter{ModelID: model, Types: f.Types, From: f.From, To: f.To, After: f.After}
}
