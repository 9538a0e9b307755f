package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"phantom/access"
	"phantom/domain"
	"phantom/internal/pgtest"
)

var newest = uuid.Max //nolint:gochecknoglobals // a constant

func TestAKeyIsToldOnceAndKeptAsAHash(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, token := h.create(acme, "nightly", access.Trainer)
	require.Regexp(t, `^phk_`+key.KeyID+`_[a-z2-7]{52}$`, token)
	secret := token[strings.LastIndex(token, "_")+1:]

	err := pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `select set_config('phantom.tenant', 'acme', true)`)
		require.NoError(t, err)
		var text string
		require.NoError(t, tx.QueryRow(t.Context(), `select string_agg(row(f.*)::text, '') from phantom.access_find_key($1) f`, key.KeyID).Scan(&text))
		require.Contains(t, text, "nightly")
		require.NotContains(t, text, secret)
		_, err = tx.Exec(t.Context(), `select secret_sha256 from phantom.api_key`)
		return err
	})
	require.ErrorContains(t, err, "permission denied", "a list cannot show the hash")

	owner, err := h.Verify(t.Context(), token, "test")
	require.NoError(t, err)
	require.Equal(t, access.Principal{Tenant: acme, KeyID: key.KeyID, Name: "nightly", Role: access.Trainer}, owner)
}

func TestAKeyIsRefusedWhatItCannotBe(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	for field, p := range map[string]access.Params{
		"name":       {Name: " ", Role: access.Viewer},
		"role":       {Name: "x", Role: "root"},
		"expires_at": {Name: "x", Role: access.Viewer, ExpiresAt: time.Now().Add(-time.Second)},
	} {
		_, _, err := h.Create(t.Context(), acme, p)
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
	}
	_, _, err := h.Create(t.Context(), acme, access.Params{Name: "a\nb", Role: access.Viewer})
	require.ErrorIs(t, err, domain.ErrInvalidInput)
}

func TestKeysOfAnotherTenantAreNotThere(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, token := h.create(acme, "a", access.Admin)
	keys, more, err := h.List(t.Context(), umbrella, "", 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Empty(t, keys)
	_, err = h.Revoke(t.Context(), umbrella, key.KeyID, "eve")
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = h.Verify(t.Context(), token, "test")
	require.NoError(t, err, "and it stands")
	require.Empty(t, h.trail(umbrella))

	// A query that forgets its WHERE sees no row without a tenant, and none of another's.
	var count int
	require.NoError(t, h.pool.QueryRow(t.Context(), `select count(*) from (select key_id from phantom.api_key union all select key_id from phantom.access_event) x`).Scan(&count))
	require.Zero(t, count)
	_, err = h.pool.Exec(t.Context(), `insert into phantom.access_event (tenant_id, event_id, kind, key_id, done_by, operation, reason)
		values ('acme', gen_random_uuid(), 'key_revoked', 'x', 'x', '', '')`)
	require.ErrorContains(t, err, "row-level security")
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	made := map[string]bool{}
	for range 5 {
		key, _ := h.create(acme, "k", access.Viewer)
		made[key.KeyID] = true
	}
	after := ""
	for pages := 0; ; pages++ {
		keys, more, err := h.List(t.Context(), acme, after, 2)
		require.NoError(t, err)
		for _, key := range keys {
			require.True(t, made[key.KeyID])
			delete(made, key.KeyID)
			after = key.KeyID
		}
		if !more {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Empty(t, made)
	first, more, err := h.Trail(t.Context(), acme, newest, 3)
	require.NoError(t, err)
	require.True(t, more)
	rest, more, err := h.Trail(t.Context(), acme, first[2].EventID, 3)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, rest, 2)
}

func TestARevokedKeyIsRevokedOnce(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, _ := h.create(acme, "a", access.Viewer)
	first, err := h.Revoke(t.Context(), acme, key.KeyID, "ann")
	require.NoError(t, err)
	again, err := h.Revoke(t.Context(), acme, key.KeyID, "bob")
	require.NoError(t, err)
	require.Equal(t, first, again)
	events := h.trail(acme)
	require.Len(t, events, 2)
	require.Equal(t, access.KeyRevoked, events[0].Kind)
	require.Equal(t, "ann", events[0].DoneBy)
	require.Equal(t, access.KeyCreated, events[1].Kind)
	require.Equal(t, "viewer a", events[1].Reason)
}

func TestTheTrailIsNeverChanged(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	h.create(acme, "a", access.Viewer)
	owner := pgtest.Pool(t, h.db.OwnerURL)
	for _, statement := range []string{
		`update phantom.access_event set done_by = 'nobody'`, `delete from phantom.access_event`, `truncate phantom.access_event`,
	} {
		_, err := owner.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "is refused", statement)
		_, err = h.pool.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "permission denied", statement)
	}
	_, err := h.pool.Exec(t.Context(), `update phantom.api_key set role = 'admin'`)
	require.ErrorContains(t, err, "permission denied", "what a key may do never changes")
}

// Of many who bootstrap at once, one gets a key.
func TestBootstrapHappensOnce(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	got := make(chan string, 8)
	group, ctx := errgroup.WithContext(t.Context())
	for range 8 {
		group.Go(func() error {
			key, _, err := h.Bootstrap(ctx, acme, access.Params{Name: "first", By: "root"})
			if err == nil {
				require.Equal(t, access.Admin, key.Role)
				got <- key.KeyID
				return nil
			}
			require.ErrorIs(t, err, access.ErrBootstrapped)
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, got, 1)
	_, _, err := h.Bootstrap(t.Context(), umbrella, access.Params{Name: "first", By: "root"})
	require.NoError(t, err, "another tenant has a first one too")

	// Who has lost the last admin key begins anew.
	_, err = h.Revoke(t.Context(), acme, <-got, "root")
	require.NoError(t, err)
	_, _, err = h.Bootstrap(t.Context(), acme, access.Params{Name: "second", By: "root"})
	require.NoError(t, err)
}

func TestRolesAreInOrder(t *testing.T) {
	t.Parallel()
	roles := access.Roles()
	for i, has := range roles {
		for j, needed := range roles {
			require.Equal(t, i >= j, has.Allows(needed), "%s allows %s", has, needed)
		}
		require.False(t, access.Role("").Allows(has))
		require.False(t, has.Allows(""), "an operation without a role is nobody's")
	}
}
