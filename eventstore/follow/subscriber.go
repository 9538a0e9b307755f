package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// The limits of a subscriber's own calls, and of writing down a failure.
const (
	callTimeout   = 30 * time.Second
	recordTimeout = 5 * time.Second
)

// subscriber is the Work of a subscription.
type subscriber struct {
	Subscription

	log    eventstore.Log
	pool   *pgxpool.Pool
	reader *eventstore.Reader
	handle Handler
	epoch  int64

	mu       sync.Mutex
	progress map[string]*progress
	saving   sync.WaitGroup // acknowledges from Beat; one at a time
	saved    chan struct{}  // full while nobody saves
}

// progress is how far a tenant was handled, and how far of that is acknowledged. Its lock is held by whoever works on
// the tenant.
type progress struct {
	sync.Mutex

	handled, acked int64
	events         int       // handled since
	since          time.Time // of the first that is not acknowledged
	astray         bool      // the cursor is not where this runner left it
}

func newSubscriber(pool *pgxpool.Pool, tail *eventstore.Tail, s Subscription, handle Handler) *subscriber {
	saved := make(chan struct{}, 1)
	saved <- struct{}{}
	return &subscriber{
		Subscription: s, log: tail.Log(), pool: pool, reader: eventstore.NewReader(eventstore.New(pool), tail), handle: handle,
		progress: map[string]*progress{}, saved: saved,
	}
}

// Begin implements Work.
func (s *subscriber) Begin(ctx context.Context) ([]Place, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s.saving.Wait()
	epoch, begun, err := s.takeOver(ctx)
	if err != nil {
		return nil, err
	}
	s.epoch = epoch
	if !begun {
		if err := s.startNow(ctx); err != nil {
			return nil, err
		}
	}
	places, err := s.places(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = make(map[string]*progress, len(places))
	for _, at := range places {
		s.progress[at.Tenant] = &progress{handled: at.Position, acked: at.Position}
	}
	return places, nil
}

// Read implements Work.
func (s *subscriber) Read(ctx context.Context, cursors []eventstore.Cursor, limit int) ([]eventstore.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pages, err := s.reader.ReadAfter(ctx, s.log, cursors, s.Types, limit)
	if err != nil {
		return nil, s.because("(all)", err)
	}
	return pages, nil
}

func (s *subscriber) of(tenant string) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress[tenant]
	if p == nil {
		p = &progress{}
		s.progress[tenant] = p
	}
	return p
}

// Handle implements Work. Where there are several pages they hold no events: what is due is acknowledged.
func (s *subscriber) Handle(ctx context.Context, tasks []Task) []Outcome {
	all := make([]Outcome, 0, len(tasks))
	for _, task := range tasks {
		all = append(all, s.handleOne(ctx, task))
	}
	return all
}

func (s *subscriber) handleOne(ctx context.Context, task Task) Outcome {
	tenant := task.Page.Tenant
	p := s.of(tenant)
	p.Lock()
	defer p.Unlock()
	if p.astray {
		return s.find(ctx, tenant, p)
	}
	failure := s.deliver(ctx, p, task)
	if p.handled > p.acked && (failure != nil || s.due(p, task.Head)) {
		err := s.acknowledge(context.WithoutCancel(ctx), tenant, p) // also when the runner is to end
		if errors.Is(err, ErrMoved) {
			return s.find(ctx, tenant, p)
		}
		if err != nil && ctx.Err() == nil { // it is handled all the same: a beat acknowledges it, or the end
			s.Failed(tenant, err)
		}
	}
	switch {
	case failure == nil:
		return Outcome{End: Done, Position: p.handled}
	case ctx.Err() != nil:
		return Outcome{End: Cut}
	case errors.Is(failure, ErrMoved):
		return s.find(ctx, tenant, p)
	case !Passing(failure) && len(task.Page.Events) > 1:
		return Outcome{End: Divisible}
	}
	s.blame(ctx, p, task, failure)
	return Outcome{End: Failed}
}

// deliver calls the handler, if there is something for it. A page's own failure counts once all that lies before it is
// handled.
func (s *subscriber) deliver(ctx context.Context, p *progress, task Task) error {
	page := task.Page
	if page.Through <= task.After {
		return page.Err
	}
	d := &Delivery{Tenant: page.Tenant, Events: page.Events, Through: page.Through, work: s, from: p.acked}
	if len(page.Events) > 0 {
		if err := s.handle(ctx, d); err != nil {
			return err
		}
	}
	if p.handled == p.acked {
		p.since = time.Now()
	}
	p.handled = page.Through
	p.events += len(page.Events)
	if d.acknowledged {
		p.acked, p.events = page.Through, 0
	}
	return nil
}

func (s *subscriber) due(p *progress, head int64) bool {
	return p.handled >= head || p.events >= s.AckEvery || time.Since(p.since) >= s.AckAfter
}

// acknowledge moves a tenant's cursor to where it was handled.
func (s *subscriber) acknowledge(ctx context.Context, tenant string, p *progress) error {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := s.advance(ctx, tenant, p.acked, p.handled); err != nil {
		return err
	}
	p.acked, p.events = p.handled, 0
	return nil
}

// find looks where the cursor is, after it was not where this runner left it.
func (s *subscriber) find(ctx context.Context, tenant string, p *progress) Outcome {
	p.astray = true
	position, epoch, err := s.where(ctx, tenant)
	if err != nil {
		if ctx.Err() != nil {
			return Outcome{End: Cut}
		}
		s.Failed(tenant, err)
		return Outcome{End: Failed}
	}
	p.handled, p.acked, p.events, p.astray = position, position, 0, false
	return Outcome{End: Moved, Position: position, Superseded: epoch > s.epoch}
}

// blame writes down why a tenant does not move; what cannot be written down is told.
func (s *subscriber) blame(ctx context.Context, p *progress, task Task, failure error) {
	position, page := int64(0), task.Page
	switch {
	case page.Through <= task.After:
		position = page.Through + 1
	case len(page.Events) == 1 && !Passing(failure):
		position = page.Events[0].Position
	}
	cause := fmt.Errorf("subscription %s cannot handle tenant %s after position %d: %w", s.Name, page.Tenant, p.handled, failure)
	s.Failed(page.Tenant, cause)
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := s.fail(ctx, page.Tenant, p.acked, position, cause); err != nil {
		s.Failed(page.Tenant, err)
	}
}

// Beat implements Work. It also acknowledges what is handled for longer than it should have been; aside, because the
// cursor may be what keeps it.
func (s *subscriber) Beat(ctx context.Context) (youngest bool, err error) {
	select {
	case <-s.saved:
		s.saving.Go(func() {
			defer func() { s.saved <- struct{}{} }()
			s.save(ctx, s.AckAfter)
		})
	default:
	}
	return s.seen(ctx)
}

// save acknowledges what was handled at least so long ago, of tenants that nobody works on.
func (s *subscriber) save(ctx context.Context, age time.Duration) {
	for tenant, p := range s.all() {
		if ctx.Err() != nil {
			return
		}
		if !p.TryLock() {
			continue
		}
		if p.handled > p.acked && !p.astray && time.Since(p.since) >= age {
			if err := s.acknowledge(ctx, tenant, p); err != nil {
				p.astray = errors.Is(err, ErrMoved)
				s.Failed(tenant, err)
			}
		}
		p.Unlock()
	}
}

func (s *subscriber) all() map[string]*progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.progress)
}

// End implements Work.
func (s *subscriber) End(ctx context.Context) {
	s.saving.Wait()
	s.save(ctx, 0)
	if err := s.leave(ctx); err != nil {
		s.Failed("", err)
	}
}
