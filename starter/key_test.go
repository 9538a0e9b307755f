package main_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/access"
	"phantom/api"
	"phantom/domain"
)

// withKeys wants an API key with every request.
func withKeys(pool **pgxpool.Pool) func(*api.Params) {
	return func(p *api.Params) {
		p.Verifier = access.NewVerifier(access.VerifierParams{Pool: *pool})
	}
}

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	secured := newHouse(t, func(p *api.Params) { p.Keys = access.NewKeys(h.pool) }, withKeys(&h.pool))
	_, root, err := access.NewKeys(h.pool).Bootstrap(t.Context(), domain.DefaultTenant, access.Params{Name: "root", By: "test"})
	require.NoError(t, err)
	as := func(key string, args ...string) result {
		return command{environ: []string{"PHANTOM_API_KEY=" + key}}.run(t.Context(), t, secured.url, args...)
	}
	does := func(key string, status int, says string, args ...string) string {
		t.Helper()
		r := as(key, args...)
		require.Equal(t, status, r.status, "%v: %s", args, r)
		require.Regexp(t, says, r.out+r.errs, "%v", args)
		return strings.TrimSpace(r.out)
	}
	does("", 6, `an API key is needed.*; PHANTOM_API_KEY names the key to use`, "model", "list")
	does("phk_wrong", 6, `this is no API key`, "model", "list")
	var id string
	made := does(root, 0, `now and never again`, "key", "create", "ci", "--role", "trainer", "--expires", "720h")
	require.Regexp(t, `^phk_[a-z2-7]{16}_[a-z2-7]{52}$`, made, "standard output is the key alone")
	id = made[4:20]
	does(made, 0, `no models`, "model", "list")
	does(made, 6, `create-key needs a key with the role admin or more; this one is a trainer`, "key", "create", "x", "--role", "admin")
	does(made, 6, `another tenant`, "model", "list", "--tenant", "umbrella")
	does(root, 6, `pause-projection concerns all tenants: .* ask whoever runs this server, .*operators in phantom.yaml`, "projection", "pause", "catalogue")
	does(root, 2, `role`, "key", "create", "x", "--role", "king")
	does(root, 2, `required flag\(s\) "role"|role`, "key", "create", "x")
	does(root, 0, id+` +ci +trainer +ok +.*from now`, "key", "list")
	does(root, 0, `revoked: key `+id+` of ci, trainer, `, "key", "revoke", id)
	does(root, 3, `key aaaaaaaaaaaaaaaa not found`, "key", "revoke", "aaaaaaaaaaaaaaaa")
	does(root, 0, id+` +ci +trainer +revoked`, "key", "list")
	does(root, 0, `key_revoked +`+id+` +root .*\n.*key_created`, "key", "events")
	text, err := os.ReadFile("../docs/secure.md")
	require.NoError(t, err)
	ran := 0
	for line := range strings.Lines(string(text)) {
		if typed, is := strings.CutPrefix(line, "phantom key "); is {
			out := does(root, 0, ``, append([]string{"key"}, strings.Fields(strings.Replace(typed, "KEY", id, 1))...)...)
			if ran++; strings.HasPrefix(out, "phk_") {
				id = out[4:20]
			}
		}
	}
	require.Equal(t, 4, ran, "the commands of docs/secure.md")
	require.NotContains(t, does(root, 0, `"items":`, "key", "list", "-o", "json"), "api_key")
}
