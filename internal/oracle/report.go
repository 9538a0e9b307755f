package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	Seed            uint64           `json:"seed"`
	Postgres        string           `json:"postgres"` // its version
	Seconds         float64          `json:"seconds"`  // of appending, under faults
	Events          int              `json:"events"`   // in the logs
	EventsPerSecond float64          `json:"events_per_second"`
	Faults          int              `json:"faults"`
	FaultsByKind    map[string]int   `json:"faults_by_kind"`
	Outcomes        outcomes         `json:"outcomes"`
	Findings        map[string]int   `json:"findings"` // what broke a promise of the store, by kind; empty is well
	Examples        []string         `json:"examples,omitempty"`
	Followers       []FollowerReport `json:"followers"`
	Naive           NaiveReport      `json:"naive"`
}

// Demands are the least that a run must have seen to count.
type Demands struct{ Events, Faults int }

// Verdict is nil when the store kept its word and the run was one that could have shown that it does not.
func (r Report) Verdict(least Demands) error {
	var problems []error
	for _, kind := range slices.Sorted(maps.Keys(r.Findings)) {
		problems = append(problems, fmt.Errorf("%s: %d", kind, r.Findings[kind]))
	}
	for _, f := range r.Followers {
		if f.Lost+f.Doubled+f.OutOfOrder+f.Wrong > 0 {
			problems = append(problems, fmt.Errorf("follower %q: %d lost, %d doubled, %d out of order, %d tenants with what does not stand there",
				f.Name, f.Lost, f.Doubled, f.OutOfOrder, f.Wrong))
		}
	}
	if r.Naive.Lost == 0 {
		problems = append(problems, errors.New("the naive reader lost nothing: this run could not have failed"))
	}
	if r.Events < least.Events || r.Faults < least.Faults {
		problems = append(problems, fmt.Errorf("%d events under %d faults: at least %d and %d were asked for", r.Events, r.Faults, least.Events, least.Faults))
	}
	return errors.Join(problems...)
}

// WriteJSON writes the report for machines.
func (r Report) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// String is the report for people.
func (r Report) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "oracle on PostgreSQL %s, seed %d: %d events in %s, %.0f/s, under %d faults\n", r.Postgres, r.Seed, r.Events,
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), r.EventsPerSecond, r.Faults)
	o := r.Outcomes
	fmt.Fprintf(&text, "calls %d: events acknowledged %d, refused %d, refused after an attempt without answer %d, never answered %d\n",
		o.Calls, o.Acknowledged, o.Refused, o.Unsure, o.Unknown)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nfault\tcount")
	for _, kind := range slices.Sorted(maps.Keys(r.FaultsByKind)) {
		fmt.Fprintf(table, "%s\t%d\n", kind, r.FaultsByKind[kind])
	}
	fmt.Fprintln(table, "\nfollower\tdelivered\tlost\tdoubled\tout of order\twrong\trestarts")
	for _, f := range r.Followers {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", f.Name, f.Delivered, f.Lost, f.Doubled, f.OutOfOrder, f.Wrong, f.Restarts)
	}
	fmt.Fprintf(table, "naive reader\t%d\t%d of %d\n", r.Naive.Delivered, r.Naive.Lost, r.Naive.Rows)
	_ = table.Flush() // into memory
	fmt.Fprintln(&text, "\nthe log:")
	if len(r.Findings) == 0 {
		fmt.Fprintln(&text, "  0 lost, 0 doubled, 0 out of order, 0 misplaced, every expectation held")
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Findings)) {
		fmt.Fprintf(&text, "  %s: %d\n", kind, r.Findings[kind])
	}
	for _, example := range r.Examples {
		fmt.Fprintln(&text, "  "+example)
	}
	return text.String()
}
