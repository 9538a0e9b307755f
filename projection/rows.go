package projection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Rows is what a transaction writes: statements of the tenant whose turn it is, and whole rows, which one statement takes of
// all tenants together.
type Rows struct {
	pgx.Batch // of the tenant, which is set

	// Alone is true of a transaction of one tenant.
	Alone bool

	tenant     string
	statements []string
	whole      map[string]*wholeRows // by the statement that takes them
}

// Row is a whole row; its JSON has the columns as names.
type Row interface {
	// Tenant is that of the column tenant_id.
	Tenant() string
}

// wholeRows are rows as JSON, with a comma behind each. Those that end come before all that are made: a key may have one row
// without an end only.
type wholeRows struct {
	ended, made bytes.Buffer
}

// NamedRows is, in a statement of Store, the rows that it is given ($1), each of which becomes the transaction's tenant when
// its turn comes: row-level security holds for it as if it were alone. A statement that inserts takes one row after the other;
// one that joined them with others might look at these before.
func NamedRows(table string) string {
	return `json_populate_recordset(null::` + table + `, $1) r where set_config('phantom.tenant', r.tenant_id, true) is not null`
}

// Store gives rows to a statement: those that end, if it knows any, and those that are made.
func Store[R Row](rows *Rows, sql string, ended, made []R) error {
	if len(ended) == 0 && len(made) == 0 {
		return nil
	}
	to, known := rows.whole[sql]
	if !known {
		if rows.whole == nil {
			rows.whole = map[string]*wholeRows{}
		}
		to = &wholeRows{}
		rows.whole[sql], rows.statements = to, append(rows.statements, sql)
	}
	if err := give(&to.ended, rows.tenant, ended); err != nil {
		return err
	}
	return give(&to.made, rows.tenant, made)
}

// give refuses a row of another tenant than that whose turn it is: row-level security would not, as it takes each row's word.
func give[R Row](to *bytes.Buffer, tenant string, all []R) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	for _, row := range all {
		if whose := row.Tenant(); whose != tenant {
			return fmt.Errorf("a row of tenant %q for an event of tenant %q", whose, tenant)
		}
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("rows as JSON: %w", err)
		}
		to.WriteByte(',')
	}
	return nil
}

// queue queues the statements that take whole rows.
func (r *Rows) queue(batch *pgx.Batch) {
	for _, sql := range r.statements {
		rows := slices.Concat([]byte{'['}, r.whole[sql].ended.Bytes(), r.whole[sql].made.Bytes())
		rows[len(rows)-1] = ']'
		batch.Queue(sql, rows)
	}
}
