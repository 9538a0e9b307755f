package oracle

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

const (
	followerName = "oracle-follower" // application_name of the followers' connections
	followerRest = 10 * time.Millisecond
)

// Reader is what a follower reads with: a store of the serving role, on a pool whose connections are cut.
type Reader struct {
	Store *eventstore.Store
	Tails map[eventstore.Log]*eventstore.Tail
	Pool  *pgxpool.Pool
	met   func(fault string)
}

// hurried ends one of a hundred contexts at a random moment.
func (r *Reader) hurried(ctx context.Context) (context.Context, context.CancelFunc) {
	if rand.IntN(100) == 0 {
		r.met("context ended in a read")
		return context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
	}
	return context.WithTimeout(ctx, 10*time.Second)
}

// followers are those of every run.
func followers() []Follower {
	rare := []string{rareType, heldType}
	return []Follower{
		{Name: "pages, all types", Log: eventstore.Lifecycle, Run: byPages},
		{Name: "pages, some types", Log: eventstore.Lifecycle, Types: []string{secondType, rareType}, Run: byPages},
		{Name: "pages, rare types", Log: eventstore.Lifecycle, Types: rare, Run: byPages},
		{Name: "pages of inferences", Log: eventstore.Inference, Run: byPages},
		{Name: "log by log", Log: eventstore.Lifecycle, Run: byLogs},
		{Name: "log by log, some types", Log: eventstore.Inference, Types: []string{secondType, shakyType}, Run: byLogs},
		{Name: "hints alone", Log: eventstore.Lifecycle, Run: byHints},
		{Name: keptFollower, Log: eventstore.Inference, Run: byKeptCursor},
	}
}

// byPages asks for all tenants at once, again and again.
func byPages(ctx context.Context, r *Reader, to *Deliveries) error {
	for ctx.Err() == nil {
		news, err := pageOnce(ctx, r, to)
		if err != nil {
			return err
		}
		if !news {
			rest(ctx, followerRest)
		}
	}
	return nil
}

// pageOnce reads a page of every tenant that has news.
func pageOnce(ctx context.Context, r *Reader, to *Deliveries) (news bool, err error) {
	ctx, cancel := r.hurried(ctx)
	defer cancel()
	heads, err := r.Store.Heads(ctx, to.Log())
	if err != nil {
		return false, err
	}
	var cursors []eventstore.Cursor
	for tenant, head := range heads {
		if c := to.Cursor(tenant); c.After < head {
			cursors = append(cursors, c)
		}
	}
	pages, err := r.Store.ReadAfter(ctx, to.Log(), cursors, to.Types(), 1+rand.IntN(500))
	if err != nil {
		return false, err
	}
	for _, page := range pages {
		for _, e := range page.Events {
			to.Deliver(e)
		}
		if page.Err != nil {
			return false, page.Err
		}
		to.Through(page.Tenant, page.Through)
	}
	return len(pages) > 0, nil
}

// byLogs reads one tenant after the other.
func byLogs(ctx context.Context, r *Reader, to *Deliveries) error {
	for ctx.Err() == nil {
		var news bool
		for i := range tenants {
			n, err := logOnce(ctx, r, to, tenantName(i))
			if err != nil {
				return err
			}
			news = news || n > 0
		}
		if !news {
			rest(ctx, followerRest)
		}
	}
	return nil
}

func logOnce(ctx context.Context, r *Reader, to *Deliveries, tenant string) (int, error) {
	ctx, cancel := r.hurried(ctx)
	defer cancel()
	events, err := r.Store.ReadLog(ctx, tenant, to.Log(), to.Cursor(tenant).After, to.Types(), 1+rand.IntN(500))
	for _, e := range events {
		to.Deliver(e)
	}
	return len(events), err
}

// byHints reads to the end after each hint and rests until the next one, however long that takes.
func byHints(ctx context.Context, r *Reader, to *Deliveries) error {
	hints, leave := r.Tails[to.Log()].Subscribe()
	defer leave()
	for {
		for more := true; more; {
			var err error
			if more, err = pageOnce(ctx, r, to); err != nil {
				return err
			}
		}
		select {
		case <-hints:
		case <-ctx.Done():
			return nil
		}
	}
}

// errRestart is how a follower with a kept cursor ends now and then, in the middle of its work.
var errRestart = errors.New("the follower restarts")

// keptName names the follower with a kept cursor in its tables, keptFollower in the report.
const (
	keptName     = "kept"
	keptFollower = "kept cursor"
)

// byKeptCursor writes what it delivers and its cursor in one transaction, as a projection does, and knows nothing else:
// what it has delivered is read from its table at the end.
func byKeptCursor(ctx context.Context, r *Reader, to *Deliveries) error {
	for ctx.Err() == nil {
		var news bool
		for i := range tenants {
			n, err := keepOnce(ctx, r, to, tenantName(i))
			if err != nil {
				return err
			}
			news = news || n > 0
		}
		if !news {
			rest(ctx, followerRest)
		}
	}
	return nil
}

func keepOnce(ctx context.Context, r *Reader, to *Deliveries, tenant string) (n int, err error) {
	const cursor = `select coalesce(max(after), 0) from oracle.cursors where follower = $1 and tenant = $2`
	const effects = `insert into oracle.effects (follower, tenant, position, event_id) select $1, $2, * from unnest($3::bigint[], $4::uuid[])`
	const advance = `insert into oracle.cursors as c values ($1, $2, $3) on conflict (follower, tenant) do update set after = $3 where c.after = $4`
	ctx, cancel := r.hurried(ctx)
	defer cancel()
	var after int64
	if err := r.Pool.QueryRow(ctx, cursor, keptName, tenant).Scan(&after); err != nil {
		return 0, err
	}
	events, err := r.Store.ReadLog(ctx, tenant, to.Log(), after, to.Types(), 1+rand.IntN(500))
	if err != nil || len(events) == 0 {
		return 0, err
	}
	positions, ids := make([]int64, len(events)), make([]uuid.UUID, len(events))
	for i, e := range events {
		positions[i], ids[i] = e.Position, e.EventID
	}
	tx, err := r.Pool.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it ended before, or what it did is to be forgotten
	if _, err := tx.Exec(ctx, effects, keptName, tenant, positions, ids); err != nil {
		return 0, err
	}
	if rand.IntN(200) == 0 {
		r.met("follower restarted between effect and cursor")
		return 0, errRestart
	}
	// One whose commit had no answer may have a newer cursor than this one: then all of this is undone.
	moved, err := tx.Exec(ctx, advance, keptName, tenant, positions[len(positions)-1], after)
	if err != nil {
		return 0, err
	}
	if moved.RowsAffected() != 1 {
		return 0, errRestart
	}
	return len(events), tx.Commit(ctx)
}
