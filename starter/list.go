package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/pflag"

	"phantom/api/client"
)

// page is a piece of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor"`
	HasMore    bool   `json:"has_more"`
}

// listing says how a list is asked for and shown.
type listing[T any] struct {
	path   string
	query  url.Values
	header []string
	row    func(T) []string
	more   string // the flag that takes next_cursor
	none   string // what is said of an empty list
}

// show asks for one page and prints it.
func (l listing[T]) show(ctx context.Context, p *program) error {
	var raw json.RawMessage
	if err := p.call(ctx, client.Request{Path: l.path, Query: l.query}, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	found, err := decode[page[T]](raw, l.path)
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		p.note("%s", l.none)
		return nil
	}
	rows := make([][]string, len(found.Items))
	for i, item := range found.Items {
		rows[i] = l.row(item)
	}
	p.table(l.header, rows)
	if found.HasMore {
		p.note("there are more: --%s %s", l.more, found.NextCursor)
	}
	return nil
}

// decode reads the fields that a table shows.
func decode[T any](raw json.RawMessage, path string) (T, error) {
	var value T
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, fmt.Errorf("the answer to %s is not what this version of phantom knows (`phantom doctor` compares versions): %w", path, err)
	}
	return value, nil
}

// paging are the flags of a list.
type paging struct {
	limit  int
	cursor string
}

func (f *paging) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.limit, "limit", 0, "items in a page (default 50, at most 200)")
	flags.StringVar(&f.cursor, "cursor", "", "go on after the page before")
}

func (f *paging) query() url.Values {
	query := url.Values{}
	set(query, "cursor", f.cursor)
	if f.limit != 0 {
		query.Set("limit", strconv.Itoa(f.limit))
	}
	return query
}

// set leaves out what is empty: the API refuses parameters that say nothing.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

const asOfHelp = "as it was: a time (RFC 3339) or a position of the log"

// moment are the flags that ask for the past of a model.
type moment struct {
	asOf     string
	revision int64
}

func (m *moment) add(flags *pflag.FlagSet) {
	flags.StringVar(&m.asOf, "as-of", "", asOfHelp)
	flags.Int64Var(&m.revision, "at-revision", 0, "as it was right after this revision of the model")
}

// ask puts what was given into a query.
func (m *moment) ask(query url.Values) error {
	if m.asOf != "" && m.revision != 0 {
		return usagef("--as-of and --at-revision cannot both be given")
	}
	set(query, "as_of", m.asOf)
	if m.revision != 0 {
		query.Set("at_revision", strconv.FormatInt(m.revision, 10))
	}
	return nil
}
