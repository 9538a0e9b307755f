package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pruned is what a piece of a sweep did.
type Pruned struct {
	Removed int64 // commands
	More    bool  // the sweep goes on: ask again
}

// PruneCommands forgets commands, of every tenant, that are older than the retention, a day at least. Each call is a
// short transaction over a piece of the table, and the place is kept in the database: any number of processes may ask,
// one works at a time, and what one leaves unfinished another goes on with. A sweep begins at the earliest a pause after
// the last one ended.
func (s *Store) PruneCommands(ctx context.Context, retention, pause time.Duration) (Pruned, error) {
	const pages = 512 // 4 MiB
	var done Pruned
	batch := &pgx.Batch{}
	batch.Queue(`select removed, more from phantom.prune_commands($1, $2, $3)`, retention, pause, pages).
		QueryRow(func(row pgx.Row) error { return row.Scan(&done.Removed, &done.More) })
	if err := s.send(ctx, batch); err != nil {
		return Pruned{}, fmt.Errorf("forget commands older than %s: %w", retention, err)
	}
	return done, nil
}
