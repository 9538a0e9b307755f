package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"phantom/eventstore"
)

// digestRows compares lifecycle.append_one, called with a digest that is computed each time, with a copy of it that makes
// and reads no link, called with a constant digest. Both are called straight, in the same way.
func digestRows(ctx context.Context, l *lab, w *world) error {
	if err := w.copyWithoutLinks(ctx); err != nil {
		return err
	}
	for _, clients := range []int{1, 16} {
		r := row{
			Name:    fmt.Sprintf("append_one with digest and chain, %d clients over %d tenants", clients, l.options.tenants),
			Against: "a copy of it without link, a constant for the digest", Floor: 0.9, Aim: 0.9,
		}
		with := w.calling(clients, l.options.tenants, "append_one", func(tenant string, s eventstore.Stream, e eventstore.NewEvent) []byte {
			digest := eventstore.Digest(tenant, s, e)
			return digest[:]
		})
		constant := make([]byte, 32)
		without := w.calling(clients, l.options.tenants, "append_bare", func(string, eventstore.Stream, eventstore.NewEvent) []byte {
			return constant
		})
		if err := l.compare(ctx, r, with.over(clients, 1), without.over(clients, 1)); err != nil {
			return err
		}
	}
	return nil
}

// copyWithoutLinks makes lifecycle.append_bare out of append_one's own text.
func (w *world) copyWithoutLinks(ctx context.Context) error {
	var text string
	const query = `select pg_get_functiondef(p.oid) from pg_proc p
		where p.proname = 'append_one' and p.pronamespace = 'lifecycle'::regnamespace`
	if err := w.admin.QueryRow(ctx, query).Scan(&text); err != nil {
		return fmt.Errorf("read append_one: %w", err)
	}
	text, err := withoutLinks(text)
	if err != nil {
		return err
	}
	text += `;
		alter function lifecycle.append_bare owner to phantom_append;
		grant execute on function lifecycle.append_bare to phantom_serving`
	if _, err := w.admin.Exec(ctx, text); err != nil {
		return fmt.Errorf("make append_one without links: %w", err)
	}
	return nil
}

func withoutLinks(text string) (string, error) {
	// What hashes the link of one event, and what that of several, is cut out: from the first up to the second.
	for _, cut := range [][3]string{
		{"sha256(v_link || int8send(v_next)", ");\n  else", "null::bytea"},
		{"    v_link := sha256(v_link || (", "    insert into lifecycle.events", ""},
	} {
		before, rest, found := strings.Cut(text, cut[0])
		_, after, closed := strings.Cut(rest, cut[1])
		if !found || !closed {
			return "", fmt.Errorf("append_one does not hash its link after %q", cut[0])
		}
		text = before + cut[2] + cut[1] + after
	}
	for _, change := range [][2]string{
		{"lifecycle.append_one(", "lifecycle.append_bare("},
		{"case when e.n = v_given then v_link end", "null::bytea"},
		{"coalesce(l.link, sha256(convert_to('phantom.chain.1 lifecycle ' || p_tenant, 'UTF8')))", "null::bytea"},
		{"select e.position, e.recorded_at, e.link from", "select e.position, e.recorded_at from"},
	} {
		if strings.Count(text, change[0]) != 1 {
			return "", fmt.Errorf("append_one does not hold %q once", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	return text, nil
}

// calling calls one of the two functions for one event.
func (w *world) calling(clients, tenants int, function string, digest func(string, eventstore.Stream, eventstore.NewEvent) []byte) task {
	query := `select outcome from lifecycle.` + function + `(30000, $1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, null, null, null)`
	own := writers(clients, tenants)
	return func(ctx context.Context, client int) error {
		me := own[client]
		n := anywhere(me, client)
		to, e := tenant("own", n), me.event()
		correlation := e.CorrelationID
		var outcome string
		err := w.serving.QueryRow(ctx, query, to, me.stream.Type, me.stream.ID, me.revisions[n], [][16]byte{e.ID}, []string{e.Type},
			[]int32{int32(e.Version)}, []string{string(e.Data)}, []string{string(e.Metadata)}, []time.Time{e.OccurredAt}, []*string{nil},
			[]*string{&correlation}, [][]byte{digest(to, me.stream, e)}).Scan(&outcome)
		if err == nil && outcome != "appended" {
			err = fmt.Errorf("%s answered %s", function, outcome)
		}
		if err == nil {
			me.revisions[n]++
		}
		return err
	}
}
