package projection_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/projection"
)

func TestFollowersLagUntilTheyAcknowledge(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	f := projection.NewFollowers(s.pool, time.Hour)
	lagging := func(tenant string, position int64) []string {
		names, err := f.Lagging(t.Context(), tenant, "gateways", position)
		require.NoError(t, err)
		return names
	}
	require.Empty(t, lagging("a", 5), "nobody is there to wait for")
	for _, name := range []string{"g2", "g1"} {
		require.NoError(t, f.Beat(t.Context(), "gateways", name))
	}
	require.NoError(t, f.Beat(t.Context(), "others", "o1"))
	require.Equal(t, []string{"g1", "g2"}, lagging("a", 5))
	require.NoError(t, f.Ack(t.Context(), "a", "gateways", "g1", 5))
	require.Equal(t, []string{"g2"}, lagging("a", 5))
	require.NoError(t, f.Ack(t.Context(), "a", "gateways", "g1", 3), "an old acknowledgement")
	require.Equal(t, []string{"g2"}, lagging("a", 5), "does not go back")
	require.Equal(t, []string{"g1", "g2"}, lagging("b", 1), "tenants are apart")
	require.NoError(t, f.Leave(t.Context(), "gateways", "g2"))
	require.Empty(t, lagging("a", 5))
	require.Equal(t, []string{"g1"}, lagging("a", 6))
}

func TestADeadFollowerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	f := projection.NewFollowers(s.pool, 100*time.Millisecond)
	require.NoError(t, f.Beat(t.Context(), "gateways", "g1"))
	s.eventually(func() bool {
		names, err := f.Lagging(t.Context(), "a", "gateways", 1)
		return err == nil && len(names) == 0
	}, "the lease is over")
	require.NoError(t, f.Beat(t.Context(), "gateways", "g1"))
	names, err := projection.NewFollowers(s.pool, 0).Lagging(t.Context(), "a", "gateways", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"g1"}, names, "it is back")
}
