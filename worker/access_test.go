package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/access"
	"phantom/domain"
	"phantom/internal/config"
	"phantom/internal/pgtest"
	"phantom/serving/gateway"
)

func newKey(t *testing.T, pool *pgxpool.Pool, tenant domain.Tenant, role access.Role) string {
	t.Helper()
	_, token, err := access.NewKeys(pool).Create(t.Context(), tenant, access.Params{Name: "app", Role: role, By: "root"})
	require.NoError(t, err)
	return token
}

// ask sends a request with a key, if any.
func ask(t *testing.T, method, address, token, body string) (status int, header http.Header, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header, string(said)
}

const question = `{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["a"]}]}`

// Every route of the gateway: the key's tenant is served, another is not found, nobody without a key gets in, and all
// that stays so when PostgreSQL goes away.
func TestTheGatewayKnowsItsCallersByTheirKeys(t *testing.T) {
	t.Parallel()
	var keys *pgxpool.Pool
	var furnished atomic.Bool
	h := newErasureHouse(t, func(h *erasureHouse, p *gateway.Params) {
		keys = h.db.Pool(t)
		withKey, without := inferenceCaller(access.NewVerifier(access.VerifierParams{Pool: keys})), p.Identify
		p.Identify = func(r *http.Request) (domain.Tenant, domain.Actor, error) {
			if furnished.Load() {
				return withKey(r)
			}
			return without(r)
		}
	})
	furnished.Store(true)
	own := newKey(t, keys, domain.DefaultTenant, access.Viewer)
	other, stranger := newKey(t, keys, "umbrella", access.Admin), newKey(t, keys, domain.DefaultTenant, access.Admin)
	routes := map[string]int{
		"GET /v2/models/patients": http.StatusServiceUnavailable, "GET /v2/models/patients/versions/1": http.StatusServiceUnavailable, // the target has no metadata
		"GET /v2/models/patients/ready": http.StatusOK, "GET /v2/models/patients/versions/1/ready": http.StatusOK,
		"POST /v2/models/patients/infer": http.StatusOK, "POST /v2/models/patients/versions/1/infer": http.StatusOK,
	}
	look := func() {
		for route, want := range routes {
			method, path, _ := strings.Cut(route, " ")
			status, _, text := ask(t, method, h.url+path, own, question)
			require.Equal(t, want, status, "%s: %s", route, text)
			status, _, text = ask(t, method, h.url+path, other, question)
			require.Equal(t, http.StatusNotFound, status, "%s: %s", route, text)
			status, header, _ := ask(t, method, h.url+path, "", question)
			require.Equal(t, http.StatusUnauthorized, status, route)
			require.NotEmpty(t, header.Get("WWW-Authenticate"))
		}
	}
	look()
	keys.Close()
	look()
	status, header, _ := ask(t, http.MethodPost, h.url+"/v2/models/patients/infer", stranger, question)
	require.Equal(t, http.StatusServiceUnavailable, status, "a key that nobody has seen before")
	require.NotEmpty(t, header.Get("Retry-After"))
}

// The token opens everything; an API key opens what reads and asks the models of its tenant.
func TestTheModelServerIsGuarded(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	const token = "the token of the parts of Phantom"
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	server := httptest.NewServer(guarded(inside, token, access.NewVerifier(access.VerifierParams{Pool: pool})))
	t.Cleanup(server.Close)
	key := newKey(t, pool, "acme", access.Admin)
	const in = http.StatusTeapot
	for _, c := range []struct {
		route          string
		none, own, all int
	}{
		{"GET /v2/health/live", in, in, in},
		{"GET /v2/health/ready", in, in, in},
		{"GET /v2", 401, in, in},
		{"GET /v2/models/acme.digits.v1", 401, in, in},
		{"POST /v2/models/acme.digits.v1/infer", 401, in, in},
		{"GET /v2/models/acme-2.digits.v1", 401, 404, in},
		{"POST /v2/models/umbrella.digits.v1/infer", 401, 404, in},
		{"POST /v2/models/umbrella.digits.v1%2F..%2Facme.digits.v1/infer", 401, 404, in},
		{"POST /v2/repository/index", 401, 403, in},
		{"POST /v2/repository/models/acme.digits.v1/load", 401, 403, in},
		{"POST /v2/repository/models/acme.digits.v1/unload", 401, 403, in},
		{"GET /", 401, 403, in},
	} {
		method, path, _ := strings.Cut(c.route, " ")
		for shown, want := range map[string]int{"": c.none, key: c.own, token: c.all, token + "x": c.none} {
			status, _, text := ask(t, method, server.URL+path, shown, "")
			require.Equal(t, want, status, "%s with %q: %s", c.route, shown, text)
		}
	}
}

func TestTheTokenOfOneProcessIsMadeUp(t *testing.T) {
	t.Parallel()
	require.Empty(t, modelServerToken(config.Config{Auth: config.AuthOff}))
	require.Equal(t, "given", modelServerToken(config.Config{Auth: config.AuthKeys, ModelServerToken: "given"}))
	one, two := modelServerToken(config.Config{Auth: config.AuthKeys}), modelServerToken(config.Config{Auth: config.AuthKeys})
	require.GreaterOrEqual(t, len(one), 32)
	require.NotEqual(t, one, two)
}

func TestKeyBootstrapMakesTheFirstKey(t *testing.T) {
	db := pgtest.New(t)
	t.Chdir(t.TempDir())
	t.Setenv("DATABASE_URL", db.ServingURL)
	t.Setenv("PHANTOM_TENANT", "")
	bootstrap := func(args ...string) (status int, out, errs string) {
		var outs, errors bytes.Buffer
		status = run(t.Context(), append([]string{"key", "bootstrap"}, args...), &outs, &errors)
		return status, outs.String(), errors.String()
	}
	status, out, errs := bootstrap()
	require.Equal(t, 0, status, errs)
	require.Regexp(t, `^phk_[a-z2-7]{16}_[a-z2-7]{52}\n$`, out, "standard output is the key alone")
	require.Contains(t, errs, "now and never again")
	owner, err := access.NewVerifier(access.VerifierParams{Pool: db.Pool(t)}).Verify(t.Context(), strings.TrimSpace(out), "test")
	require.NoError(t, err)
	require.Equal(t, domain.DefaultTenant, owner.Tenant)
	require.Equal(t, access.Admin, owner.Role)

	status, out, errs = bootstrap()
	require.Equal(t, 1, status)
	require.Empty(t, out)
	require.Contains(t, errs, "tenant default: this tenant has an admin key already")
	status, out, errs = bootstrap("--tenant", "acme", "--name", "ann", "-o", "json")
	require.Equal(t, 0, status, errs)
	var made struct{ Name, APIKey string }
	require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(out, "api_key", "APIKey")), &made))
	require.Equal(t, "ann", made.Name)
	require.True(t, strings.HasPrefix(made.APIKey, "phk_"))
	for _, wrong := range []string{"--tenant=Acme", "--output=xml", "more"} {
		status, _, _ = bootstrap(wrong)
		require.Equal(t, 2, status, wrong)
	}
}

// The books are kept as long as a role serves, and written once more when it ends.
func TestBooksEndWithTheirRole(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	keys := access.NewVerifier(access.VerifierParams{Pool: pool})
	token := newKey(t, pool, "acme", access.Viewer)
	require.NoError(t, withBooks(t.Context(), keys, func(ctx context.Context) error {
		_, err := keys.Verify(ctx, token, "test")
		return err
	}))
	listed, _, err := access.NewKeys(pool).List(t.Context(), "acme", "", 1)
	require.NoError(t, err)
	require.NotNil(t, listed[0].LastUsedAt)
	require.ErrorIs(t, withBooks(t.Context(), keys, func(context.Context) error { return io.ErrNoProgress }), io.ErrNoProgress)
}
