package eventstore

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// auditPage is how many events one query of an audit reads. They are looked at one by one as they arrive.
const auditPage = 1000

// Auditor tells whether history has been changed.
//
// What it promises: an edit, a deletion, an exchange, an insertion or a truncation of a log's chained history is found
// and its first position named, also when a superuser did it; and also when digests and links were computed anew, as
// far as the last anchor reaches. Memory is bounded by one event and one call.
//
// What it does not: it finds no rewritten end behind the last anchor whose links are consistent. Events that are older
// than the chain are held to their digests and their order alone.
type Auditor struct {
	store   *Store
	anchors AnchorStore
}

// NewAuditor makes an auditor of a store's logs.
func NewAuditor(store *Store, anchors AnchorStore) *Auditor { return &Auditor{store, anchors} }

// Flaw is a way in which history can be broken.
type Flaw string

// The flaws.
const (
	FlawMissing Flaw = "missing" // no event has the position
	FlawDigest  Flaw = "digest"  // the event is not what was appended
	FlawOrder   Flaw = "order"   // position, revision or recorded_at does not follow on what stands before
	FlawLink    Flaw = "link"    // a link is missing, or does not cover what stands there
	FlawAnchor  Flaw = "anchor"  // history agrees with itself, and not with what was anchored
)

// Break is the first place where history is broken.
type Break struct {
	Position int64  `json:"position"` // the first that is broken, or may be
	Through  int64  `json:"through"`  // the last that may be: a link and an anchor cover several
	Flaw     Flaw   `json:"flaw"`
	Detail   string `json:"detail"`
}

// Report is what an audit of one log found.
type Report struct {
	Tenant       string `json:"tenant"`
	Log          Log    `json:"log"`
	Events       int64  `json:"events"`           // that were verified
	FirstChained int64  `json:"first_chained"`    // the first position that a link covers; 0 when none does
	LastVerified int64  `json:"last_verified"`    // nothing is wrong up to here
	LastAnchor   int64  `json:"last_anchor"`      // the last anchor that agrees; 0 when none does
	Broken       *Break `json:"broken,omitempty"` // nil: all well
}

// Tenants are those that the log has events or anchors of, sorted.
func (a *Auditor) Tenants(ctx context.Context, log Log) ([]string, error) {
	heads, err := a.store.Heads(ctx, log)
	if err != nil {
		return nil, err
	}
	anchored, err := anchoredTenants(ctx, a.anchors, log)
	if err != nil {
		return nil, err
	}
	for _, tenant := range anchored {
		heads[tenant] = max(heads[tenant], 0)
	}
	return slices.Sorted(maps.Keys(heads)), nil
}

// Verify reads a tenant's whole log and holds it to its digests, its links and its anchors. What is wrong with history
// stands in the report; an error says that it could not be read.
func (a *Auditor) Verify(ctx context.Context, tenant string, log Log) (Report, error) {
	next, stop := iter.Pull2(anchors(ctx, a.anchors, log, tenant))
	defer stop()
	w := &walk{report: Report{Tenant: tenant, Log: log}, link: FirstLink(log, tenant), anchors: next}
	if err := place(tenant, log); err != nil {
		return w.report, err
	}
	if err := w.nextAnchor(); err != nil {
		return w.report, err
	}
	for {
		head, err := a.store.Head(ctx, tenant, log)
		if err != nil {
			return w.report, err
		}
		// An anchor is written after its event was committed: read after the anchor, the head has reached it.
		if head <= w.at {
			w.end()
			return w.report, nil
		}
		if err := a.walkTo(ctx, w, head); err != nil || w.report.Broken != nil {
			return w.report, err
		}
		if w.anchor == nil {
			w.end()
			return w.report, nil
		}
	}
}

// walkTo goes on up to a position at which a call ended.
func (a *Auditor) walkTo(ctx context.Context, w *walk, through int64) error {
	const query = `select ` + envelope + `, link, aggregate_version = 1 or exists (
			select from lifecycle.events p
			 where p.tenant_id = e.tenant_id and p.aggregate_type = e.aggregate_type and p.aggregate_id = e.aggregate_id
			   and p.aggregate_version = e.aggregate_version - 1 and p.position < e.position)
		from lifecycle.events e where tenant_id = $1 and position > $2 and position <= $3 order by position limit $4`
	tenant, log := w.report.Tenant, w.report.Log
	for w.at < through && w.report.Broken == nil {
		began := w.at
		batch := asTenant(tenant)
		batch.Queue(log.in(query), tenant, w.at, through, auditPage).Query(w.read)
		if err := a.store.send(ctx, batch); err != nil {
			return fmt.Errorf("audit the %s log of tenant %s after %d: %w", log, tenant, began, err)
		}
		if w.at == began && w.report.Broken == nil {
			w.breaks(FlawMissing, w.at+1, through, "no event stands there")
		}
	}
	return nil
}

// read looks at a page's events one by one, and no further than the first break.
func (w *walk) read(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var link []byte
		var follows bool
		e, err := scanEvent(wider{rows, []any{&link, &follows}})
		if err != nil {
			return err
		}
		if err := w.step(e, link, follows); err != nil || w.report.Broken != nil {
			return err
		}
	}
	return rows.Err()
}

// wider is a row of an event with more columns behind the envelope's.
type wider struct {
	pgx.Rows
	more []any
}

func (w wider) Scan(columns ...any) error { return w.Rows.Scan(append(columns, w.more...)...) }
