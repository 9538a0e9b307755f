package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// view shows what goes on, on standard error: on a terminal in one line that is redrawn, elsewhere in
// plain lines, one for each change.
type view struct {
	out   io.Writer
	live  bool
	quiet bool
	width func() int // of the terminal, in cells
	last  string     // the key of what was said last
	mute  int        // looks in a row at which the saga did not say how it stands
}

const (
	eraseLine = "\r\x1b[2K"
	barWidth  = 20
)

func (p *program) view() *view {
	v := &view{out: p.errs, quiet: p.quiet, live: terminal(p.errs) || p.forceLive, width: func() int { return 80 }}
	if file, ok := p.errs.(*os.File); ok && v.live {
		v.width = func() int {
			if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 1 {
				return columns
			}
			return 80
		}
	}
	return v
}

// status shows a text; in plain lines once for each key.
func (v *view) status(key, text string) { v.draw(key, text) }

// progress shows a bar; in plain lines every ten percent.
func (v *view) progress(what string, percentage float64, detail string) {
	percentage = max(0, min(100, percentage))
	if !v.live {
		v.draw(fmt.Sprintf("%s %d", what, int(percentage)/10), fmt.Sprintf("%s %3.0f %%  %s", what, percentage, detail))
		return
	}
	done := int(percentage / 100 * barWidth)
	bar := strings.Repeat("█", done) + strings.Repeat("░", barWidth-done)
	v.draw("", fmt.Sprintf("%s %s %3.0f %%  %s", what, bar, percentage, detail))
}

func (v *view) draw(key, text string) {
	switch {
	case v.quiet:
	case v.live:
		// A line that wraps could not be redrawn in place.
		runes := []rune(clean(text))
		fmt.Fprint(v.out, eraseLine+string(runes[:min(len(runes), v.width()-1)]))
		v.last = text
	case key != v.last:
		fmt.Fprintln(v.out, clean(text))
		v.last = key
	}
}

// end leaves the terminal's line.
func (v *view) end() {
	if v.live && !v.quiet && v.last != "" {
		fmt.Fprint(v.out, eraseLine)
	}
}
