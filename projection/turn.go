package projection

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// turn is one tenant's part in a transaction that applies.
type turn struct {
	follow.Task

	flow  []eventstore.Event // to be applied
	wait  []aside            // to be parked
	asked Questions          // what the rows of flow depend on
	write Write              // the rows of flow, once that is answered; nil if there are none
	made  bool               // asked and write are those of flow

	moved  bool  // the checkpoint has; else another runner was there, or nothing may move
	parked int64 // events that were parked before
}

func newTurn(after int64, page eventstore.Page) *turn {
	return &turn{Task: follow.Task{After: after, Page: page}, flow: page.Events}
}

// sender is a connection, or a transaction.
type sender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// send asks, and hears the answers: those to a projection's questions by its own code, which may panic. The connection is in
// the middle of something then, and nobody gets it again.
func send(ctx context.Context, to sender, batch *pgx.Batch) (err error) {
	defer recovered(&err)
	if batch.Len() == 0 {
		return nil
	}
	return to.SendBatch(ctx, batch).Close()
}

// apply writes the rows of turns and moves their checkpoints, all or nothing, in two round trips, or in one if there are no
// rows; what waits behind a parked event is parked. A turn whose checkpoint does not move takes no part. In a hurry it asks
// before it knows what waits, and may so fail by what would not have been applied.
func (s *step) apply(ctx context.Context, turns []*turn, hurry bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	patience := lockTimeout
	if len(turns) > 1 {
		patience = joinedTimeout
	}
	var batch pgx.Batch
	s.id.begin(&batch, patience)
	s.id.advance(&batch, s.epoch, turns)
	if hurry {
		if err := s.ask(&batch, turns); err != nil {
			return err
		}
	}
	conn, err := s.params.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	defer giveUp(ctx, conn.Conn())
	if hurry && !slices.ContainsFunc(turns, s.waits) {
		batch.Queue(`commit`)
		return s.left(send(ctx, conn, &batch), turns)
	}
	if err := send(ctx, conn, &batch); err != nil {
		return err
	}
	if err := s.sort(ctx, conn, turns, hurry); err != nil {
		return err
	}
	batch = pgx.Batch{}
	if err := s.write(&batch, turns); err != nil {
		return err
	}
	batch.Queue(`commit`)
	return s.left(send(ctx, conn, &batch), turns)
}

// waits tells whether a turn has more to do than to move its checkpoint: rows, or perhaps events to park. What has no rows is
// parked like the rest of its group: what is parked may not depend on how events were batched, or no rebuild goes live.
func (s *step) waits(t *turn) bool {
	_, free := s.free.Load(t.Page.Tenant)
	return t.writes() || len(t.flow) > 0 && !free
}

// left remembers who has nothing parked. Nobody parks without moving the checkpoint, and then the next turn does not.
func (s *step) left(err error, turns []*turn) error {
	for _, t := range turns {
		if err == nil && t.moved && t.parked == 0 && len(t.wait) == 0 {
			s.free.Store(t.Page.Tenant, struct{}{})
		} else {
			s.free.Delete(t.Page.Tenant)
		}
	}
	return err
}

// writes tells whether a turn has rows, or events to park.
func (t *turn) writes() bool { return t.write != nil || len(t.wait) > 0 }

// giveUp ends a transaction that has not ended; a connection that cannot even do that is closed by its pool.
func giveUp(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = conn.Exec(ctx, `rollback`)
}

// applyOne is apply of one tenant's page; errMoved means that it took no part.
func (s *step) applyOne(ctx context.Context, task follow.Task) error {
	t := newTurn(task.After, task.Page)
	if task.Prepared != nil {
		t, _ = task.Prepared().(*turn)
	}
	err := s.apply(ctx, []*turn{t}, true)
	if err != nil && len(task.Page.Events) == 1 && !follow.Passing(err) {
		t = newTurn(task.After, task.Page)
		err = s.apply(ctx, []*turn{t}, false)
	}
	return t.took(err)
}

func (t *turn) took(err error) error {
	if err == nil && !t.moved {
		return errMoved
	}
	return err
}

func as(batch *pgx.Batch, tenant string) {
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
}

// ask queues what the rows of turns depend on.
func (s *step) ask(batch *pgx.Batch, turns []*turn) error {
	var lookUps []LookUp
	for _, t := range turns {
		if len(t.flow) == 0 {
			continue
		}
		if !t.made {
			if err := s.rows(t); err != nil {
				return err
			}
		}
		t.alone(batch, &t.asked.Batch)
		lookUps = append(lookUps, t.asked.lookUps...)
	}
	queueLookUps(batch, lookUps)
	return nil
}

// alone queues statements of a turn's tenant.
func (t *turn) alone(batch, own *pgx.Batch) {
	if own.Len() > 0 {
		as(batch, t.Page.Tenant)
		batch.QueuedQueries = append(batch.QueuedQueries, own.QueuedQueries...)
	}
}

// rows asks for what the rows of a turn depend on. A panic is the fault of one of the events, like an error.
func (s *step) rows(t *turn) (err error) {
	defer recovered(&err)
	t.asked = Questions{}
	t.write, err = s.projection.Apply(&t.asked, s.id.Generation, t.flow)
	t.made = err == nil
	return err
}

// write queues the rows of turns, and what is parked.
func (s *step) write(batch *pgx.Batch, turns []*turn) (err error) {
	defer recovered(&err)
	rows := Rows{Alone: len(turns) == 1}
	for _, t := range turns {
		if !t.moved || !t.writes() {
			continue
		}
		rows.Batch, rows.tenant = pgx.Batch{}, t.Page.Tenant
		s.id.park(&rows.Batch, t.Page.Tenant, t.wait)
		if t.write != nil {
			if err := t.write(&rows); err != nil {
				return err
			}
		}
		t.alone(batch, &rows.Batch)
	}
	rows.queue(batch)
	return nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("it panics: %v", r)
	}
}
