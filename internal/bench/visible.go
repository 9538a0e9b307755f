package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
)

const (
	arrivals = 1000 // events a second
	changing = 1000 // models that change in turn
	watched  = 10   // each such event is looked for by a reader; all of them would be a load of their own
	abreast  = 512  // arrivals under way at once; more means that the store does not keep up
)

// visibleRows: events arrive a millisecond apart, whatever became of those before, while the projections of a worker run.
// A reader waits from the return of the append for the position and reads the model, which must have the change.
func visibleRows(ctx context.Context, l *lab, w *world) error {
	for _, tenants := range []int{1, 100} {
		if err := l.visible(ctx, w, tenants); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) visible(ctx context.Context, w *world, tenants int) error {
	r := row{
		Name:    fmt.Sprintf("commit → visible in the catalogue, %d events/s over %d tenants", arrivals, tenants),
		Against: "nothing: from the append's return to the return of a read that shows it",
		Within:  within{P50: 10 * time.Millisecond, P99: 50 * time.Millisecond},
		Note:    fmt.Sprintf("every %dth event is looked for; all projections of a worker run", watched),
	}
	town, err := w.settleIn(ctx, tenants)
	if err != nil {
		return err
	}
	return meanwhile(ctx, town.run, func(ctx context.Context) error {
		if err := town.catchUp(ctx); err != nil {
			return err
		}
		return l.alone(ctx, r, town.arrive)
	})
}

// catchUp waits until all projections have seen what was there before.
func (t *town) catchUp(ctx context.Context) error {
	heads, err := t.world.store.Heads(ctx, eventstore.Lifecycle)
	for _, p := range readmodel.Projections() {
		for _, tenant := range t.tenants {
			if err == nil && p.Log() == eventstore.Lifecycle {
				err = t.runner.WaitFor(ctx, p.Name(), tenant, heads[tenant])
			}
		}
	}
	return err
}

// town is tenants with models that change in turn, and the projections that tell of it.
type town struct {
	world   *world
	tenants []string
	tail    *eventstore.Tail
	other   *eventstore.Tail // of the inference log
	runner  *projection.Runner
	reader  *readmodel.Reader
	turn    int
}

func (w *world) settleIn(ctx context.Context, tenants int) (*town, error) {
	t := &town{
		world: w, tail: eventstore.NewTail(w.store, eventstore.Lifecycle), other: eventstore.NewTail(w.store, eventstore.Inference),
		reader: readmodel.NewReader(w.serving),
	}
	for n := range tenants {
		name := fmt.Sprintf("town-%d-%d", tenants, n)
		if err := w.live(ctx, name, changing/tenants); err != nil {
			return nil, err
		}
		t.tenants = append(t.tenants, name)
	}
	var err error
	t.runner, err = projection.NewRunner(projection.Params{
		Pool: w.reading, Feed: eventstore.NewReader(eventstore.New(w.reading), t.tail, t.other), Projections: readmodel.Projections(),
		Tails: map[eventstore.Log]*eventstore.Tail{eventstore.Lifecycle: t.tail, eventstore.Inference: t.other},
	})
	return t, err
}

func (t *town) run(ctx context.Context) error {
	working, ctx := errgroup.WithContext(ctx)
	working.Go(func() error { return t.tail.Run(ctx) })
	working.Go(func() error { return t.other.Run(ctx) })
	working.Go(func() error { return t.runner.Run(ctx) })
	return working.Wait()
}

// arrive lets events arrive for a while, and tells how long those that were watched took to show.
func (t *town) arrive(ctx context.Context, d time.Duration) (sample, error) {
	var mu sync.Mutex
	var took []time.Duration
	working, ctx := errgroup.WithContext(ctx)
	working.SetLimit(abreast)
	tick := time.NewTicker(time.Second / arrivals)
	defer tick.Stop()
	begun := time.Now()
	sent := 0
	for ctx.Err() == nil && time.Since(begun) < d {
		<-tick.C
		// A tick that came late stands for those that were dropped meanwhile.
		for due := int(time.Since(begun) * arrivals / time.Second); sent < due; sent++ {
			t.turn++
			turn := t.turn
			working.Go(func() error {
				lag, err := t.change(ctx, turn)
				if err == nil && turn%watched == 0 {
					mu.Lock()
					defer mu.Unlock()
					took = append(took, lag)
				}
				return err
			})
		}
	}
	if err := working.Wait(); err != nil {
		return sample{}, err
	}
	s := summary(took, 1, time.Since(begun))
	s.PerSecond = float64(sent) / time.Since(begun).Seconds()
	return s, nil
}

// change appends one event and, where it is watched, waits until a read shows it.
func (t *town) change(ctx context.Context, turn int) (time.Duration, error) {
	tenant, model := t.tenants[turn%len(t.tenants)], newLife(turn/len(t.tenants)%(changing/len(t.tenants))).model
	text := fmt.Sprintf("change %d", turn)
	event, err := encoded(domain.ModelMetadataUpdated{Description: &text})
	if err != nil {
		return 0, err
	}
	to := []eventstore.Append{{Stream: eventstore.Stream{Type: string(domain.TypeMLModel), ID: string(model)}, Events: []eventstore.NewEvent{event}}}
	result, err := t.world.store.Append(ctx, tenant, eventstore.Lifecycle, to, nil)
	if err != nil || turn%watched != 0 {
		return 0, err
	}
	begun := time.Now()
	position := result[0].Position
	if err := t.runner.WaitFor(ctx, readmodel.CatalogueName, tenant, position); err != nil {
		return 0, err
	}
	shown, err := t.reader.GetModel(ctx, domain.Tenant(tenant), model, 0)
	if err == nil && shown.Position < position {
		err = fmt.Errorf("model %s of tenant %s is shown as of %d after %d was reached", model, tenant, shown.Position, position)
	}
	return time.Since(begun), err
}
