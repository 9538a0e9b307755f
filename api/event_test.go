package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/api"
	"phantom/domain"
)

// sse is one event of a stream.
type sse struct {
	id   int64
	kind string
	data object
}

// stream is a reader of Server-Sent Events.
type stream struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
	leave    context.CancelFunc
}

func (h *house) stream(path string, header map[string]string) *stream {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+path, http.NoBody)
	require.NoError(h.t, err)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set(api.HeaderTenant, string(h.tenant))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := h.http.Do(r)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = response.Body.Close(); cancel() })
	require.Equal(h.t, http.StatusOK, response.StatusCode)
	require.Equal(h.t, "text/event-stream", response.Header.Get("Content-Type"))
	return &stream{t: h.t, response: response, lines: bufio.NewScanner(response.Body), leave: cancel}
}

// next waits for an event.
func (s *stream) next() sse {
	s.t.Helper()
	var e sse
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			id, err := strconv.ParseInt(value, 10, 64)
			require.NoError(s.t, err)
			e.id = id
		case "event":
			e.kind = value
		case "data":
			require.NoError(s.t, json.Unmarshal([]byte(value), &e.data))
			require.EqualValues(s.t, e.id, e.data["position"])
			require.Equal(s.t, e.kind, e.data["event_type"])
			return e
		}
	}
	require.Fail(s.t, "the stream ended", "%v", s.lines.Err())
	return e
}

func (h *house) describe(id domain.ModelID, description string) domain.Result {
	h.t.Helper()
	return h.handle(domain.UpdateModelMetadata{ModelID: id, Description: &description})
}

func (h *house) create(id domain.ModelID) domain.Result {
	h.t.Helper()
	return h.handle(domain.CreateModel{ModelID: id, Name: "N", ModelType: "t", Algorithm: "a"})
}

func TestEventsAreFollowedAndResumed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("digits")
	live := h.stream("/api/v1/events", nil)
	require.Equal(t, "1", live.response.Header.Get("Phantom-Position"))
	h.describe("digits", "one")
	first := live.next()
	require.Equal(t, int64(2), first.id, "without after it begins with what happens next")
	require.Equal(t, "ModelMetadataUpdated", first.kind)
	live.leave()

	h.create("other")
	h.describe("digits", "two")
	resumed := h.stream("/api/v1/events?after=0", map[string]string{"Last-Event-ID": strconv.FormatInt(first.id, 10)})
	require.Equal(t, int64(3), resumed.next().id)
	require.Equal(t, int64(4), resumed.next().id)
	whole := h.stream("/api/v1/events?after=0&type=ModelCreated", nil)
	require.Equal(t, int64(1), whole.next().id)
	require.Equal(t, int64(3), whole.next().id)
	h.describe("digits", "three")
	h.create("third")
	require.Equal(t, int64(6), whole.next().id, "only the type, also live")
	require.Equal(t, int64(5), resumed.next().id)
}

func TestEventsOfAModelAreFollowed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.create("digits")
	h.create("digits2")
	of := h.stream("/api/v1/models/digits/events?after=0", nil)
	require.Equal(t, int64(1), of.next().id)
	h.describe("digits2", "other")
	h.describe("digits", "mine")
	require.Equal(t, int64(4), of.next().id)
	h.do(request{path: "/api/v1/models/none/events", header: map[string]string{"Accept": "text/event-stream"}}).
		problem(http.StatusNotFound, "not_found")
	h.do(request{path: "/api/v1/events", header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "x"}}).
		problem(http.StatusUnprocessableEntity, "invalid_input")
}

func TestAStreamIsOfOneTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	foreign := h.stream("/api/v1/events?after=0", map[string]string{api.HeaderTenant: "stranger"})
	h.create("digits")
	h.do(request{method: http.MethodPost, path: "/api/v1/models", body: digits(), header: map[string]string{api.HeaderTenant: "stranger"}}).as(http.StatusCreated)
	require.Equal(t, "stranger", foreign.next().data["tenant_id"])
}

// When the process is to end a stream ends well, and at once.
func TestAStreamEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	h := newHouse(t, func(_ *house, p *api.Params) { p.Stopping = stopping })
	h.create("digits")
	s := h.stream("/api/v1/events?after=0", nil)
	s.next()
	began := time.Now()
	close(stopping)
	for s.lines.Scan() {
		require.Empty(t, s.lines.Text())
	}
	require.NoError(t, s.lines.Err())
	require.Less(t, time.Since(began), patience/2)
}
