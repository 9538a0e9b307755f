package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
)

// ProjectionPath is the part of a path that names a projection.
type ProjectionPath struct {
	Name string `path:"name" doc:"The projection"`
}

// Projection is a read model in the making, as a tenant sees it: positions are of its own log.
type Projection struct {
	Name           string                  `json:"name"`
	Log            eventstore.Log          `json:"log" enum:"lifecycle,inference" doc:"What it follows"`
	State          projectionState         `json:"state" enum:"running,paused,rebuilding"`
	PausedAt       *time.Time              `json:"paused_at"`
	PauseReason    string                  `json:"pause_reason"`
	Generation     int                     `json:"generation" doc:"The one that answers questions"`
	Position       int64                   `json:"position" doc:"Of the log: up to here it is applied or parked"`
	Head           int64                   `json:"head" doc:"The log's last position"`
	Lag            int64                   `json:"lag" doc:"Positions between the two"`
	Parked         int64                   `json:"parked" doc:"Events that wait for a retry"`
	LastError      string                  `json:"last_error" doc:"Why it does not move; empty when it does"`
	StoppedAt      *int64                  `json:"stopped_at" doc:"The position of the event that it cannot pass"`
	LastProgressAt *time.Time              `json:"last_progress_at"`
	Generations    []projection.Generation `json:"generations" nullable:"false" doc:"Of all tenants"`
}

type projectionState string

const (
	projectionRunning    projectionState = "running"
	projectionPaused     projectionState = "paused"
	projectionRebuilding projectionState = "rebuilding"
)

type parkedList struct {
	ProjectionPath
	Paging
}

type pauseProjection struct {
	ProjectionPath

	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"For whoever wonders why; every tenant reads it"`
	}
}

type rewindProjection struct {
	ProjectionPath

	Body struct {
		Position int64 `json:"position" minimum:"0" doc:"Of the log; what came after it is applied again"`
	}
}

type rebuildProjection struct {
	ProjectionPath

	IdempotencyKey string `header:"Idempotency-Key" doc:"The same key with the same body happens once, and is answered with how the projection is then; with another body it is 422 idempotency_mismatch"`

	Body *struct {
		Throttle *int `json:"throttle,omitempty" minimum:"0" maximum:"1000000" doc:"Events a second at most, 0 for no limit; of a rebuild that is under way, too"`
		Back     bool `json:"back,omitempty" doc:"Make the former generation live again, at once"`
		Drop     bool `json:"drop,omitempty" doc:"Give up the rebuild that is under way, or else the former generation"`
	}
}

type retryProjection struct {
	ProjectionPath

	Body *struct {
		AggregateType string `json:"aggregate_type,omitempty" doc:"With aggregate_id: only what is parked with this stream"`
		AggregateID   string `json:"aggregate_id,omitempty"`
	}
}

func (s *server) projections(api huma.API) {
	const all, one = "/api/v1/projections", "/api/v1/projections/{name}"
	op := func(id, method, path, summary string) huma.Operation {
		return operation(id, method, path, summary, "projections")
	}
	handle(s, api, op("list-projections", http.MethodGet, all, "List the projections: what the read models are made by"), s.listProjections)
	handle(s, api, op("get-projection", http.MethodGet, one, "Get a projection"),
		func(ctx context.Context, in *ProjectionPath) (*item[Projection], error) {
			return s.projection(ctx, in.Name)
		})
	handle(s, api, op("list-parked", http.MethodGet, one+"/parked", "List the streams with events that could not be applied"), s.listParked)
	handle(s, api, op("pause-projection", http.MethodPost, one+"/pause", "Stop a projection, of all tenants"), s.pauseProjection)
	handle(s, api, op("resume-projection", http.MethodPost, one+"/resume", "Let a paused projection go on"),
		func(ctx context.Context, in *ProjectionPath) (*item[Projection], error) {
			return s.steered(ctx, in.Name, s.Projections.Resume(ctx, in.Name))
		})
	handle(s, api, op("rewind-projection", http.MethodPost, one+"/rewind", "Apply again what came after a position of the tenant's log"),
		func(ctx context.Context, in *rewindProjection) (*item[Projection], error) {
			return s.steered(ctx, in.Name, s.Projections.Rewind(ctx, in.Name, string(callerOf(ctx).Tenant), in.Body.Position))
		})
	rebuild := op("rebuild-projection", http.MethodPost, one+"/rebuild", "Fill a new generation beside the live one, which it replaces once it has caught up; of all tenants")
	rebuild.DefaultStatus = http.StatusAccepted
	handle(s, api, rebuild, s.rebuildProjection)
	handle(s, api, op("retry-projection", http.MethodPost, one+"/retry", "Apply the tenant's parked events, in order"), s.retryProjection)
}

func (s *server) listProjections(ctx context.Context, _ *struct{}) (*list[Projection], error) {
	all, err := s.Projections.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	var found readmodel.Page[Projection]
	for _, status := range all {
		found.Items = append(found.Items, s.shown(ctx, status))
	}
	return pageOf(found), nil
}

func (s *server) projection(ctx context.Context, name string) (*item[Projection], error) {
	status, err := s.Projections.Status(ctx, name)
	if err != nil {
		return nil, err
	}
	p := s.shown(ctx, status)
	return &item[Projection]{Position: p.Position, Body: p}, nil
}

// shown is a projection as the caller may see it: of other tenants, how far all are together; how much they hold and what
// they park is for operators.
func (s *server) shown(ctx context.Context, status projection.Status) Projection {
	p := projectionOf(status.Of(string(callerOf(ctx).Tenant)))
	if !s.operates(ctx) {
		for i := range p.Generations {
			p.Generations[i].Rate, p.Generations[i].Hidden = nil, nil
		}
	}
	return p
}

// projectionOf is the status of one tenant alone.
func projectionOf(s projection.Status) Projection {
	p := Projection{
		Name: s.Projection, Log: s.Log, State: projectionRunning, PausedAt: utc(s.PausedAt), PauseReason: s.PauseReason,
		Generation: s.Generation, Lag: s.Lag, Parked: s.Parked, LastError: s.LastError, LastProgressAt: utc(s.LastProgressAt),
		Generations: s.Generations,
	}
	for _, tenant := range s.Tenants {
		p.Position, p.Head, p.StoppedAt = tenant.Position, tenant.Head, tenant.StoppedAt
	}
	for _, g := range s.Generations {
		if g.State == projection.Filling {
			p.State = projectionRebuilding
		}
	}
	if s.PausedAt != nil {
		p.State = projectionPaused
	}
	return p
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	in := t.UTC()
	return &in
}

// steered answers with the projection as it is after it was told something.
func (s *server) steered(ctx context.Context, name string, err error) (*item[Projection], error) {
	if err != nil {
		return nil, err
	}
	return s.projection(ctx, name)
}

func (s *server) listParked(ctx context.Context, in *parkedList) (*list[projection.ParkedStream], error) {
	after, err := strconv.ParseInt(cmp.Or(in.Cursor, "0"), 10, 64)
	if err != nil {
		return nil, param("cursor", "is not a next_cursor of this list; start again without it")
	}
	streams, err := s.Projections.Parked(ctx, in.Name, string(callerOf(ctx).Tenant), after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	found := readmodel.Page[projection.ParkedStream]{Items: streams}
	if len(streams) > in.Limit {
		found.Items, found.HasMore = streams[:in.Limit], true
		found.NextCursor = strconv.FormatInt(streams[in.Limit-1].Position, 10)
	}
	return pageOf(found), nil
}

func (s *server) pauseProjection(ctx context.Context, in *pauseProjection) (*item[Projection], error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return s.steered(ctx, in.Name, s.Projections.Pause(ctx, in.Name, reason))
}

func (s *server) rebuildProjection(ctx context.Context, in *rebuildProjection) (*item[Projection], error) {
	var ask projection.RebuildRequest
	if in.Body != nil {
		ask = projection.RebuildRequest{Throttle: in.Body.Throttle, Back: in.Body.Back, Drop: in.Body.Drop}
	}
	m, err := meta(ctx, WriteHeaders{IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	ask.Once = projection.Once{Tenant: string(callerOf(ctx).Tenant), ID: m.CommandID}
	return s.steered(ctx, in.Name, s.Projections.Regenerate(ctx, in.Name, ask))
}

func (s *server) retryProjection(ctx context.Context, in *retryProjection) (*item[projection.Retried], error) {
	var stream eventstore.Stream
	if in.Body != nil {
		stream = eventstore.Stream{Type: in.Body.AggregateType, ID: in.Body.AggregateID}
	}
	if (stream.Type == "") != (stream.ID == "") {
		return nil, param("body", "names a stream by aggregate_type and aggregate_id, or none")
	}
	done, err := s.Projections.Retry(ctx, in.Name, string(callerOf(ctx).Tenant), stream)
	if err != nil {
		return nil, err
	}
	return &item[projection.Retried]{Body: done}, nil
}
