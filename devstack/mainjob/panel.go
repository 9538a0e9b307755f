package mainjob

import (
	"fmt"
	"io"
	"strings"
)

// panel prints the story: lines that stay, and on a terminal one line that is redrawn in place.
type panel struct {
	out   io.Writer
	width int    // of the terminal, in columns; 0 when it is none
	last  string // the last status, so that plain output says each thing once
}

func newPanel(out io.Writer, width int) *panel { return &panel{out: out, width: width} }

const eraseLine = "\r\x1b[2K"

func (p *panel) heading(text string) {
	p.line("")
	p.line("── %s", text)
}

func (p *panel) line(format string, args ...any) {
	if p.width > 0 {
		fmt.Fprint(p.out, eraseLine)
	}
	fmt.Fprintf(p.out, format+"\n", args...)
	p.last = ""
}

// status shows what goes on now; plain output prints it once for each key.
func (p *panel) status(key, format string, args ...any) {
	p.redraw(fmt.Sprintf(format, args...), key)
}

// progress shows a bar; in plain output a line every ten percent.
func (p *panel) progress(what string, percentage float64, detail string) {
	const width = 30
	done := min(width, int(percentage/100*width))
	bar := strings.Repeat("█", done) + strings.Repeat("░", width-done)
	p.redraw(fmt.Sprintf("%s %s %3.0f %%  %s", what, bar, percentage, detail), fmt.Sprintf("%s %d %%", what, int(percentage)/10*10))
}

// redraw shows the text in place, or as a line when the key has changed.
func (p *panel) redraw(text, key string) {
	if p.width > 0 {
		if runes := []rune(text); len(runes) >= p.width { // a wrapped line could not be erased
			text = string(runes[:p.width-1])
		}
		fmt.Fprint(p.out, eraseLine+text)
		return
	}
	if key != p.last {
		fmt.Fprintln(p.out, "   "+text)
		p.last = key
	}
}
