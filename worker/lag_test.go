package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
	"phantom/internal/pgtest"
)

// TestLagIsScraped: what operators see of a subscription that is stuck in one tenant of two.
func TestLagIsScraped(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	store := eventstore.New(pool)
	for tenant, n := range map[string]int{"stuck": 7, "well": 5} {
		var events []eventstore.NewEvent
		for range n {
			events = append(events, eventstore.NewEvent{
				ID: uuid.New(), Type: "A", Version: 1, Data: json.RawMessage(`{}`), OccurredAt: time.Now(),
			})
		}
		_, err := store.Append(t.Context(), tenant, eventstore.Lifecycle,
			[]eventstore.Append{{Stream: eventstore.Stream{Type: "Thing", ID: "s"}, Events: events}}, nil)
		require.NoError(t, err)
	}
	tail := eventstore.NewTail(store, eventstore.Lifecycle)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { _ = tail.Run(ctx); ended <- struct{}{} }()
	go func() {
		_ = follow.Subscribe(ctx, pool, tail, follow.Subscription{Name: "mailer"}, func(ctx context.Context, d *follow.Delivery) error {
			if d.Tenant == "stuck" {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		ended <- struct{}{}
	}()
	defer func() { stop(); <-ended; <-ended }()
	require.Eventually(t, func() bool {
		lags, err := follow.Lags(t.Context(), pool)
		return err == nil && len(lags) == 1 && lags[0].Behind == 7 && lags[0].WorstTenant == "stuck"
	}, time.Minute, 5*time.Millisecond)

	for _, statement := range []string{
		`insert into phantom.projection_generation (projection, log) values ('rows', 'lifecycle')`,
		`insert into phantom.projection_parked (tenant_id, projection, generation, position, group_key, aggregate_type, aggregate_id, event_type, cause, parked_at)
			select 'stuck', 'rows', 1, n, 'g', 'Thing', 's', 'A', 'it is poison', clock_timestamp() - interval '90 s' from generate_series(1, 3) n`,
	} {
		_, err := pgtest.Pool(t, db.AdminURL).Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	collector := newLagCollector(pool)
	prometheus.MustRegister(collector)
	defer prometheus.Unregister(collector)
	scrape := func() string {
		answer := httptest.NewRecorder()
		operations(newReadiness(nil)).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
		require.Equal(t, http.StatusOK, answer.Code)
		return answer.Body.String()
	}
	page := scrape()
	for _, line := range []string{
		`phantom_subscription_lag_events{subscription="mailer"} 7`, `phantom_subscription_lag_tenants{subscription="mailer"} 1`,
		`phantom_subscription_lag_worst_tenant_events{subscription="mailer"} 7`, `phantom_lag_up 1`,
		`phantom_projection_parked_events{projection="rows"} 3`,
	} {
		require.Contains(t, page, line+"\n")
	}
	require.Contains(t, page, `phantom_subscription_lag_seconds{subscription="mailer"} `)
	require.NotContains(t, page, `phantom_subscription_lag_seconds{subscription="mailer"} 0`+"\n")
	require.Regexp(t, `phantom_projection_parked_oldest_seconds{projection="rows"} (9\d|[1-9]\d\d)`, page)
	require.NotContains(t, page, "stuck", "tenants are no label")
	stop()
	pool.Close()
	collector.next = time.Time{}
	page = scrape()
	require.Contains(t, page, "phantom_lag_up 0\n")
	require.NotContains(t, page, "phantom_subscription_lag_events{")
}
