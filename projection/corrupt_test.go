package projection_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
)

// tamper changes a stored event behind the store's back, as only a superuser can.
func (s *stage) tamper(tenant string, position int64) {
	s.t.Helper()
	admin := pgtest.Pool(s.t, s.db.AdminURL)
	_, err := admin.Exec(s.t.Context(), "alter table lifecycle.events disable trigger refuse_change")
	require.NoError(s.t, err)
	_, err = admin.Exec(s.t.Context(),
		`update lifecycle.events set event_data = '"forged"' where tenant_id = $1 and position = $2`, tenant, position)
	require.NoError(s.t, err)
}

// An event that is not what was appended stops its own tenant, and nobody else's projection.
func TestACorruptEventStopsItsTenantAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	last := s.append("sick", good(5)...)
	s.tamper("sick", 3)
	healthy := s.append("well", good(10)...)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "well", healthy)

	var status projection.Status
	s.eventually(func() bool {
		var err error
		status, err = r.Status(t.Context(), "tally")
		return err == nil && status.Of("sick").LastError != ""
	}, "the status says why")
	sick := status.Of("sick").Tenants[0]
	require.EqualValues(t, 2, sick.Position, "what lies before it is applied")
	require.EqualValues(t, 3, *sick.StoppedAt)
	require.Contains(t, sick.Error, eventstore.ErrCorrupt.Error())
	require.Equal(t, 2, s.counted("sick", 1))
	s.waitFor(r, "well", s.append("well", good(1)...))
	require.Greater(t, last, sick.Position)
}
