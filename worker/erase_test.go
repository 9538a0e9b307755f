package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/sealing"
)

// TestEraseTellsWhatItDestroyed runs the command as an operator does.
func TestEraseTellsWhatItDestroyed(t *testing.T) {
	db := pgtest.New(t)
	t.Chdir(t.TempDir())
	t.Setenv("PHANTOM_MIGRATE_URL", db.OwnerURL)
	t.Setenv("PHANTOM_TENANT", "acme")
	wrapper, err := sealing.OpenWrapper(t.Context(), "file://"+t.TempDir()+"/master.key")
	require.NoError(t, err)
	keyring := sealing.New(db.Pool(t), wrapper, sealing.Params{})
	require.NoError(t, keyring.Seal(t.Context(), "acme", []domain.InferenceMade{
		{SubjectRef: "customer-17", InputFeatures: domain.InClear([]byte(`1`))},
		{
			InferenceID: "digits:local:2026-11-23:20000000-0000-4000-8000-000000000001", ModelID: "digits",
			InputFeatures: domain.InClear([]byte(`1`)),
		},
	}))
	for _, step := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"subject", "customer-17"}, 2, []string{"--reason is required"}},
		{[]string{"subject", "--reason", "r"}, 2, []string{"accepts 1 arg"}},
		{[]string{"subject", "Ann Smith", "--reason", "r"}, 1, []string{"subject: must match"}},
		{[]string{"model", "digits", "--reason", "r", "--through", "soon"}, 1, []string{"through: must be a day"}},
		{[]string{"subject", "customer-17", "--reason", "asked for it", "--by", "ann", "--tenant", "globex"}, 0, []string{"no key was left"}},
		{
			[]string{"subject", "customer-17", "--reason", "asked for it", "--by", "ann"},
			0,
			[]string{"destroyed: key ", "of subject customer-17, made", "destroyed 1; every worker has forgotten them in 1m0s"},
		},
		{
			[]string{"subject", "customer-17", "--reason", "again"},
			0,
			[]string{"gone: key ", "by ann: asked for it", "no key was left to destroy; content of later inferences"},
		},
		{[]string{"model", "digits", "--reason", "r", "--through", "2026-11-22"}, 0, []string{"no key was left to destroy"}},
		{[]string{"model", "digits", "--reason", "old"}, 0, []string{"of model digits, 2026-11-23, made", "destroyed 1"}},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, step.code, run(t.Context(), append([]string{"erase"}, step.args...), &out, &errs), "%v: %s", step.args, errs.String())
		for _, text := range step.says {
			require.Contains(t, out.String()+errs.String(), text, step.args)
		}
	}
	t.Setenv("PHANTOM_MIGRATE_URL", db.ServingURL)
	var out, errs bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"erase", "subject", "bo", "--reason", "r"}, &out, &errs))
	require.Contains(t, errs.String(), "permission denied")
	require.NoError(t, eventstore.CheckRole(t.Context(), db.Pool(t)), "the serving login is none that destroys")
}
