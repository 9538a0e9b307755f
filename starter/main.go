// Command phantom is the client of a Phantom server: it talks to the HTTP API, and to the inference
// gateway for `infer`.
//
// What it promises: one line on standard error for whatever goes wrong, with what to do next, and an exit
// status that says whose turn it is (exit.go). With -o json standard output is exactly the API's object;
// progress and hints go to standard error. What it starts goes on without it: Ctrl-C on a wait detaches.
//
// What it does not: it decides nothing, keeps no state and opens no database. Every rule is the server's;
// only what it could not even send is refused here.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"phantom/internal/config"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends this process at once.
	context.AfterFunc(ctx, stop)
	status := run(ctx, os.Args[1:], config.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program; it answers with the exit status.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errs io.Writer) int {
	p := &program{
		folder: ".", environ: environ, in: in, out: out, errs: errs,
		now: time.Now, look: 500 * time.Millisecond, executable: os.Executable,
	}
	return p.run(ctx, args)
}
