package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"phantom/domain"
	"phantom/eventstore"
)

// Moment asks for the past.
type Moment struct {
	AsOf string `query:"as_of" doc:"A position of the log, or a time (RFC 3339): the answer as it was then"`
}

// ModelMoment asks for the past of what is one model's.
type ModelMoment struct {
	Moment

	AtRevision int64 `query:"at_revision" minimum:"0" doc:"The answer as it was right after this revision of the model"`
}

// modelPosition is the place in the log that a ModelMoment means, which the projection has then seen; 0
// means now.
func (s *server) modelPosition(ctx context.Context, id domain.ModelID, m ModelMoment, projection string) (int64, error) {
	switch {
	case m.AtRevision > 0 && m.AsOf != "":
		return 0, param("at_revision", "cannot be given with as_of")
	case m.AtRevision > 0:
		return s.revisionPosition(ctx, id, m.AtRevision, projection)
	default:
		return s.position(ctx, m.Moment, projection)
	}
}

// moment is the position that a read of one model is about, once every projection has seen it and what the reader needs.
func (s *server) moment(ctx context.Context, f Freshness, of ModelPath, m ModelMoment, projections ...string) (int64, error) {
	var asOf int64
	for _, projection := range projections {
		err := s.fresh(ctx, f, projection)
		switch {
		case err != nil:
		case asOf > 0:
			err = s.reached(ctx, projection, asOf)
		default:
			asOf, err = s.modelPosition(ctx, of.id(), m, projection)
		}
		if err != nil {
			return 0, err
		}
	}
	return asOf, nil
}

// wantPresent refuses a question about the past where only the present is known.
func wantPresent(ctx huma.Context, next func(huma.Context)) {
	address := ctx.URL()
	asked := address.Query()
	for _, name := range []string{"as_of", "at_revision"} {
		known := slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool { return p.Name == name && p.In == "query" })
		if asked.Has(name) && !known {
			_, w := humago.Unwrap(ctx)
			write(w, problem(http.StatusBadRequest, CodeAsOfNotSupported, name+": this answer is only of now; leave it out",
				ProblemField{Pointer: name, Detail: "is not supported here"}))
			return
		}
	}
	next(ctx)
}

// position is the place in the log that a Moment means, which the projection has then seen; 0 means now.
// A time before the tenant's first event is a *domain.NotFound.
func (s *server) position(ctx context.Context, m Moment, projection string) (int64, error) {
	if m.AsOf == "" {
		return 0, nil
	}
	position, err := strconv.ParseInt(m.AsOf, 10, 64)
	if err != nil {
		if position, err = s.positionAt(ctx, m.AsOf); err != nil {
			return 0, err
		}
	}
	if position < 1 {
		return 0, param("as_of", "must be a position from 1 on, or a time like 2026-11-23T10:00:00Z")
	}
	return position, s.reached(ctx, projection, position)
}

// positionAt is the position of the last event that was recorded at or before a time.
func (s *server) positionAt(ctx context.Context, text string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, param("as_of", "must be a position, or a time like 2026-11-23T10:00:00Z")
	}
	position, err := s.Registry.PositionAt(ctx, callerOf(ctx).Tenant, at)
	switch {
	case errors.Is(err, eventstore.ErrFuture):
		return 0, param("as_of", "must not be in the future")
	case err == nil && position == 0:
		return 0, &domain.NotFound{Kind: "any history up to", ID: text}
	}
	return position, err
}

// revisionPosition is the place in the log of a revision of a model.
func (s *server) revisionPosition(ctx context.Context, id domain.ModelID, revision int64, projection string) (int64, error) {
	position, err := s.Registry.PositionOf(ctx, callerOf(ctx).Tenant, domain.ModelStream(id), revision)
	if err == nil && position == 0 {
		if err = s.modelExists(ctx, id); err == nil {
			err = &domain.NotFound{Kind: "revision", ID: strconv.FormatInt(revision, 10) + " of model " + string(id)}
		}
	}
	if err != nil {
		return 0, err
	}
	return position, s.reached(ctx, projection, position)
}

// seen is the position that an answer stands for.
func seen(asOf, position int64) int64 {
	if asOf > 0 {
		return asOf
	}
	return position
}
