package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"phantom/internal/config"
)

// errMissed says that a row is below its floor.
var errMissed = errors.New("a floor was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what a run is asked for.
type options struct {
	rows     string
	rounds   int
	round    time.Duration
	snapshot time.Duration
	hold     time.Duration
	tenants  int
	pool     int
	growth   int
	mlflow   string
	json     string
	doc      string
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.rows, "rows", "all", "groups of rows, joined by commas, or all but mlflow: "+strings.Join(groupNames(), ", "))
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each row")
	flags.DurationVar(&o.round, "round", 3*time.Second, "how long each side runs in a round")
	flags.DurationVar(&o.snapshot, "snapshot", time.Minute, "how long a foreign snapshot is open before it is measured")
	flags.DurationVar(&o.hold, "hold", 30*time.Second, "how long a foreign transaction holds a head")
	flags.IntVar(&o.tenants, "tenants", 1000, "tenants of the rows over many tenants")
	flags.IntVar(&o.pool, "pool", 64, "connections of each side")
	flags.IntVar(&o.growth, "growth", 5_000_000, "events of the large log; the small one is the fiftieth part")
	flags.StringVar(&o.mlflow, "mlflow", "", "the mlflow program of the rows mlflow")
	flags.StringVar(&o.json, "json", "", "also write the report to this file as JSON")
	flags.StringVar(&o.doc, "doc", "", "also write the table between the marks of this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.tenants < 64 || o.pool < 1 || o.growth < 50_000 {
		return o, errors.New("at least 1 round, 64 tenants, 1 connection and 50,000 events are needed")
	}
	return o, nil
}

// run measures the groups asked for. What is done is printed row by row, and the whole at the end, also when a group failed.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	chosen, err := choose(o.rows)
	if err != nil {
		return err
	}
	stack, err := config.TestStack()
	if err != nil {
		return err
	}
	l := &lab{options: o, server: stack.Postgres, out: out}
	if l.report.Machine, err = look(ctx, stack.Postgres.AdminURL); err != nil {
		return err
	}
	l.report.Command = "make bench ARGS='" + strings.Join(args, " ") + "'"
	for _, g := range chosen {
		fmt.Fprintf(out, "# %s\n", g.name)
		if failed := l.measure(ctx, g); failed != nil {
			err = errors.Join(err, fmt.Errorf("measure %s: %w", g.name, failed))
		}
	}
	return errors.Join(err, l.finish())
}

// finish prints and writes the report, and returns errMissed with the rows that missed their floor.
func (l *lab) finish() error {
	fmt.Fprintf(l.out, "\n%s", l.report.markdown())
	err := l.report.write(l.options.json, l.options.doc)
	if missed := l.report.missed(); len(missed) > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %s", errMissed, strings.Join(missed, "; ")))
	}
	return err
}

// group is rows that share a database.
type group struct {
	name string
	run  func(context.Context, *lab, *world) error
}

// named are the groups that all does not run: what they need is not always there.
func named() []group {
	return []group{
		{"mlflow", mlflowRows},
	}
}

func groups() []group {
	return []group{
		{"append", appendRows},
		{"snapshot", snapshotRow},
		{"batch", batchRows},
		{"digest", digestRows},
		{"load", loadRow},
		{"handle", handleRow},
		{"follow", followRows},
		{"fairness", fairnessRows},
		{"held", heldRow},
		{"growth", growthRow},
		{"projection", projectionRows},
		{"visible", visibleRows},
		{"http", httpRow},
		{"register", registerRows},
		{"search", searchRows},
	}
}

func groupNames() []string {
	var names []string
	for _, g := range slices.Concat(groups(), named()) {
		names = append(names, g.name)
	}
	return names
}

func choose(rows string) ([]group, error) {
	if rows == "all" {
		return groups(), nil
	}
	var chosen []group
	for name := range strings.SplitSeq(rows, ",") {
		found := false
		for _, g := range slices.Concat(groups(), named()) {
			if g.name == strings.TrimSpace(name) {
				chosen, found = append(chosen, g), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there are no rows %q: there are %s", name, strings.Join(groupNames(), ", "))
		}
	}
	return chosen, nil
}
