package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// headWait is how long a call that may wait does so for its tenant's head, in milliseconds, before it makes room for
// another tenant's.
const headWait = 1000

// call is one Append on its way to PostgreSQL.
type call struct {
	tenant  string
	log     Log
	appends []Append
	cmd     *CommandRecord
	streams streamColumns
	events  eventColumns

	// alone is set when a combined call left it out: sent by itself it hears why.
	alone bool
	left  bool          // its caller does not wait any more; guarded by the combiner
	done  chan struct{} // closed by the combiner: what follows holds
	// result or err is the outcome, once it is known.
	known  bool
	result []Appended
	err    error
}

// newCall copies what it is given: a caller who leaves may use that again while the call is still under way.
func newCall(tenant string, log Log, appends []Append, cmd *CommandRecord) *call {
	c := &call{tenant: tenant, log: log, appends: slices.Clone(appends), cmd: cmd.clone(), done: make(chan struct{})}
	for i, a := range appends {
		c.appends[i].Events = slices.Clone(a.Events)
		c.streams.add(a)
		given, _ := distinct(a)
		for _, e := range given {
			c.streams.ofEvent = append(c.streams.ofEvent, int32(i)+1)
			c.events.add(tenant, a.Stream, e)
		}
	}
	return c
}

// single tells whether one stream is all that the call is about.
func (c *call) single() bool { return len(c.appends) == 1 && !c.appends[0].SkipStored }

// combines tells whether the call may travel with others.
func (c *call) combines() bool { return c.single() && len(c.events.ids) > 0 && !c.alone }

// end is the outcome, which the combiner passes on.
func (c *call) end(result []Appended, err error) { c.known, c.result, c.err = true, result, err }

// unclear tells whether append_one went by an expectation of one revision, and then met an event that stands there or a
// command that is known: it may be a repetition by a caller who has loaded his own events.
func (c *call) unclear(answers []answer, err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code == uniqueViolation
	}
	return err == nil && len(c.events.ids) > 0 && c.streams.from[0] == c.streams.to[0] && answers[0].outcome == outcomeDuplicateCommand
}

// uniqueViolation is how append_one refuses an event id that stands somewhere although the expectation holds.
const uniqueViolation = "23505"

// errBusy says that somebody else holds the tenant's head.
var errBusy = errors.New("the tenant's head is held by somebody else")

// deliver asks PostgreSQL for the calls, which are of one log, once (a single one that is unclear twice), and ends those
// whose outcome it learned. What it does not end was not appended and must be sent again: all of them later when it answers
// that a head is busy, else those that are marked alone by themselves. Without wait, nobody's head is waited for.
func (s *Store) deliver(ctx context.Context, wait bool, calls []*call) (busy bool) {
	patience := 0
	if wait {
		patience = headWait
	}
	if len(calls) > 1 {
		return s.deliverMany(ctx, patience, calls)
	}
	c := calls[0]
	ask := s.askMany
	if c.single() {
		ask = s.askOne
	}
	answers, err := ask(ctx, patience, c)
	if c.single() && c.unclear(answers, err) {
		answers, err = s.askMany(ctx, patience, c)
	}
	var done []Appended
	if err == nil {
		done, err = c.outcomes(answers)
	}
	switch {
	case errors.Is(err, errBusy):
		return true
	case err != nil:
		c.end(nil, fmt.Errorf("append to the %s log of tenant %s: %w", c.log, c.tenant, err))
		return false
	}
	c.end(done, nil)
	return false
}

func (s *Store) askOne(ctx context.Context, patience int, c *call) ([]answer, error) {
	const query = `select outcome, stream_revision, log_position, recorded
		from lifecycle.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`
	args := []any{patience, c.tenant, c.streams.types[0], c.streams.ids[0], c.streams.from[0], c.streams.to[0]}
	args = append(args, c.events.args()...)
	args = append(args, c.cmd.args()...)
	row := answer{stream: 1}
	err := s.pool.QueryRow(ctx, c.log.in(query), args...).Scan(&row.outcome, &row.revision, &row.position, &row.recorded)
	return []answer{row}, explained(err)
}

func (s *Store) askMany(ctx context.Context, patience int, c *call) ([]answer, error) {
	const query = `select coalesce(stream, 0), outcome, stream_revision, log_position, recorded, skipped
		from lifecycle.append_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`
	args := append([]any{patience, c.tenant}, c.streams.args()...)
	args = append(args, c.events.args()...)
	args = append(args, c.cmd.args()...)
	rows, err := s.pool.Query(ctx, c.log.in(query), args...)
	if err != nil {
		return nil, err
	}
	answers, err := pgx.CollectRows(rows, toAnswer)
	return answers, explained(err)
}

// explained knows a head that was waited for in vain.
func explained(err error) error {
	const lockNotAvailable = "55P03"
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == lockNotAvailable {
		return errBusy
	}
	return err
}

// deliverMany combines calls. Of an error that is one call's, PostgreSQL does not say whose: then each is sent alone.
func (s *Store) deliverMany(ctx context.Context, patience int, calls []*call) (busy bool) {
	answers, err := s.askCombined(ctx, patience, calls)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, errBusy):
		return true
	case ok && refused.SeverityUnlocalized == "ERROR":
		answers = nil
	case err != nil: // the connection: what became of the calls is unknown
		for _, c := range calls {
			c.end(nil, fmt.Errorf("append to the %s log of tenant %s, with others: %w", c.log, c.tenant, err))
		}
		return false
	}
	for _, a := range answers {
		c := calls[a.stream-1]
		done, err := a.appended(c.appends[0], c.cmd)
		c.end([]Appended{done}, err)
	}
	for _, c := range calls {
		c.alone = !c.known
	}
	return false
}

// announce tells the tails what was appended, in the order of the positions.
func (s *Store) announce(ended []*call) {
	slices.SortFunc(ended, func(a, b *call) int { return cmp.Compare(newest(a.result), newest(b.result)) })
	for _, c := range ended {
		if position := newest(c.result); position > 0 {
			s.news[c.log].send(c.tenant, position, c.recorded)
		}
	}
}

func (s *Store) askCombined(ctx context.Context, patience int, calls []*call) ([]answer, error) {
	const query = `select call, stream_revision, log_position, recorded
		from lifecycle.append_calls($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`
	rows, err := s.pool.Query(ctx, calls[0].log.in(query), combined(patience, calls)...)
	if err != nil {
		return nil, explained(err)
	}
	answers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (answer, error) {
		a := answer{outcome: outcomeAppended}
		return a, row.Scan(&a.stream, &a.revision, &a.position, &a.recorded)
	})
	return answers, explained(err)
}

// combined are the arguments of calls that travel together.
func combined(patience int, calls []*call) []any {
	var (
		streams  streamColumns
		events   eventColumns
		tenants  []string
		commands []*string
		hashes   [][]byte
		results  []*string
	)
	for i, c := range calls {
		tenants = append(tenants, c.tenant)
		streams.join(c.streams)
		for range c.events.ids {
			streams.ofEvent = append(streams.ofEvent, int32(i)+1)
		}
		events.join(c.events)
		id, hash, result := c.cmd.columns()
		commands, hashes, results = append(commands, id), append(hashes, hash), append(results, result)
	}
	args := []any{patience, distinctSorted(tenants), tenants, streams.types, streams.ids, streams.from, streams.to, commands, hashes, results}
	return append(append(args, streams.ofEvent), events.args()...)
}

// outcomes are the answers in the caller's words, or the error that they mean.
func (c *call) outcomes(answers []answer) ([]Appended, error) {
	done := make([]Appended, len(answers))
	for i, row := range answers {
		var err error
		if done[i], err = row.appended(appendAt(c.appends, row.stream), c.cmd); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// recorded are the events that the call has appended, as they are read; none where stored ones were left out, or
// where its appends do not stand together.
func (c *call) recorded() []Event {
	next := newest(c.result) - int64(len(c.events.ids))
	revisions := make([]int64, len(c.result))
	for i, d := range c.result {
		if c.appends[i].SkipStored {
			return nil
		}
		revisions[i] = d.Revision - int64(len(c.appends[i].Events))
	}
	events := make([]Event, len(c.events.ids))
	for i := range events {
		to := c.streams.ofEvent[i] - 1
		next++
		revisions[to]++
		events[i] = c.events.recorded(i)
		e := &events[i]
		e.TenantID, e.AggregateType, e.AggregateID = c.tenant, c.streams.types[to], c.streams.ids[to]
		e.Position, e.AggregateVersion, e.RecordedAt = next, revisions[to], c.result[to].RecordedAt
		if revisions[to] == c.result[to].Revision && next != c.result[to].Position {
			return nil
		}
	}
	return events
}

// distinctSorted is the order in which heads are locked.
func distinctSorted(tenants []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(tenants)))
}
