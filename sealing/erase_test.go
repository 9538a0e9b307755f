package sealing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/internal/pgtest"
	"phantom/sealing"
)

// admin runs a statement as a superuser.
func (h *house) admin(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := pgtest.Pool(t, h.db.AdminURL).Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// count asks as a superuser.
func (h *house) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, pgtest.Pool(t, h.db.AdminURL).QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

var erased = domain.Content{Erased: true} //nolint:gochecknoglobals // a value that tests compare with

func TestAnErasedSubjectStaysErased(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	ann, bo, model := sealed(t, h.Keyring, acme, inference("ann")), sealed(t, h.Keyring, acme, inference("bo")), sealed(t, h.Keyring, acme, inference(""))
	namesake := sealed(t, h.Keyring, "globex", inference("ann"))

	tombstones := h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"})
	require.Len(t, tombstones, 1)
	require.True(t, tombstones[0].Now)
	require.Equal(t, ann.Prediction.Sealed.Key, tombstones[0].KeyID.String())
	require.Equal(t, []string{"ann", "asked for it"}, []string{tombstones[0].By, tombstones[0].Reason})

	gone := opened(t, h.Keyring, acme, ann)
	require.Equal(t, erased, gone.Prediction)
	require.Equal(t, erased, gone.InputFeatures)
	for _, other := range []domain.InferenceMade{bo, model} {
		require.JSONEq(t, `{"x":[1,2]}`, string(opened(t, h.Keyring, acme, other).InputFeatures.Clear))
	}
	require.Equal(t, `"7"`, string(opened(t, h.Keyring, "globex", namesake).Prediction.Clear))

	// What comes later is recorded without content, and makes no new key.
	later := sealed(t, h.Keyring, acme, inference("ann"))
	require.Equal(t, erased, later.Prediction)
	require.Equal(t, erased, later.InputFeatures)
	require.Equal(t, domain.SubjectRef("ann"), later.SubjectRef)
	require.Equal(t, 3, h.count(t, "select count(*) from keyring.material"))

	again := h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"})
	require.Len(t, again, 1)
	require.False(t, again[0].Now)
	require.Equal(t, tombstones[0].ErasedAt, again[0].ErasedAt, "the first tombstone stands")
}

func TestASubjectWithoutAKeyIsErasedAheadOfTime(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	tombstones := h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"})
	require.Len(t, tombstones, 1)
	require.False(t, tombstones[0].Now)
	require.Equal(t, erased, sealed(t, h.Keyring, acme, inference("ann")).Prediction)
	require.Zero(t, h.count(t, "select count(*) from keyring.material"))
}

func TestAModelIsErasedUpToADay(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	on := func(day string) domain.InferenceMade {
		made := inference("")
		made.InferenceID = domain.InferenceID("digits:local:" + day + ":20000000-0000-4000-8000-000000000001")
		return made
	}
	var days []domain.InferenceMade
	for _, day := range []string{"2026-11-20", "2026-11-21", "2026-11-22"} {
		days = append(days, sealed(t, h.Keyring, acme, on(day)))
	}
	person := sealed(t, h.Keyring, acme, inference("ann"))
	letters := inference("")
	letters.ModelID = "letters"
	letters = sealed(t, h.Keyring, acme, letters)

	tombstones := h.erase(t, sealing.Erasure{Kind: sealing.Model, Name: "digits", Through: "2026-11-21"})
	require.Len(t, tombstones, 2)
	require.Equal(t, []string{"2026-11-20", "2026-11-21"}, []string{tombstones[0].Day, tombstones[1].Day})
	for i, made := range days {
		require.Equal(t, i < 2, opened(t, h.Keyring, acme, made).InputFeatures.Erased)
		require.Equal(t, `"7"`, string(opened(t, h.Keyring, acme, made).Prediction.Clear), "it was never sealed")
	}
	require.Equal(t, erased, sealed(t, h.Keyring, acme, on("2026-11-21")).InputFeatures)
	require.NotNil(t, sealed(t, h.Keyring, acme, on("2026-11-23")).InputFeatures.Sealed)
	require.False(t, opened(t, h.Keyring, acme, person).Prediction.Erased)
	require.False(t, opened(t, h.Keyring, acme, letters).InputFeatures.Erased)

	tombstones = h.erase(t, sealing.Erasure{Kind: sealing.Model, Name: "digits", Through: "9999-12-31"})
	require.Len(t, tombstones, 4)
	require.False(t, tombstones[0].Now)
	require.True(t, tombstones[3].Now)
}

// TestADestroyedKeyLeavesTheFiles: neither the row nor its old version is in the database's files, also
// while a snapshot from before is still open.
func TestADestroyedKeyLeavesTheFiles(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	for _, subject := range []domain.SubjectRef{"ann", "bo", "cy"} {
		sealed(t, h.Keyring, acme, inference(subject))
	}
	admin := pgtest.Pool(t, h.db.AdminURL)
	wrapped := map[string][]byte{}
	rows, err := admin.Query(t.Context(), `select k.name, m.wrapped from keyring.keys k join keyring.material m using (tenant_id, key_id)`)
	require.NoError(t, err)
	var name string
	var bytes []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &bytes}, func() error { wrapped[name] = append([]byte{}, bytes...); return nil })
	require.NoError(t, err)
	require.Len(t, wrapped, 3)
	folder := h.folder(t)
	h.admin(t, "checkpoint")
	require.Positive(t, filesWith(t, folder, wrapped["ann"]), "the search finds what is there")

	// A snapshot keeps old row versions from every vacuum. It has not read the keyring: that would be a lock.
	snapshot, err := admin.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, snapshot.Rollback(context.WithoutCancel(t.Context()))) })
	_, err = snapshot.Exec(t.Context(), "select count(*) from lifecycle.events")
	require.NoError(t, err)

	h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"})
	h.admin(t, "checkpoint")
	require.Zero(t, filesWith(t, folder, wrapped["ann"]))
	for _, other := range []string{"bo", "cy"} {
		require.Positive(t, filesWith(t, folder, wrapped[other]))
	}
}

// folder is where the database's tables lie.
func (h *house) folder(t *testing.T) string {
	t.Helper()
	var folder string
	const query = `select current_setting('data_directory') || '/base/' || oid from pg_database where datname = current_database()`
	require.NoError(t, pgtest.Pool(t, h.db.AdminURL).QueryRow(t.Context(), query).Scan(&folder))
	if _, err := os.ReadDir(folder); err != nil {
		t.Skipf("the files of PostgreSQL are not here, or not for this user: %v", err)
	}
	return folder
}

// filesWith counts the files under a folder that hold the text.
func filesWith(t *testing.T, folder string, text []byte) (count int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(content, text) {
			count++
		}
		return err
	}))
	return count
}

// TestWhoReadsTheKeyringForLongHoldsUpTheFileOnly: the key is dead all the same, and erasing again finishes it.
func TestWhoReadsTheKeyringForLongHoldsUpTheFileOnly(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	ann := sealed(t, h.Keyring, acme, inference("ann"))
	backup, err := pgtest.Pool(t, h.db.AdminURL).Begin(t.Context())
	require.NoError(t, err)
	_, err = backup.Exec(t.Context(), "lock table keyring.material in access share mode")
	require.NoError(t, err)
	owner := h.owner(t)
	_, err = owner.Exec(t.Context(), "set statement_timeout = '500ms'") // less patience than the real command
	require.NoError(t, err)
	what := sealing.Erasure{Tenant: acme, Kind: sealing.Subject, Name: "ann", By: "ann", Reason: "asked for it"}
	tombstones, err := sealing.Erase(t.Context(), owner, what)
	require.ErrorIs(t, err, sealing.ErrNotRewritten)
	require.Len(t, tombstones, 1)
	require.Equal(t, erased, opened(t, h.Keyring, acme, ann).Prediction)
	require.NoError(t, backup.Rollback(t.Context()))
	tombstones, err = sealing.Erase(t.Context(), owner, what)
	require.NoError(t, err)
	require.False(t, tombstones[0].Now)
}

// TestKeysAreMadeWhileOthersAreDestroyed: no key that was given out is lost by a rewrite.
func TestKeysAreMadeWhileOthersAreDestroyed(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	owner, done := h.owner(t), make(chan error, 1)
	go func() {
		for i := range 15 {
			what := sealing.Erasure{Tenant: acme, Kind: sealing.Subject, Name: fmt.Sprintf("gone-%d", i), By: "ann", Reason: "asked for it"}
			if _, err := sealing.Erase(t.Context(), owner, what); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	var made []domain.InferenceMade
	for i := 0; ; i++ {
		made = append(made, sealed(t, h.Keyring, acme, inference(domain.SubjectRef(fmt.Sprintf("here-%d", i)))))
		select {
		case err := <-done:
			require.NoError(t, err)
			require.NoError(t, h.Open(t.Context(), acme, made))
			for _, one := range made {
				require.Equal(t, `"7"`, string(one.Prediction.Clear))
			}
			return
		default:
		}
	}
}

// TestOnlyTheOwnerDestroys: the serving login reads and makes keys of its tenant, and that is all.
func TestOnlyTheOwnerDestroys(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	sealed(t, h.Keyring, acme, inference("ann"))
	refusals := map[string]string{
		"select * from keyring.erase('acme', 'subject', 'ann', '', 'me', 'why')": "42501",
		"select keyring.rewrite('acme')":                                         "42501",
		"update keyring.keys set erased_at = null":                               "42501",
		"delete from keyring.keys":                                               "42501",
		"delete from keyring.material":                                           "42501",
		"truncate keyring.material_0":                                            "42501",
		"select * from keyring.material_0":                                       "42501",
		"insert into keyring.keys (tenant_id, key_id, kind, name, day, erased_at) values ('acme', gen_random_uuid(), 'subject', 'x', '', now())": "42501",
		"insert into keyring.keys (tenant_id, key_id, kind, name, day) values ('globex', gen_random_uuid(), 'subject', 'x', '')":                 "42501",
	}
	for statement, code := range refusals {
		require.Equal(t, code, h.refusal(t, statement), statement)
	}
	for tenant, keys := range map[string]int{"": 0, "globex": 0, "acme": 1} {
		for _, table := range []string{"keyring.keys", "keyring.material"} {
			require.NoError(t, pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error {
				var seen int
				_, err := tx.Exec(t.Context(), "select set_config('phantom.tenant', $1, true)", tenant)
				require.NoError(t, err)
				require.NoError(t, tx.QueryRow(t.Context(), "select count(*) from "+table).Scan(&seen))
				require.Equal(t, keys, seen, "%s as %q", table, tenant)
				return nil
			}))
		}
	}
	for _, forbidden := range []string{"delete from keyring.keys", "truncate keyring.keys"} {
		_, err := pgtest.Pool(t, h.db.AdminURL).Exec(t.Context(), forbidden)
		require.ErrorContains(t, err, "is refused", "a tombstone is for ever")
	}
}

// refusal is the SQLSTATE that the serving login meets as tenant acme.
func (h *house) refusal(t *testing.T, statement string) string {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "select set_config('phantom.tenant', 'acme', true)")
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), statement)
		return err
	})
	code, is := errors.AsType[*pgconn.PgError](err)
	require.True(t, is, "%s: %v", statement, err)
	return code.Code
}

func TestAnErasureSaysWhoAndWhy(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	for field, e := range map[string]sealing.Erasure{
		"tenant":   {Tenant: "A", Kind: sealing.Subject, Name: "ann", By: "b", Reason: "r"},
		"subject":  {Tenant: acme, Kind: sealing.Subject, Name: "Ann Smith", By: "b", Reason: "r"},
		"model_id": {Tenant: acme, Kind: sealing.Model, Name: "A", Through: "2026-11-23", By: "b", Reason: "r"},
		"through":  {Tenant: acme, Kind: sealing.Model, Name: "digits", Through: "yesterday", By: "b", Reason: "r"},
		"kind":     {Tenant: acme, Kind: "all", By: "b", Reason: "r"},
		"by":       {Tenant: acme, Kind: sealing.Subject, Name: "ann", Reason: "r"},
		"reason":   {Tenant: acme, Kind: sealing.Subject, Name: "ann", By: "b"},
	} {
		_, err := sealing.Erase(t.Context(), h.owner(t), e)
		var invalid *domain.InvalidInput
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
	require.Zero(t, h.count(t, "select count(*) from keyring.keys"))
}
