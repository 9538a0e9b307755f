package projection

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
)

// Params says how a Runner works. Zero durations and counts take the defaults that are named.
type Params struct {
	// Pool is of the serving role. A tenant that is stuck holds one connection for up to 2 s; a Runner
	// uses at most Workers + 1 connections a generation that it applies.
	Pool *pgxpool.Pool
	Feed Feed
	// Tails tell who has news, by log, and must run; a log without one is swept.
	Tails map[eventstore.Log]*eventstore.Tail
	// Projections have names of their own.
	Projections []Projection

	Steer    time.Duration // looks at what it is told this often; default 500 ms
	Sweep    time.Duration // without a tail, looks for news this often; default 1 s
	Takeover time.Duration // a younger runner that was not seen for so long is replaced; default 5 s
	Workers  int           // tenants applied at a time, by projection; default 4
	Batch    int           // events in one transaction; default 500
	// Failed, if given, hears of each failure to apply a tenant's events, from several goroutines. The
	// status keeps the last one anyway.
	Failed func(projection, tenant string, err error)
	// Applied, if given, hears how many events a projection has applied or parked, of any generation.
	Applied func(projection string, events int)
}

// Runner keeps projections up to date, and tells how far they are. Its questions also work where it
// does not run, because the checkpoints stand in the database.
type Runner struct {
	params Params
	tracks map[string]*track
	nudged chan struct{} // this process has steered
}

// track is a projection with those who wait for it.
type track struct {
	projection Projection
	seen       *seen
}

// NewRunner checks the parameters; two projections of one name are refused.
func NewRunner(params Params) (*Runner, error) {
	params.Steer = positive(params.Steer, 500*time.Millisecond)
	params.Sweep = positive(params.Sweep, time.Second)
	params.Takeover = positive(params.Takeover, 5*time.Second)
	params.Workers = positive(params.Workers, 4)
	params.Batch = positive(params.Batch, 500)
	if params.Failed == nil {
		params.Failed = func(string, string, error) {}
	}
	if params.Applied == nil {
		params.Applied = func(string, int) {}
	}
	r := &Runner{params: params, tracks: map[string]*track{}, nudged: make(chan struct{}, 1)}
	for _, p := range params.Projections {
		if _, twice := r.tracks[p.Name()]; twice {
			return nil, fmt.Errorf("two projections are named %q: checkpoints are kept by name", p.Name())
		}
		r.tracks[p.Name()] = &track{projection: p, seen: newSeen()}
	}
	return r, nil
}

func positive[N int | time.Duration](given, fallback N) N {
	if given > 0 {
		return given
	}
	return fallback
}

// nudge makes a runner of this process look at what it is told.
func (r *Runner) nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// Names lists the projections in the order in which they were given.
func (r *Runner) Names() []string {
	names := make([]string, 0, len(r.params.Projections))
	for _, p := range r.params.Projections {
		names = append(names, p.Name())
	}
	return names
}

func (r *Runner) track(name string) (*track, error) {
	t, known := r.tracks[name]
	if !known {
		return nil, fmt.Errorf("projection %q: %w", name, ErrUnknown)
	}
	return t, nil
}
