package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

const (
	outputTable = "table"
	outputJSON  = "json"
)

func (p *program) json() bool { return p.output == outputJSON }

// note is a hint for a person: on standard error, never with --quiet.
func (p *program) note(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintln(p.errs, clean(fmt.Sprintf(format, args...)))
	}
}

func (p *program) notes(texts []string) {
	for _, text := range texts {
		p.note("%s", text)
	}
}

// print writes the API's object as it came; on a terminal indented.
func (p *program) print(raw json.RawMessage) error {
	if terminal(p.out) {
		var pretty bytes.Buffer
		if json.Indent(&pretty, raw, "", "  ") == nil {
			raw = pretty.Bytes()
		}
	}
	_, err := fmt.Fprintf(p.out, "%s\n", raw)
	return err
}

// table writes rows under a header; with --quiet only the first column. A column named STATE, STATUS or
// VERDICT is colored on a terminal.
func (p *program) table(header []string, rows [][]string) {
	if p.quiet {
		for _, row := range rows {
			fmt.Fprintln(p.out, clean(row[0]))
		}
		return
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for i, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for c, text := range row {
			cells[c] = orDash(clean(text))
			if p.colored() && isState(header[c]) {
				cells[c] = paint(cells[c], i == 0)
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
}

// field is one line of what a get shows; an empty value is left out.
type field struct{ name, value string }

func (p *program) fields(fields []field) {
	w := tabwriter.NewWriter(p.out, 0, 0, 3, ' ', 0)
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		value := clean(f.value)
		if p.colored() && isState(strings.ToUpper(f.name)) {
			value = paint(value, false)
		}
		fmt.Fprintf(w, "%s\t%s\n", f.name, value)
	}
	w.Flush()
}

func isState(column string) bool {
	return column == "STATE" || column == "STATUS" || column == "VERDICT"
}

// paint colors a state. Every cell of the column gets as many bytes of color, the header too: the
// tabwriter counts them, and the columns stay aligned.
func paint(text string, header bool) string {
	color := "39" // the terminal's own
	word, _, _ := strings.Cut(text, " ")
	switch word {
	case "completed", "promoted", "deployed", "passed", "ok", "registered":
		color = "32"
	case "failed", "rolled_back", "rejected", "bad":
		color = "31"
	case "running", "training", "canary", "inconclusive", "waiting", "warning":
		color = "33"
	}
	if header {
		color = "39"
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (p *program) colored() bool {
	return !p.noColor && !p.cfg.CLI.NoColor && (terminal(p.out) || p.forceLive)
}

// terminal tells whether a person watches.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// clean makes what came from elsewhere harmless for a terminal and for a table.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, text)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ago is "3 minutes ago"; "" for no time.
func (p *program) ago(at *time.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return humanize.RelTime(*at, p.now(), "ago", "from now")
}

// when is a time with its age and its actor.
func (p *program) when(at *time.Time, by string) string {
	if at == nil || at.IsZero() {
		return ""
	}
	text := at.UTC().Format(time.DateTime) + "Z (" + p.ago(at) + ")"
	if by != "" {
		text += " by " + by
	}
	return text
}

// took is how long something went on; "" while it has no end.
func took(from time.Time, to *time.Time) string {
	if to == nil {
		return ""
	}
	d := to.Sub(from)
	if d > time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// number is a metric for people.
func number(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

func numberOf(metrics map[string]float64, name string) string {
	if value, ok := metrics[name]; ok {
		return number(value)
	}
	return ""
}

// metricsText is all metrics in one line, by name.
func metricsText(metrics map[string]float64) string {
	parts := make([]string, 0, len(metrics))
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		parts = append(parts, name+" "+number(metrics[name]))
	}
	return strings.Join(parts, ", ")
}

// short cuts what is too long for a column.
func short(text string) string {
	const most = 60
	if strings.HasPrefix(text, "sha256:") && len(text) > 19 {
		return text[:19] + "…"
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// opt is a value that may be null.
func opt[T ~string](value *T) string {
	if value == nil {
		return ""
	}
	return string(*value)
}
