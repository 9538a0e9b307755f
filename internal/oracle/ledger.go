package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"phantom/eventstore"
)

// entry is one line of a ledger; one of its fields is set.
type entry struct {
	Try   *call   `json:"try,omitempty"`   // the call will be sent, for the first time or after a restart
	Done  *answer `json:"done,omitempty"`  // the store has answered
	Fault string  `json:"fault,omitempty"` // a fault that the process caused or met
	Wrong string  `json:"wrong,omitempty"` // an answer that breaks a promise
}

// answer is what the store said of a call.
type answer struct {
	Call  callID   `json:"call"`
	Taken bool     `json:"taken"` // acknowledged; else refused
	Parts []placed `json:"parts,omitempty"`
	// Unsure: an attempt before had no answer, and may yet be carried out. A refusal says nothing then.
	Unsure bool `json:"unsure,omitempty"`
}

// placed is the outcome of one stream of a call that was taken.
type placed struct {
	Revision int64     `json:"revision"`
	Position int64     `json:"position"`
	Recorded time.Time `json:"recorded,omitzero"`
	Last     *key      `json:"last,omitempty"` // the event that stands there; none for a guard and where all was skipped
}

// answerOf writes down what the store acknowledged.
func answerOf(c call, done []eventstore.Appended, unsure bool) answer {
	a := answer{Call: c.ID, Taken: true, Unsure: unsure}
	for i := range c.Parts {
		a.Parts = append(a.Parts, placed{
			Revision: done[i].Revision, Position: done[i].Position, Recorded: done[i].RecordedAt, Last: lastOf(c.keys(i), done[i]),
		})
	}
	return a
}

// lastOf is the last event that was not skipped.
func lastOf(keys []key, done eventstore.Appended) *key {
	skipped := make(map[key]bool, len(done.Skipped))
	for _, id := range done.Skipped {
		if k, ok := keyOf(id); ok {
			skipped[k] = true
		}
	}
	for i := len(keys) - 1; i >= 0; i-- {
		if !skipped[keys[i]] {
			return &keys[i]
		}
	}
	return nil
}

// ledger is written line by line, each with one write, so that a line is whole or missing however the process ends.
type ledger struct{ file *os.File }

func openLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &ledger{file}, nil
}

// write is safe for concurrent use: the file is in append mode.
func (l *ledger) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode a ledger line: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// readLedger calls visit for every line. A last line that was cut off is left out.
func readLedger(path string, visit func(entry)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // its process was killed before it wrote anything
	}
	if err != nil {
		return fmt.Errorf("read a ledger: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ledger %s: %w", path, err)
		}
		var e entry
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return fmt.Errorf("decode a line of ledger %s: %w", path, err)
		}
		visit(e)
	}
}

// history is all that is known of one call.
type history struct {
	call   call
	answer *answer  // nil: it was never learned
	stored []uint64 // of each part, which of its own events were found; filled by the judge
}

// book is what all ledgers say together.
type book struct {
	calls  map[callID]*history
	faults map[string]int
	wrong  []string
}

func newBook() *book { return &book{calls: make(map[callID]*history), faults: make(map[string]int)} }

func (b *book) read(path string) error { return readLedger(path, b.add) }

func (b *book) add(e entry) {
	switch {
	case e.Try != nil:
		if b.calls[e.Try.ID] == nil { // a successor tries again what its predecessor left open
			b.calls[e.Try.ID] = &history{call: *e.Try, stored: make([]uint64, len(e.Try.Parts))}
		}
	case e.Done != nil:
		if h := b.calls[e.Done.Call]; h != nil {
			h.answer = e.Done
		}
	case e.Fault != "":
		b.faults[e.Fault]++
	case e.Wrong != "":
		b.wrong = append(b.wrong, e.Wrong)
	}
}

// open are the calls without an answer.
func (b *book) open() []call {
	var all []call
	for _, h := range b.calls {
		if h.answer == nil {
			all = append(all, h.call)
		}
	}
	return all
}
