package readmodel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/domain"
)

// answerTimeout bounds a question, if the caller does not.
const answerTimeout = 30 * time.Second

// Reader answers questions from the live generation of the read models.
type Reader struct {
	pool *pgxpool.Pool
}

// NewReader takes a pool of the serving role.
func NewReader(pool *pgxpool.Pool) *Reader { return &Reader{pool: pool} }

// liveSQL is the generation that answers for a projection, as a part of a query. Without a runner there
// are no rows, and so no generation.
func liveSQL(projection string) string {
	return `(select live_generation from phantom.projection_generation where projection = '` + projection + `')`
}

// placeSQL sets the tenant, and tells where a projection stands, as the beginning of a query from s. The place is looked up
// by the tenant that was set, and so after it.
func placeSQL(projection string) string {
	return `
with s as materialized (select set_config('phantom.tenant', $1, true) as tenant)
select coalesce((
	select c.position
	from phantom.projection_checkpoint c
	join phantom.projection_generation g
		on g.projection = c.projection and g.log = c.log and g.live_generation = c.generation
	where c.tenant_id = s.tenant and c.projection = ` + projection + `), 0)`
}

// positionSQL is asked before the rows, so an answer has at least seen that.
func positionSQL() string { return placeSQL("$2") + ` from s` }

// query is a question in the making. $1 is always the tenant.
type query struct {
	projection string
	sql        strings.Builder
	args       []any
}

func newQuery(tenant domain.Tenant, projection, sql string) *query {
	q := &query{projection: projection, args: []any{tenant}}
	q.sql.WriteString(sql)
	return q
}

// add appends SQL; each ? in it is the next value.
func (q *query) add(sql string, values ...any) *query {
	for _, value := range values {
		q.args = append(q.args, value)
		sql = strings.Replace(sql, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.sql.WriteString(sql)
	return q
}

// when appends SQL with a value if there is one.
func when[S ~string](q *query, sql string, value S) {
	if value != "" {
		q.add(sql, value)
	}
}

// asOf takes the rows of a history table that are current, or were at a position.
func (q *query) asOf(alias string, position int64) *query {
	if position <= 0 {
		return q.add(` and ` + alias + `.to_position is null`)
	}
	return q.add(fmt.Sprintf(` and %[1]s.from_position <= ? and (%[1]s.to_position is null or %[1]s.to_position > ?)`,
		alias), position, position)
}

// listed lets the indexes for lists answer. They hold rows after position 0, which all are, and no other question says so: one
// that looks a row up by its key finds it by that, whatever the planner knows of the tables.
func (q *query) listed(alias string) *query { return q.add(` and ` + alias + `.from_position > 0`) }

// until takes the rows of an appended table that were there at a position.
func (q *query) until(alias string, position int64) *query {
	if position <= 0 {
		return q
	}
	return q.add(` and `+alias+`.position <= ?`, position)
}

// ask runs the question as the tenant, and answers with rows and the position that they have seen.
func ask[R any](ctx context.Context, r *Reader, q *query) (rows []R, position int64, err error) {
	return askFor(ctx, r, q, pgx.RowToStructByNameLax[R])
}

// askFor does the same with rows that need a reading of their own.
func askFor[R any](ctx context.Context, r *Reader, q *query, read pgx.RowToFunc[R]) (rows []R, position int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(positionSQL(), q.args[0], q.projection).QueryRow(func(row pgx.Row) error {
		return row.Scan(&position)
	})
	batch.Queue(q.sql.String(), q.args...).Query(func(found pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(found, read)
		return err
	})
	if err := r.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, 0, fmt.Errorf("asking the read model %s: %w", q.projection, err)
	}
	return rows, position, nil
}

// askOne expects one row; none is a *domain.NotFound. Place and row come from one statement, which takes the server a third
// less than two; the row is looked for once the tenant is set.
func askOne[R any](ctx context.Context, r *Reader, q *query, kind, id string) (row R, position int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	q.args = append(q.args, q.projection)
	found, _ := r.pool.Query(ctx, placeSQL("$"+strconv.Itoa(len(q.args)))+`, found.*
from s
cross join lateral (select asked.* from (`+q.sql.String()+`) asked where s.tenant is not null limit 1) found`, q.args...)
	row, err = pgx.CollectOneRow(found, func(found pgx.CollectableRow) (R, error) {
		return pgx.RowToStructByNameLax[R](behind{found, &position})
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return row, 0, &domain.NotFound{Kind: kind, ID: id}
	case err != nil:
		return row, 0, fmt.Errorf("asking the read model %s: %w", q.projection, err)
	default:
		return row, position, nil
	}
}

// behind is a row behind a column that goes elsewhere, or nowhere.
type behind struct {
	pgx.CollectableRow

	first any
}

// FieldDescriptions implements pgx.CollectableRow.
func (b behind) FieldDescriptions() []pgconn.FieldDescription {
	return b.CollectableRow.FieldDescriptions()[1:]
}

// Scan implements pgx.CollectableRow.
func (b behind) Scan(into ...any) error {
	return b.CollectableRow.Scan(append([]any{b.first}, into...)...)
}

// utc is the same instant as everybody prints it.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	in := t.UTC()
	return &in
}
