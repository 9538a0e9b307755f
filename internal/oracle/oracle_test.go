package oracle_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/oracle"
)

// What `make oracle` sets. The defaults are those of `make test`.
var (
	duration = flag.Duration("oracle.duration", 6*time.Second, "how long to append under faults")                     //nolint:gochecknoglobals // a flag
	events   = flag.Int("oracle.events", 2000, "the least number of events")                                          //nolint:gochecknoglobals // a flag
	faults   = flag.Int("oracle.faults", 40, "the least number of faults")                                            //nolint:gochecknoglobals // a flag
	seed     = flag.Uint64("oracle.seed", 0, "what is drawn; 0 is any")                                               //nolint:gochecknoglobals // a flag
	distance = flag.Duration("oracle.distance", 60*time.Millisecond, "the mean time between two faults")              //nolint:gochecknoglobals // a flag
	workers  = flag.Int("oracle.workers", 6, "goroutines of each of the two appending processes")                     //nolint:gochecknoglobals // a flag
	report   = flag.String("oracle.report", "", "folder for the report as text and JSON")                             //nolint:gochecknoglobals // a flag
	fetched  = flag.Bool("oracle.fetched-postgres", false, "the PostgreSQL that is fetched where a machine has none") //nolint:gochecknoglobals // a flag
)

func TestTheStoreUnderFaults(t *testing.T) {
	t.Parallel()
	demands := oracle.Demands{Events: *events, Faults: *faults}
	found := run(t, oracle.Options{Duration: *duration, Demands: demands, Seed: *seed, Fetched: *fetched})
	write(t, found)
	require.NoError(t, found.Verdict(demands), found)
}

func TestBrokenThingsAreFound(t *testing.T) {
	t.Parallel()
	hasty := oracle.Follower{Name: "hasty", Log: eventstore.Lifecycle, Run: func(ctx context.Context, r *oracle.Reader, to *oracle.Deliveries) error {
		for ctx.Err() == nil {
			heads, err := r.Store.Heads(ctx, to.Log())
			if err != nil {
				return err
			}
			for tenant, head := range heads {
				read, err := r.Store.ReadLog(ctx, tenant, to.Log(), to.Cursor(tenant).After, nil, 10)
				if err != nil {
					return err
				}
				for _, e := range read {
					to.Deliver(e)
				}
				to.Through(tenant, head) // though the page was full
			}
		}
		return nil
	}}
	forgetful := oracle.Follower{Name: "forgetful", Log: eventstore.Inference, Run: func(ctx context.Context, r *oracle.Reader, to *oracle.Deliveries) error {
		first, err := r.Store.ReadLog(ctx, "tenant-0", to.Log(), 0, nil, 1000)
		for _, e := range first {
			to.Deliver(e)
		}
		return err // and begins anew
	}}
	// History is changed behind the store's back: an acknowledged event is gone, another stands twice.
	found := run(t, oracle.Options{
		Duration: 3 * time.Second, Demands: oracle.Demands{Events: 500, Faults: 20},
		Followers: []oracle.Follower{hasty, forgetful}, Prepare: forgetting,
	})
	require.Error(t, found.Verdict(oracle.Demands{}))
	by := make(map[string]oracle.FollowerReport)
	for _, f := range found.Followers {
		by[f.Name] = f
	}
	require.NotZero(t, by["hasty"].Lost, found)
	require.NotZero(t, by["forgetful"].Doubled, found)
	require.NotZero(t, found.Findings["lost"], found)
	require.NotZero(t, found.Findings["out of order"], found)
}

// forgetting makes the table lose a row of a type now and then, after the append function has numbered it: the insert
// succeeds, the answer comes, and nothing is there.
func forgetting(ctx context.Context, admin *pgxpool.Pool) error {
	_, err := admin.Exec(ctx, `
		create function oracle.forget() returns trigger language plpgsql as $$
		begin if random() < 0.05 then return null; end if; return new; end $$;
		create trigger forget before insert on lifecycle.events for each row when (new.event_type = 'Second') execute function oracle.forget()`)
	return err
}

func run(t *testing.T, opts oracle.Options) oracle.Report {
	t.Helper()
	opts.Folder = t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(opts.Folder), 0o755)) // PostgreSQL's user passes through
	opts.Patience, opts.Workers, opts.Distance, opts.Out = 90*time.Second, *workers, *distance, t.Output()
	found, err := oracle.Run(t.Context(), opts)
	require.NoError(t, err)
	t.Log(found)
	return found
}

func write(t *testing.T, found oracle.Report) {
	t.Helper()
	if *report == "" {
		return
	}
	require.NoError(t, os.MkdirAll(*report, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(*report, "oracle.txt"), []byte(found.String()), 0o644))
	file, err := os.Create(filepath.Join(*report, "oracle.json"))
	require.NoError(t, err)
	require.NoError(t, found.WriteJSON(file))
	require.NoError(t, file.Close())
}
