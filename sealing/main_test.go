package sealing_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/domain"
	"phantom/internal/pgtest"
	"phantom/sealing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const acme domain.Tenant = "acme"

// house is a database with a keyring on it, and what it takes to make more of them.
type house struct {
	*sealing.Keyring
	db      *pgtest.Database
	pool    *pgxpool.Pool
	keyFile string
}

func build(t *testing.T, params sealing.Params) *house {
	t.Helper()
	db := pgtest.New(t)
	h := &house{db: db, pool: db.Pool(t), keyFile: filepath.Join(t.TempDir(), "keys", "master.key")}
	h.Keyring = h.another(t, "file://"+h.keyFile, params)
	return h
}

// another is a keyring of another process on the same database.
func (h *house) another(t *testing.T, keysURL string, params sealing.Params) *sealing.Keyring {
	t.Helper()
	wrapper, err := sealing.OpenWrapper(t.Context(), keysURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, wrapper.Close()) })
	return sealing.New(h.pool, wrapper, params)
}

func (h *house) erase(t *testing.T, e sealing.Erasure) []sealing.Destroyed {
	t.Helper()
	if e.Tenant == "" {
		e.Tenant = acme
	}
	e.By, e.Reason = "ann", "asked for it"
	tombstones, err := sealing.Erase(t.Context(), h.owner(t), e)
	require.NoError(t, err)
	return tombstones
}

// owner is a connection of the schema's owner.
func (h *house) owner(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), h.db.OwnerURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}

// inference is one with inputs and a prediction, of a person or of nobody.
func inference(subject domain.SubjectRef) domain.InferenceMade {
	return domain.InferenceMade{
		InferenceID: domain.NewInferenceID("digits", "local", "2026-11-23", uuid.New()), ModelID: "digits", Version: "1", Target: "local",
		InputFeatures: domain.InClear(json.RawMessage(`{"x":[1,2]}`)), Prediction: domain.InClear(json.RawMessage(`"7"`)),
		Outcome: "ok", SampleRate: 1, SubjectRef: subject,
	}
}

func sealed(t *testing.T, k *sealing.Keyring, tenant domain.Tenant, made domain.InferenceMade) domain.InferenceMade {
	t.Helper()
	one := []domain.InferenceMade{made}
	require.NoError(t, k.Seal(t.Context(), tenant, one))
	return one[0]
}

func opened(t *testing.T, k *sealing.Keyring, tenant domain.Tenant, made domain.InferenceMade) domain.InferenceMade {
	t.Helper()
	one := []domain.InferenceMade{made}
	require.NoError(t, k.Open(t.Context(), tenant, one))
	return one[0]
}

func refused(t *testing.T, k *sealing.Keyring, tenant domain.Tenant, made domain.InferenceMade) error {
	t.Helper()
	err := k.Open(t.Context(), tenant, []domain.InferenceMade{made})
	require.Error(t, err)
	return err
}
