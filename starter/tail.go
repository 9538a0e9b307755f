package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// maxEvent bounds a line of a stream, in bytes.
const maxEvent = 16 << 20

func (p *program) tailCommand() *cobra.Command {
	var f following
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow what happens, event by event, until Ctrl-C", Args: takes(0, 0, ""),
		Long: "Follow what happens, event by event, until Ctrl-C.\n\n" +
			"A connection that breaks is taken up where it broke. With -o json each line is one event.",
		RunE: p.does(func(ctx context.Context, _ []string) error {
			return f.run(ctx, p)
		}),
	}
	cmd.Flags().StringVar(&f.model, "model", "", "only events of this model, its trainings and rollouts")
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "only events of this type; several are any of them")
	cmd.Flags().StringVar(&f.after, "after", "", "begin after this position, 0 with the first event (default with what happens next)")
	return cmd
}

// following is one `phantom tail`.
type following struct {
	model string
	types []string
	after string // the last position that was seen; empty before the first
}

func (f *following) run(ctx context.Context, p *program) error {
	if _, err := strconv.ParseUint(f.after, 10, 63); f.after != "" && err != nil {
		return usagef("--after is %q: accepted is a position, from 0 on", f.after)
	}
	for began := false; ; {
		connected, err := f.copy(ctx, p)
		switch {
		case ctx.Err() != nil: // Ctrl-C is how a tail ends
			return nil //nolint:nilerr // and whatever broke off by it
		case err != nil && (!passing(err) || !began && !connected):
			return err
		case connected:
			p.note("the stream broke off; taking it up again")
		}
		began = began || connected
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.look):
		}
	}
}

// copy prints a stream until it ends, and tells whether there was one.
func (f *following) copy(ctx context.Context, p *program) (connected bool, err error) {
	query := url.Values{}
	for _, name := range f.types {
		query.Add("type", name)
	}
	set(query, "after", f.after)
	path := "/api/v1/events"
	if f.model != "" {
		path = modelPath(f.model) + "/events"
	}
	response, err := p.api.Stream(ctx, client.Request{
		Path: path, Query: query, Header: http.Header{"Accept": {"text/event-stream"}},
	})
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if f.after == "" { // what happens while a connection is broken is not to be missed
		f.after = response.Header.Get("Phantom-Position")
	}
	return true, f.print(p, response.Body)
}

// print shows each event once its end has come: of one that broke off there may be half a line.
func (f *following) print(p *program, stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	data := ""
	for lines.Scan() {
		if text, is := strings.CutPrefix(lines.Text(), "data: "); is {
			data = text
		}
		if lines.Text() != "" || data == "" {
			continue
		}
		e, err := decode[event](json.RawMessage(data), "the stream")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(p.out, f.line(p, e, data)); err != nil {
			return err
		}
		f.after, data = strconv.FormatInt(e.Position, 10), ""
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %s broke off: %w", client.ErrUnreachable, p.api.URL, err)
	}
	return nil
}

func (f *following) line(p *program, e event, raw string) string {
	if p.json() {
		return raw
	}
	model, _, _ := strings.Cut(e.AggregateID, "/")
	at := ""
	if e.OccurredAt != nil {
		at = e.OccurredAt.UTC().Format("2006-01-02 15:04:05Z")
	}
	return clean(strings.TrimSpace(fmt.Sprintf("%d  %s  %s  %s  by %s  %s", e.Position, at, e.EventType, model, e.Metadata.Actor.Subject, e.gist())))
}
