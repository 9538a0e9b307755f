package projection

import (
	"context"

	"phantom/eventstore"
)

// What follows is done by somebody who has seen the generations of a projection, however long ago that was.

// LateSweep is a supervisor that has seen a generation being dropped.
func (r *Runner) LateSweep(ctx context.Context, name string, generation int, tenant string) error {
	id := r.seen(name, generation, Dropping)
	_, err := id.sweep(ctx, r.params.Pool, r.tracks[name].projection.Tables(), tenant)
	return err
}

// LateFinish is a supervisor that has seen a generation being filled.
func (r *Runner) LateFinish(ctx context.Context, name string, generation int) error {
	return r.flip(ctx, r.tracks[name], build{Projection: name, Generation: generation, State: Filling}, once{})
}

// LateDrop drops a generation that was in a state.
func (r *Runner) LateDrop(ctx context.Context, name string, generation int, state BuildState) error {
	return r.drop(ctx, r.tracks[name], build{Projection: name, Generation: generation, State: state}, once{})
}

// LateRewind rewinds a generation that was live.
func (r *Runner) LateRewind(ctx context.Context, name string, generation int, tenant string, to int64) error {
	return r.rewind(ctx, r.tracks[name], r.seen(name, generation, Live), tenant, to)
}

// LateRetry retries what a generation parks that was there.
func (r *Runner) LateRetry(ctx context.Context, name string, generation int, tenant string) (Retried, error) {
	s := step{params: &r.params, projection: r.tracks[name].projection, id: r.seen(name, generation, Kept)}
	return s.retry(ctx, tenant, eventstore.Stream{})
}

func (r *Runner) seen(name string, generation int, state BuildState) identity {
	return build{Projection: name, Generation: generation, State: state}.identity(r.tracks[name])
}
