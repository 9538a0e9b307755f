package oracle

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
)

func (t *tally) total() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, count := range t.kinds {
		n += count
	}
	return n
}

// awaitFollowers waits until nobody lacks anything, or for as long as that may take.
func (r *run) awaitFollowers(ctx context.Context, shelves map[eventstore.Log]map[string]*shelf) {
	deadline := time.Now().Add(catchUp)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		behind := 0
		for _, f := range r.following {
			behind += r.behind(ctx, f, shelves[f.Log])
		}
		if behind == 0 {
			return
		}
		rest(ctx, 100*time.Millisecond)
	}
}

// behind is how many events a follower has not delivered yet.
func (r *run) behind(ctx context.Context, f *followed, log map[string]*shelf) int {
	if f.Name != keptFollower {
		return f.to.compare(log).Lost
	}
	const kept = `select coalesce(sum(after), 0) from oracle.cursors where follower = $1`
	var reached int
	if err := r.world.admin.QueryRow(ctx, kept, keptName).Scan(&reached); err != nil {
		return 1
	}
	for _, there := range log {
		reached -= len(there.events)
	}
	return -reached
}

// compare holds a follower against its log. What the one with a kept cursor did is in its table.
func (r *run) compare(ctx context.Context, f *followed, log map[string]*shelf) (FollowerReport, error) {
	if f.Name == keptFollower {
		if err := r.readEffects(ctx, f.to); err != nil {
			return FollowerReport{}, err
		}
	}
	report := f.to.compare(log)
	report.Name, report.Restarts = f.Name, f.restarts
	return report, nil
}

func (r *run) readEffects(ctx context.Context, to *Deliveries) error {
	rows, err := r.world.admin.Query(ctx, `select tenant, position, event_id from oracle.effects where follower = $1 order by n`, keptName)
	if err != nil {
		return fmt.Errorf("read what the follower with a kept cursor delivered: %w", err)
	}
	var (
		tenant   string
		position int64
		id       uuid.UUID
	)
	_, err = pgx.ForEachRow(rows, []any{&tenant, &position, &id}, func() error { to.note(tenant, position, [16]byte(id)); return nil })
	if err != nil {
		return fmt.Errorf("read what the follower with a kept cursor delivered: %w", err)
	}
	return nil
}

// close ends everything that the run has started.
func (r *run) close() error {
	for _, p := range r.processes {
		p.abandon()
	}
	for _, p := range r.proxies {
		p.close()
	}
	if r.reader != nil {
		r.reader.Pool.Close()
	}
	return r.world.close()
}
