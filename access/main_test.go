package access_test

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/access"
	"phantom/domain"
	"phantom/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme     domain.Tenant = "acme"
	umbrella domain.Tenant = "umbrella"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// house is a database with keys, and a verifier on it whose time stands still.
type house struct {
	*access.Keys
	*access.Verifier

	t     *testing.T
	db    *pgtest.Database
	pool  *pgxpool.Pool
	clock *clock
}

func build(t *testing.T, params access.VerifierParams) *house {
	t.Helper()
	db := pgtest.New(t)
	h := &house{t: t, db: db, pool: db.Pool(t), clock: &clock{now: time.Now()}}
	h.Keys = access.NewKeys(h.pool)
	h.Verifier = h.another(params)
	return h
}

// another is the verifier of another process.
func (h *house) another(params access.VerifierParams) *access.Verifier {
	if params.Pool == nil {
		params.Pool = h.pool
	}
	params.Now = h.clock.Now
	return access.NewVerifier(params)
}

func (h *house) create(tenant domain.Tenant, name string, role access.Role) (key access.Key, token string) {
	h.t.Helper()
	key, token, err := h.Create(h.t.Context(), tenant, access.Params{Name: name, Role: role, By: "ann"})
	require.NoError(h.t, err)
	return key, token
}

func (h *house) trail(tenant domain.Tenant) []access.KeyEvent {
	h.t.Helper()
	events, _, err := h.Trail(h.t.Context(), tenant, newest, 100)
	require.NoError(h.t, err)
	return events
}
