package main

import (
	"context"
	"io"
	"path/filepath"
	"time"
)

// Program is the program for a test: in a folder of its own, at a given time, looking at sagas often.
type Program struct {
	Folder    string
	Environ   []string
	In        io.Reader
	Out, Errs io.Writer
	Now       time.Time
	Live      bool   // as on a terminal
	Beside    string // the folder of the program; phantom-worker is looked for there
}

// Run runs it.
func (t Program) Run(ctx context.Context, args ...string) int {
	p := &program{
		folder: t.Folder, environ: t.Environ, in: t.In, out: t.Out, errs: t.Errs,
		now: func() time.Time { return t.Now }, look: time.Millisecond, forceLive: t.Live,
		executable: func() (string, error) { return filepath.Join(t.Beside, "phantom"), nil },
	}
	return p.run(ctx, args)
}

// The seams of the tests.
var (
	Run     = run     //nolint:gochecknoglobals // the seam of the tests
	Explain = explain //nolint:gochecknoglobals // the seam of the tests

	Sparkline = sparkline //nolint:gochecknoglobals // the seam of the tests
	Squeezed  = squeezed  //nolint:gochecknoglobals // the seam of the tests
	Bar       = bar       //nolint:gochecknoglobals // the seam of the tests
)

// Failed is the error of a job that ran and failed.
func Failed(text string) error { return &failure{exitFailed, text} }
