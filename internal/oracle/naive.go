package oracle

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// naiveReader follows the naive table as the naive do: position > last.
type naiveReader struct {
	last      int64
	delivered map[int64]struct{}
}

// NaiveReport is what became of the naive reader. Lost must not be 0: else the run could not have shown a loss.
type NaiveReport struct {
	Rows      int `json:"rows"`
	Delivered int `json:"delivered"`
	Lost      int `json:"lost"`
}

// run reads until the context ends. Errors are waited out: they cost it nothing.
func (n *naiveReader) run(ctx context.Context, pool *pgxpool.Pool) {
	for ctx.Err() == nil {
		if read, err := n.once(ctx, pool); err != nil || read == 0 {
			rest(ctx, followerRest)
		}
	}
}

func (n *naiveReader) once(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	const query = `select position from oracle.naive where position > $1 order by position limit 1000`
	rows, err := pool.Query(ctx, query, n.last)
	if err != nil {
		return 0, err
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	for _, position := range positions {
		n.delivered[position] = struct{}{}
		n.last = position
	}
	return len(positions), err
}

// report reads the rest and compares with the table.
func (n *naiveReader) report(ctx context.Context, admin *pgxpool.Pool) (NaiveReport, error) {
	for {
		read, err := n.once(ctx, admin)
		if err != nil {
			return NaiveReport{}, fmt.Errorf("read the rest of the naive table: %w", err)
		}
		if read == 0 {
			break
		}
	}
	var r NaiveReport
	rows, err := admin.Query(ctx, `select position from oracle.naive`)
	if err != nil {
		return r, fmt.Errorf("read the naive table: %w", err)
	}
	var position int64
	_, err = pgx.ForEachRow(rows, []any{&position}, func() error {
		r.Rows++
		if _, ok := n.delivered[position]; ok {
			r.Delivered++
		} else {
			r.Lost++
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("read the naive table: %w", err)
	}
	return r, nil
}
