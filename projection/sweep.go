package projection

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const sweepSQL = `
delete from phantom.%[1]s where ctid = any (array(
    select ctid from phantom.%[1]s where tenant_id = $1 and generation = $2 limit $3))`

// sweep deletes a piece of a tenant's rows of a generation, or its checkpoint when there are none; it tells whether some
// may be left.
func (id identity) sweep(ctx context.Context, pool *pgxpool.Pool, tables []Table, tenant string) (left bool, err error) {
	const (
		parked = `delete from phantom.projection_parked where tenant_id = $1 and projection = $2 and generation = $3`
		place  = `delete from phantom.projection_checkpoint where tenant_id = $1 and log = $2 and projection = $3 and generation = $4`
	)
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setTenant, tenant, lockTimeout); err != nil {
			return err
		}
		for _, table := range tables {
			tag, err := tx.Exec(ctx, fmt.Sprintf(sweepSQL, table.Name), tenant, id.Generation, sweepRows)
			if err != nil {
				return err
			}
			if tag.RowsAffected() > 0 {
				left = true
				return nil
			}
		}
		if _, err := tx.Exec(ctx, parked, tenant, id.Projection, id.Generation); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, place, tenant, id.Log, id.Projection, id.Generation)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("dropping rows of %w", id.because(tenant, err))
	}
	return left, nil
}
