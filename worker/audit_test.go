package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

func TestAuditVerifyTellsWhereHistoryIsBroken(t *testing.T) {
	db := pgtest.New(t)
	store := eventstore.New(db.Pool(t))
	for _, tenant := range []string{"acme", "globex"} {
		_, err := store.Append(t.Context(), tenant, eventstore.Lifecycle,
			[]eventstore.Append{{Stream: eventstore.Stream{Type: "Thing", ID: "s"}, Events: eventstoretest.Batch(3)}}, nil)
		require.NoError(t, err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("DATABASE_URL", db.ServingURL)
	t.Setenv("PHANTOM_ARTIFACTS_URL", "file://"+t.TempDir())
	audit := func(args ...string) (status int, out, errs string) {
		var outs, errors bytes.Buffer
		status = run(t.Context(), append([]string{"audit", "verify"}, args...), &outs, &errors)
		return status, outs.String(), errors.String()
	}
	status, out, errs := audit()
	require.Equal(t, 0, status, errs)
	require.Equal(t, "lifecycle acme: 3 events, chained from 1, verified to 3, anchored to 0: ok\n"+
		"lifecycle globex: 3 events, chained from 1, verified to 3, anchored to 0: ok\n", out)

	admin := pgtest.Pool(t, db.AdminURL)
	_, err := admin.Exec(t.Context(), `alter table lifecycle.events disable trigger refuse_change; update lifecycle.events set event_data = '{}' where tenant_id = 'acme' and position = 2`)
	require.NoError(t, err)
	status, out, errs = audit("--log", "lifecycle")
	require.Equal(t, 1, status)
	require.Contains(t, out, "lifecycle acme: 1 events, chained from 0, verified to 1, anchored to 0: BROKEN at 2 (digest): ")
	require.Contains(t, out, "lifecycle globex: 3 events, chained from 1, verified to 3, anchored to 0: ok\n", "the others are read")
	require.Contains(t, errs, "history has been changed: 1 logs are broken")

	status, out, _ = audit("--tenant", "acme", "--log", "lifecycle", "-o", "json")
	require.Equal(t, 1, status)
	var report eventstore.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.EqualValues(t, 2, report.Broken.Position)
	for _, wrong := range []string{"--log=diary", "--output=xml"} {
		status, _, errs = audit(wrong)
		require.Equal(t, 2, status)
		require.Contains(t, errs, "accepted is")
	}
}
