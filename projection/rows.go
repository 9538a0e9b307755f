package projection

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Rows is what a transaction writes: statements of the tenant whose turn it is, and whole rows, which one statement takes of
// all tenants together.
type Rows struct {
	pgx.Batch // of the tenant, which is set

	tenant     string
	ends, made wholeRows
}

// Row is a whole row; its JSON has the columns as names.
type Row interface {
	// Tenant is that of the column tenant_id.
	Tenant() string
}

// wholeRows are rows by the statement that takes them, in the order of its first mention.
type wholeRows struct {
	statements []string
	rows       map[string]*bytes.Buffer
}

// NamedRows is, in a statement of End or Make, the rows that it is given ($1) as rows of a table, each of which becomes the
// transaction's tenant when its turn comes: row-level security holds for it as if it were alone. Nothing may come between a
// row and what is done for it: loops do, a hash join or a sort would be refused by the policies.
func NamedRows(table string) string {
	return `(
	select r.*, set_config('phantom.tenant', r.tenant_id, true) as named
	from json_populate_recordset(null::` + table + `, $1) r
	offset 0)`
}

// End gives rows, which become JSON, to a statement that ends such rows. It comes before all that make some: a key may have
// one row without an end only.
func End[R Row](rows *Rows, sql string, all []R) error { return give(rows, &rows.ends, sql, all) }

// Make gives rows, which become JSON, to a statement that makes some.
func Make[R Row](rows *Rows, sql string, all []R) error { return give(rows, &rows.made, sql, all) }

// give refuses a row of another tenant than that whose turn it is: row-level security would not, as it takes each row's word.
func give[R Row](rows *Rows, to *wholeRows, sql string, all []R) error {
	text, known := to.rows[sql]
	if !known {
		if to.rows == nil {
			to.rows = map[string]*bytes.Buffer{}
		}
		text = &bytes.Buffer{}
		to.rows[sql], to.statements = text, append(to.statements, sql)
	}
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	for i := range all {
		if whose := all[i].Tenant(); whose != rows.tenant {
			return fmt.Errorf("a row of tenant %q for an event of tenant %q", whose, rows.tenant)
		}
		separator := byte(',')
		if text.Len() == 0 {
			separator = '['
		}
		text.WriteByte(separator)
		if err := encoder.Encode(all[i]); err != nil {
			return fmt.Errorf("rows as JSON: %w", err)
		}
	}
	return nil
}

func (w *wholeRows) queue(batch *pgx.Batch) {
	for _, sql := range w.statements {
		if text := w.rows[sql]; text.Len() > 0 {
			text.WriteByte(']')
			batch.Queue(sql, text.Bytes())
		}
	}
}
