// Command simulate rolls out thousands of random candidates and prints how the default policy and its
// sisters decide them, as a Markdown table. It is where the figures of docs/rollouts.md come from.
//
// What it promises: the same seed and number of runs print the same bytes on every machine of one
// architecture. Candidates go through the same rollout.Analysis and rollout.Plan as a saga's do.
//
// What it does not: it sends no request; traffic, errors and labels are drawn.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
)

const (
	begin = "<!-- simulation:begin -->\n"
	end   = "<!-- simulation:end -->\n"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(out)
	runs := flags.Int("runs", 2000, "rollouts for each row")
	seed := flags.Uint64("seed", 1, "of the random numbers")
	write := flags.String("w", "", "write the tables into this file, between its simulation markers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *runs < 1 {
		return fmt.Errorf("-runs %d: at least 1 is needed", *runs)
	}
	tables, err := report(*runs, *seed)
	if err != nil {
		return err
	}
	if *write == "" {
		_, err = out.Write(tables)
		return err
	}
	return replace(*write, tables)
}

// replace writes the tables between the markers of a document and leaves the rest alone.
func replace(path string, tables []byte) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(document, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("%s: there are no lines %q and %q to write between", path, begin, end)
	}
	mark, err := fingerprint(tables)
	if err != nil {
		return err
	}
	document = bytes.Join([][]byte{before, []byte(begin), tables, mark, []byte(end), after}, nil)
	return os.WriteFile(path, document, 0o644)
}

// fingerprint is a comment below the tables that goes stale when somebody edits them, or when the code
// decides differently: its digest covers the tables and what a few rollouts a row print now. So a test
// need not repeat them all.
func fingerprint(tables []byte) ([]byte, error) {
	const few, seed = 4, 1
	now, err := report(few, seed)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "<!-- simulation:fingerprint %x -->\n", sha256.Sum256(append(now, tables...))), nil
}
