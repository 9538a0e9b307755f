package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Kind is what keeps a cursor.
type Kind string

// The kinds of followers.
const (
	KindProjection   Kind = "projection" // its live generation
	KindSubscription Kind = "subscription"
)

// Lag is how far a follower is behind.
type Lag struct {
	Kind        Kind
	Name        string
	Behind      int64  // positions that are not acknowledged yet, of all tenants
	Tenants     int64  // that are behind
	WorstTenant string // empty when nobody is behind
	WorstBehind int64
	// Oldest is since when the oldest event waits that is not acknowledged, by the database's clock; 0 when none does.
	Oldest time.Duration
}

// Lags tells how far every projection and every subscription of the database is behind, also where none of them runs. It
// costs a lookup for each tenant: some 0.3 s for 10,000.
func Lags(ctx context.Context, pool *pgxpool.Pool) ([]Lag, error) {
	const query = `select kind, name, behind, tenants, coalesce(worst_tenant, ''), worst_behind,
		greatest(coalesce(extract(epoch from clock_timestamp() - oldest), 0), 0)::float8
		from phantom.feed_lags() order by kind, name`
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := pool.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("how far the followers are behind: %w", err)
	}
	lags, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lag, err error) {
		var seconds float64
		err = row.Scan(&l.Kind, &l.Name, &l.Behind, &l.Tenants, &l.WorstTenant, &l.WorstBehind, &seconds)
		l.Oldest = time.Duration(seconds * float64(time.Second))
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("how far the followers are behind: %w", err)
	}
	return lags, nil
}
