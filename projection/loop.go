package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// work drives one generation of a projection: it is what a follow.Loop asks for.
type work struct {
	step

	seen *seen
	pace *rate.Limiter // of events
}

func newLoop(params *Params, t *track, generation int, pace *rate.Limiter) *follow.Loop {
	id := identity{Projection: t.projection.Name(), Log: t.projection.Log(), Generation: generation}
	w := &work{step: step{params: params, projection: t.projection, id: id}, seen: t.seen, pace: pace}
	return follow.NewLoop(follow.Params{
		Tail: params.Tails[id.Log], Sweep: params.Sweep,
		Heads: func(ctx context.Context) (map[string]int64, error) { return params.Feed.Heads(ctx, id.Log) },

		Gather: gatherOf(t.projection), Takeover: params.Takeover, Workers: params.Workers, Batch: params.Batch, Together: together, Prepare: func(task follow.Task) any { return w.prepare(task) },
		Failed: func(err error) { params.Failed(id.Projection, "", err) },
	}, w)
}

// together is how many tenants' events are applied in one transaction.
const together = 32

// How far apart a runner looks for what a tenant's log has brought while it brings more: of rows that are read back at
// once, and of others.
const (
	promptly  = 5 * time.Millisecond
	leisurely = time.Second
)

func gatherOf(p Projection) time.Duration {
	if p.Prompt() {
		return promptly
	}
	return leisurely
}

// Begin implements follow.Work.
func (w *work) Begin(ctx context.Context) ([]follow.Place, error) {
	epoch, err := w.id.takeOver(ctx, w.params.Pool)
	if err != nil {
		return nil, err
	}
	found, err := w.id.readAll(ctx, w.params.Pool)
	if err != nil {
		return nil, err
	}
	w.epoch = epoch
	w.free.Clear()
	places := make([]follow.Place, 0, len(found))
	for _, at := range found {
		if at.Parked == 0 {
			w.free.Store(at.Tenant, struct{}{})
		}
		places = append(places, follow.Place{Tenant: at.Tenant, Position: at.Position})
	}
	return places, nil
}

// Beat implements follow.Work.
func (w *work) Beat(ctx context.Context) (youngest bool, err error) {
	return w.id.beat(ctx, w.params.Pool, w.epoch)
}

// Deserted implements follow.Work.
func (w *work) Deserted(ctx context.Context, silence time.Duration) (bool, error) {
	return w.id.deserted(ctx, w.params.Pool, silence)
}

// Read implements follow.Work.
func (w *work) Read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	return w.read(ctx, cursors, limit)
}

// End implements follow.Work. What was applied is saved by then.
func (w *work) End(ctx context.Context) {
	if err := w.id.leave(ctx, w.params.Pool, w.epoch); err != nil {
		w.params.Failed(w.projection.Name(), "", err)
	}
}

// Handle implements follow.Work: it applies pages. Where there are several, it is in one transaction, and what does not work
// out so goes by itself.
func (w *work) Handle(ctx context.Context, tasks []follow.Task) []follow.Outcome {
	if len(tasks) == 1 {
		return []follow.Outcome{w.handleOne(ctx, tasks[0])}
	}
	turns := make([]*turn, len(tasks))
	for i, task := range tasks {
		turns[i] = newTurn(task.After, task.Page)
	}
	err := w.keepPace(ctx, tasks)
	if err == nil {
		err = w.apply(ctx, turns, true)
	}
	all := make([]follow.Outcome, len(tasks))
	for i, task := range tasks {
		switch {
		case err == nil && turns[i].moved:
			all[i] = w.done(task.Page)
		case ctx.Err() != nil:
			all[i] = follow.Outcome{End: follow.Cut}
		default:
			all[i] = follow.Outcome{End: follow.Apart}
		}
	}
	return all
}

func (w *work) done(page eventstore.Page) follow.Outcome {
	w.seen.moved(page.Tenant)
	w.params.Applied(w.id.Projection, len(page.Events))
	return follow.Outcome{End: follow.Done, Position: page.Through}
}

// handleOne applies a page.
func (w *work) handleOne(ctx context.Context, task follow.Task) follow.Outcome {
	page := task.Page
	err := page.Err // it counts once all that lies before it is applied
	if page.Through > task.After {
		err = w.take(ctx, task)
	}
	if errors.Is(err, errMoved) {
		var at place
		if at, err = w.id.read(ctx, w.params.Pool, page.Tenant); err == nil {
			return w.moved(task, at)
		}
	}
	switch {
	case err == nil:
		return w.done(page)
	case ctx.Err() != nil:
		return follow.Outcome{End: follow.Cut}
	case !follow.Passing(err) && len(page.Events) > 1:
		return follow.Outcome{End: follow.Divisible}
	}
	w.blame(ctx, eventstore.Cursor{Tenant: page.Tenant, After: task.After}, page, err)
	return follow.Outcome{End: follow.Failed}
}

// keepPace waits until so many events may be applied; one by one: who waits for many does not hear of another pace.
func (w *work) keepPace(ctx context.Context, tasks []follow.Task) error {
	for _, task := range tasks {
		for range task.Page.Events {
			if err := w.pace.Wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare makes of a page what is asked first, before its turn has come.
func (w *work) prepare(task follow.Task) *turn {
	t := newTurn(task.After, task.Page)
	if err := w.rows(t); err != nil {
		return newTurn(task.After, task.Page) // it is found again when it counts
	}
	return t
}

// take applies a page at the pace that is allowed. An event that is its own fault is parked.
func (w *work) take(ctx context.Context, task follow.Task) error {
	page := task.Page
	if err := w.keepPace(ctx, []follow.Task{task}); err != nil {
		return err
	}
	err := w.applyOne(ctx, task)
	if err == nil || len(page.Events) != 1 || !poison(err) {
		return err
	}
	w.params.Failed(w.id.Projection, page.Tenant, fmt.Errorf("parked: %w", describe(w.id, page, err)))
	return w.setAside(ctx, task.After, page, err)
}

// moved goes on where the checkpoint is. One that is where it was may not move now: the projection is paused, or the
// generation dropped, and this loop is about to hear it.
func (w *work) moved(task follow.Task, at place) follow.Outcome {
	superseded := at.Epoch > w.epoch
	if at.Position == task.After && !superseded {
		return follow.Outcome{End: follow.Failed}
	}
	w.seen.moved(task.Page.Tenant)
	return follow.Outcome{End: follow.Moved, Position: at.Position, Superseded: superseded}
}

// blame writes down why a tenant does not move; what cannot be written down is told.
func (w *work) blame(ctx context.Context, at eventstore.Cursor, page eventstore.Page, err error) {
	position := int64(0)
	switch {
	case page.Through <= at.After:
		position = page.Through + 1
	case len(page.Events) == 1 && !follow.Passing(err):
		position = page.Events[0].Position
	}
	cause := describe(w.id, page, err)
	w.params.Failed(w.id.Projection, at.Tenant, cause)
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := w.id.fail(ctx, w.params.Pool, w.epoch, at, position, cause); err != nil {
		w.params.Failed(w.id.Projection, at.Tenant, err)
	}
}
