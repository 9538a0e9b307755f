package readmodel

import (
	"encoding/json"
	"fmt"
	"strings"

	"phantom/projection"
)

// placed is where a row stands: every table of the package has these columns, counters and appended
// rows but for the last two.
type placed struct {
	TenantID     string `json:"tenant_id"`
	Generation   int    `json:"generation"`
	FromPosition int64  `json:"from_position"`
	ToPosition   *int64 `json:"to_position"` // nil: it is so still
}

func (p *placed) place() *placed { return p }

// Tenant implements projection.Row.
func (p placed) Tenant() string { return p.TenantID }

// record is a row of a history table. key is unique among the tenant's current rows; keys are its values of table.keys.
type record interface {
	projection.Row
	place() *placed
	key() string
	keys() []any
}

// table names a history table and the columns that make its key, besides tenant, generation and
// from_position.
type table struct {
	name string
	keys []string
}

// history folds one table's rows over a batch of events in memory, and writes what came of it in one
// statement, or two. Each event that changes a row ends it and begins the next, also within the batch, so that
// the rows do not depend on how events were batched.
//
// Invariant: of each key, at most one row has no end, and it is the one in current.
type history[R any, P interface {
	*R
	record
}] struct {
	table   table
	scope   scope
	current map[string]P
	ended   []P // stored rows that end
	made    []P // rows to store
}

// scope is whose rows they are.
type scope struct {
	tenant     string
	generation int
}

func newHistory[R any, P interface {
	*R
	record
}](t table, s scope, stored []R) *history[R, P] {
	h := &history[R, P]{table: t, scope: s, current: make(map[string]P, len(stored))}
	for i := range stored {
		row := P(&stored[i])
		h.current[row.key()] = row
	}
	return h
}

// get copies the current row of a key. What it points to (maps, slices) is shared with the row that
// ends: replace it, never change it.
func (h *history[R, P]) get(key string) (R, bool) {
	row, there := h.current[key]
	if !there {
		var none R
		return none, false
	}
	return *row, true
}

// put makes a row the current one of its key, from the position on.
func (h *history[R, P]) put(next R, position int64) {
	row := P(&next)
	key := row.key()
	if former, there := h.current[key]; there && former.place().FromPosition == position {
		*row.place() = *former.place() // one event changes it twice
		*former = next
		return
	}
	h.end(key, position)
	*row.place() = placed{TenantID: h.scope.tenant, Generation: h.scope.generation, FromPosition: position}
	h.current[key] = row
	h.made = append(h.made, row)
}

// end leaves a key without a current row, from the position on.
func (h *history[R, P]) end(key string, position int64) {
	row, there := h.current[key]
	if !there {
		return
	}
	if place := row.place(); place.TenantID == "" { // loaded without its place: it is stored
		place.TenantID, place.Generation = h.scope.tenant, h.scope.generation
		h.ended = append(h.ended, row)
	}
	row.place().ToPosition = &position
	delete(h.current, key)
}

// ofModels looks up the current rows of models, one after the other (offset 0 keeps it so): a planner without statistics of
// the tenant takes it for a small one, and would read all that it has.
func ofModels(tableName, columns, alias string) string {
	return fmt.Sprintf(`
select k.tenant, %[2]s
from `+projection.NamedKeys+` k
cross join lateral (
	select * from phantom.%[1]s r
	where r.tenant_id = k.tenant and r.generation = $2 and r.model_id = k.id and r.to_position is null
	offset 0) as %[3]s`, tableName, columns, alias)
}

// ofChildren is ofModels for rows of a model's parts, whose keys are made by childKey.
func ofChildren(tableName, column, columns, alias string) string {
	return fmt.Sprintf(`
select k.tenant, %[3]s
from `+projection.NamedKeys+` k
cross join lateral (
	select * from phantom.%[1]s c
	where c.tenant_id = k.tenant and c.generation = $2 and c.to_position is null
		and c.model_id = split_part(k.id, '/', 1) and c.%[2]s = split_part(k.id, '/', 2)
	offset 0) as %[4]s`, tableName, column, columns, alias)
}

// storeRowsSQL inserts rows, each as its tenant.
func storeRowsSQL(tableName string) string {
	return `
insert into phantom.` + tableName + ` select * from ` + projection.NamedRows("phantom."+tableName)
}

// endRowsSQL ends rows of one tenant. It looks them up one after the other (offset 0 keeps it so), as ofModels does.
const endRowsSQL = `
update phantom.%[1]s t set to_position = c.to_position
from json_populate_recordset(null::phantom.%[1]s, $1) c
cross join lateral (
	select r.ctid from phantom.%[1]s r
	where r.tenant_id = $2 and r.generation = $3 and r.from_position = c.from_position%[2]s
	offset 0) as found
where t.ctid = found.ctid`

// write queues the rows. Where many tenants write, a row that is stored and ends is inserted again, and so meets itself: an
// UPDATE that joins the rows that it is given might look at the table before they name their tenant. Of one tenant's many rows
// that would cost more.
func (h *history[R, P]) write(rows *projection.Rows) error {
	if rows.Alone {
		if err := h.endAlone(rows); err != nil {
			return err
		}
		return store(rows, h.table.name, h.made)
	}
	sql := storeRowsSQL(h.table.name) + `
on conflict (tenant_id, generation, from_position, ` + strings.Join(h.table.keys, ", ") + `) do update
set to_position = excluded.to_position where excluded.to_position is not null`
	return projection.Store(rows, sql, h.ended, h.made)
}

func (h *history[R, P]) endAlone(rows *projection.Rows) error {
	if len(h.ended) == 0 {
		return nil
	}
	var same strings.Builder
	for _, column := range h.table.keys {
		fmt.Fprintf(&same, " and r.%[1]s = c.%[1]s", column)
	}
	ends := make([]map[string]any, len(h.ended))
	for i, row := range h.ended {
		ends[i] = map[string]any{"from_position": row.place().FromPosition, "to_position": row.place().ToPosition}
		for n, value := range row.keys() {
			ends[i][h.table.keys[n]] = value
		}
	}
	text, err := json.Marshal(ends)
	if err != nil {
		return fmt.Errorf("rows that end as JSON: %w", err)
	}
	rows.Queue(fmt.Sprintf(endRowsSQL, h.table.name, same.String()), text, h.scope.tenant, h.scope.generation)
	return nil
}

// store queues the insert of whole rows.
func store[R projection.Row](rows *projection.Rows, tableName string, all []R) error {
	return projection.Store(rows, storeRowsSQL(tableName), nil, all)
}
