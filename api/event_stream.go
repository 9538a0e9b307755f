package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/readmodel"
)

// How a stream of events paces itself.
const (
	// heartbeatEvery is how often a quiet stream says that it is there; proxies cut what is silent for a
	// minute.
	heartbeatEvery = 15 * time.Second
	// streamWrite is how long a reader may take for what is written to it.
	streamWrite = 30 * time.Second
	streamBatch = 200 // events that are read at once
)

// eventStream follows a tenant's log for one reader, as Server-Sent Events (HTML Living Standard, 9.2).
// Positions are dense and in commit order, so a reader that resumes behind the last id misses nothing.
type eventStream struct {
	*server
	tenant domain.Tenant
	filter readmodel.EventFilter // After is where it stands
	w      io.Writer
	flush  *http.ResponseController // nil where nothing can be flushed
}

// streamEvents begins where the reader left: behind Last-Event-ID, else behind after, else at the end.
func (s *server) streamEvents(ctx context.Context, model domain.ModelID, in EventFilter) (*huma.StreamResponse, error) {
	tenant := callerOf(ctx).Tenant
	last, err := s.Reader.LastPosition(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // it goes on after the handler's context
		address := hc.URL()
		filter := in.of(model)
		switch {
		case hc.Header("Last-Event-ID") != "":
			filter.After = in.LastEventID
		case !address.Query().Has("after"):
			filter.After = last
		}
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no") // for nginx, which else keeps it back
		hc.SetHeader("Phantom-Position", number(filter.After))
		stream := &eventStream{server: s, tenant: tenant, filter: filter, w: hc.BodyWriter()}
		if writer, ok := stream.w.(http.ResponseWriter); ok {
			stream.flush = http.NewResponseController(writer)
		}
		if err := stream.run(hc.Context()); err != nil && hc.Context().Err() == nil {
			s.log.Warn("a stream of events broke off; its reader resumes", zap.String("request_id", requestID(hc.Context())), zap.Error(err))
		}
	}}, nil
}

// run writes until the reader leaves or the process is to end.
func (e *eventStream) run(ctx context.Context) error {
	news := e.Tail.News()
	defer news.Close()
	if err := e.write(": the log from " + number(e.filter.After) + " on\n\n"); err != nil {
		return err
	}
	if err := e.past(ctx); err != nil {
		return err
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	for {
		if news.Take()[string(e.tenant)] > e.filter.After {
			if err := e.present(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.Stopping:
			return nil
		case <-news.C():
		case <-heartbeat.C:
			if err := e.write(": heartbeat\n\n"); err != nil {
				return err
			}
		}
	}
}

// past writes what is there already, by the indexes of the log.
func (e *eventStream) past(ctx context.Context) error {
	for more := true; more; {
		found, err := e.Reader.ListEvents(ctx, e.tenant, e.filter, streamBatch)
		if err != nil {
			return err
		}
		if err := e.send(found.Items); err != nil {
			return err
		}
		if len(found.Items) > 0 {
			e.filter.After = found.Items[len(found.Items)-1].Position
		}
		if more = found.HasMore; more && e.ends(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// present writes what the followers of this process share.
func (e *eventStream) present(ctx context.Context) error {
	for !e.ends(ctx) {
		cursor := eventstore.Cursor{Tenant: string(e.tenant), After: e.filter.After}
		pages, err := e.Feed.ReadAfter(ctx, eventstore.Lifecycle, []eventstore.Cursor{cursor}, e.filter.Types, streamBatch)
		if err != nil || len(pages) == 0 {
			return err
		}
		if pages[0].Through <= e.filter.After {
			return pages[0].Err
		}
		wanted := make([]eventstore.Event, 0, len(pages[0].Events))
		for _, event := range pages[0].Events {
			if e.filter.Takes(event) {
				wanted = append(wanted, event)
			}
		}
		if err := e.send(wanted); err != nil {
			return err
		}
		e.filter.After = pages[0].Through
	}
	return ctx.Err()
}

func (e *eventStream) ends(ctx context.Context) bool {
	select {
	case <-e.Stopping:
		return true
	default:
		return ctx.Err() != nil
	}
}

func (e *eventStream) send(events []eventstore.Event) error {
	if len(events) == 0 {
		return nil
	}
	var text bytes.Buffer
	for _, event := range events {
		event.OccurredAt, event.RecordedAt = event.OccurredAt.UTC(), event.RecordedAt.UTC()
		data, err := json.Marshal(event) // on one line, whatever the event holds
		if err != nil {
			return fmt.Errorf("event %d: %w", event.Position, err)
		}
		fmt.Fprintf(&text, "id: %d\nevent: %s\ndata: %s\n\n", event.Position, event.EventType, data)
	}
	return e.write(text.String())
}

func (e *eventStream) write(text string) error {
	if e.flush != nil {
		_ = e.flush.SetWriteDeadline(time.Now().Add(streamWrite)) // where there is none, the reader's own end ends it
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	if e.flush != nil {
		_ = e.flush.Flush() // what cannot be flushed arrives at the end
	}
	return nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
