package projection

import "context"

// Sweep is what a supervisor does that has seen a generation being dropped, however long ago.
func (r *Runner) Sweep(ctx context.Context, name string, generation int, tenant string) error {
	t := r.tracks[name]
	id := build{Projection: name, Generation: generation}.identity(t)
	_, err := id.sweep(ctx, r.params.Pool, t.projection.Tables(), tenant)
	return err
}

// Finish is what a supervisor does that has seen a generation being filled, however long ago.
func (r *Runner) Finish(ctx context.Context, name string, generation int) error {
	return r.flip(ctx, r.tracks[name], build{Projection: name, Generation: generation, State: Filling})
}
