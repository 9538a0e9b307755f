package follow_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

// TestLags: of a subscription that is stuck in two tenants, of a projection that has handled a part, and of neither's
// tenants that are done.
func TestLags(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, err := pgtest.Pool(t, s.db.AdminURL).Exec(t.Context(), `
		insert into phantom.projection_generation (projection, log, live_generation) values ('rows', 'lifecycle', 2), ('none', 'inference', 1);
		insert into phantom.projection_checkpoint (tenant_id, log, projection, generation, epoch, position)
		values ('a', 'lifecycle', 'rows', 1, 1, 1), ('a', 'lifecycle', 'rows', 2, 1, 3), ('b', 'lifecycle', 'rows', 2, 1, 6)`)
	require.NoError(t, err)
	s.append("a", "A", 4)
	s.append("b", "A", 6)
	s.append("c", "A", 2)
	s.subscribe(s.pool, follow.Subscription{}, func(ctx context.Context, d *follow.Delivery) error {
		if d.Tenant != "b" {
			<-ctx.Done()
		}
		return ctx.Err()
	})
	s.reaches("b", 6)
	lags, err := follow.Lags(t.Context(), s.pool)
	require.NoError(t, err)
	require.Len(t, lags, 3)
	for i := range lags {
		if lags[i].Behind > 0 {
			require.Positive(t, lags[i].Oldest)
			require.Less(t, lags[i].Oldest, time.Hour)
			lags[i].Oldest = 0
		}
	}
	require.Equal(t, []follow.Lag{
		{Kind: follow.KindProjection, Name: "none"},
		{Kind: follow.KindProjection, Name: "rows", Behind: 1 + 2, Tenants: 2, WorstTenant: "c", WorstBehind: 2},
		{Kind: follow.KindSubscription, Name: "sub", Behind: 4 + 2, Tenants: 2, WorstTenant: "a", WorstBehind: 4},
	}, lags)
}
