package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// row is one comparison. Ratio is of events a second, ours to the other's; where Times is set, of times, and then the floor
// is the most that it may be.
type row struct {
	Name    string  `json:"name"`
	Against string  `json:"against"`
	Floor   float64 `json:"floor,omitempty"` // 0: the row is told and not judged
	Aim     float64 `json:"aim,omitempty"`
	Times   bool    `json:"times,omitempty"`
	Within  within  `json:"within,omitzero"` // where there is nobody to compare to
	Note    string  `json:"note,omitempty"`

	Ratio  float64   `json:"ratio"` // the median
	Ratios []float64 `json:"ratios"`
	Ours   sample    `json:"ours"` // medians
	Theirs sample    `json:"theirs"`

	ours, theirs []sample
}

// within is the most that the medians may be.
type within struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

// alone adds a round that nothing is compared to.
func (r *row) alone(ours sample) { r.ours = append(r.ours, ours) }

// add adds a round.
func (r *row) add(ours, theirs sample) {
	r.ours, r.theirs = append(r.ours, ours), append(r.theirs, theirs)
	if r.Times {
		r.Ratios = append(r.Ratios, float64(ours.P50)/float64(theirs.P50))
	} else {
		r.Ratios = append(r.Ratios, ours.PerSecond/theirs.PerSecond)
	}
}

// summarize fills in the medians.
func (r *row) summarize() {
	r.Ratio = median(r.Ratios)
	r.Ours, r.Theirs = middle(r.ours), middle(r.theirs)
}

func middle(all []sample) sample {
	var perSecond []float64
	var p50, p99 []time.Duration
	for _, s := range all {
		perSecond, p50, p99 = append(perSecond, s.PerSecond), append(p50, s.P50), append(p99, s.P99)
	}
	return sample{PerSecond: median(perSecond), P50: median(p50), P99: median(p99)}
}

// median of none is 0.
func median[N float64 | time.Duration | int64](values []N) N {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// meets tells whether the row is at its floor.
func (r row) meets() bool {
	switch {
	case r.Within != within{}:
		return (r.Within.P50 == 0 || r.Ours.P50 <= r.Within.P50) && r.Ours.P99 <= r.Within.P99
	case r.Floor == 0:
		return true
	case r.Times:
		return r.Ratio <= r.Floor
	}
	return r.Ratio >= r.Floor
}

func (r row) line() string {
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |",
		r.Name, r.Against, r.bounds(), r.measured(), r.Ours, r.Theirs, r.Note)
}

// told is what is judged.
func (r row) told() string {
	if r.Within != (within{}) {
		return r.Ours.String()
	}
	return fmt.Sprintf("%.2f", r.Ratio)
}

func (r row) bounds() string {
	switch {
	case r.Within.P50 > 0:
		return fmt.Sprintf("p50 ≤ %g ms, p99 ≤ %g ms", milliseconds(r.Within.P50), milliseconds(r.Within.P99))
	case r.Within.P99 > 0:
		return fmt.Sprintf("p99 ≤ %g ms", milliseconds(r.Within.P99))
	case r.Floor == 0:
		return "–"
	case r.Times:
		return fmt.Sprintf("≤ %g", r.Floor)
	case r.Aim == 0 || r.Aim == r.Floor:
		return fmt.Sprintf("≥ %g", r.Floor)
	}
	return fmt.Sprintf("≥ %g / %g", r.Floor, r.Aim)
}

func (r row) measured() string {
	mark := ""
	if !r.meets() {
		mark = " missed"
	}
	if len(r.Ratios) == 0 {
		return "–" + mark
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)%s", r.Ratio, slices.Min(r.Ratios), slices.Max(r.Ratios), mark)
}

func (s sample) String() string {
	if s == (sample{}) {
		return "–"
	}
	return fmt.Sprintf("%.0f/s, %.2f / %.2f ms", s.PerSecond, milliseconds(s.P50), milliseconds(s.P99))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// report is a run.
type report struct {
	Machine machine `json:"machine"`
	Command string  `json:"command"`
	Rows    []row   `json:"rows"`
}

func (r *report) missed() []string {
	var names []string
	for _, row := range r.Rows {
		if !row.meets() {
			names = append(names, fmt.Sprintf("%s: %s, floor %s", row.Name, row.told(), row.bounds()))
		}
	}
	return names
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n`%s`\n\n", r.Machine, r.Command)
	b.WriteString("| what | against | floor / aim | ratio, median (least–most) | ours: events a second, p50 / p99 | the other | |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		b.WriteString(row.line() + "\n")
	}
	return b.String()
}

// The marks between which a document holds the table.
const (
	markBegin = "<!-- bench: begin -->\n"
	markEnd   = "<!-- bench: end -->\n"
)

// write writes the files that are named.
func (r *report) write(jsonFile, docFile string) error {
	var errs []error
	if jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.WriteFile(jsonFile, append(text, '\n'), 0o600)
		}
		errs = append(errs, err)
	}
	if docFile != "" {
		errs = append(errs, r.insert(docFile))
	}
	return errors.Join(errs...)
}

func (r *report) insert(docFile string) error {
	text, err := os.ReadFile(docFile)
	if err != nil {
		return fmt.Errorf("read the document of the table: %w", err)
	}
	before, rest, begins := strings.Cut(string(text), markBegin)
	_, after, ends := strings.Cut(rest, markEnd)
	if !begins || !ends {
		return fmt.Errorf("%s lacks the lines %q and %q", docFile, markBegin, markEnd)
	}
	return os.WriteFile(docFile, []byte(before+markBegin+r.markdown()+markEnd+after), 0o644)
}
