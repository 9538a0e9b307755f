package eventstore

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// callTimeout bounds every call to PostgreSQL, also where the caller's context has no deadline. An append may queue that
// long behind others of its tenant.
const callTimeout = 30 * time.Second

// Store keeps both logs of every tenant in one PostgreSQL database. It is safe for concurrent use. Reads of one tenant
// go through row-level security; the functions that append and feed belong to roles of their own.
type Store struct {
	pool    *pgxpool.Pool
	ways    map[Log]*combiner  // of the appends
	lookers turns              // of the reads that may wait for a head
	news    map[Log]*announcer // who wants to know of this process's own appends
}

// New makes a store on a pool of a serving login. It does not connect; see CheckRole.
func New(pool *pgxpool.Pool) *Store {
	s := &Store{pool: pool, ways: map[Log]*combiner{}, news: map[Log]*announcer{}}
	for _, log := range []Log{Lifecycle, Inference} {
		s.ways[log] = newCombiner(s.deliver, s.announce)
		s.news[log] = &announcer{}
	}
	return s
}

// in names the log's schema in a statement that was written for the lifecycle log. The result is the key of the
// connection's statement cache, so there are two of each.
func (l Log) in(statement string) string {
	if l == Lifecycle {
		return statement
	}
	return strings.ReplaceAll(statement, string(Lifecycle)+".", string(l)+".")
}

// asTenant begins a batch whose statements see one tenant. A batch is one round trip and one transaction, and the
// settings end with it. Plans are made once, for every value and every size that the tables will have: else a read would
// be planned anew each time, a plan of an empty table would go on scanning while it grows, and one that was forced off
// that seems costly enough to be compiled.
func asTenant(tenant string) *pgx.Batch {
	batch := &pgx.Batch{}
	batch.Queue(`select set_config('phantom.tenant', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
		set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`, tenant).Exec(ignoreTag)
	return batch
}

// send runs a batch; the results are in the callbacks of its statements.
func (s *Store) send(ctx context.Context, batch *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.pool.SendBatch(ctx, batch).Close()
}
