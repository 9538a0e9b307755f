package e2e_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/devstack/stack"
	"phantom/internal/config"
	"phantom/internal/pgtest"
	"phantom/migrations"
)

// server is a PostgreSQL of one test's own, which it may stop.
type server struct {
	t     *testing.T
	stack *stack.Stack
	state string
}

// startServer starts a server and migrates its database.
func startServer(t *testing.T) (*server, *pgtest.Database) {
	t.Helper()
	folder := t.TempDir()
	s := &server{t: t, state: filepath.Join(folder, config.StateFolder)}
	var err error
	s.stack, err = stack.Up(t.Context(), stack.Options{
		Folder: folder, State: s.state, Environ: config.Environ(), Out: t.Output(), Scratch: true, OnlyPostgres: true,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stack.Close()) })
	at := s.stack.Addresses().Postgres
	_, err = migrations.Up(t.Context(), at.OwnerURL)
	require.NoError(t, err)
	admin, err := pgx.Connect(t.Context(), at.AdminURL)
	require.NoError(t, err)
	defer admin.Close(t.Context())
	_, err = admin.Exec(t.Context(), "grant phantom_serving to phantom")
	require.NoError(t, err)
	return s, &pgtest.Database{Name: "phantom", ServingURL: at.ServingURL, OwnerURL: at.OwnerURL, AdminURL: at.AdminURL}
}

// stop ends PostgreSQL, and the sessions of all who use it.
func (s *server) stop() {
	s.t.Helper()
	state, err := stack.ReadState(s.state)
	require.NoError(s.t, err)
	part, found := state.Part("postgres")
	require.True(s.t, found)
	require.NoError(s.t, part.Signal(syscall.SIGINT))
	<-s.stack.Deaths()
}

func (s *server) startAgain() {
	s.t.Helper()
	require.NoError(s.t, s.stack.Revive(s.t.Context()))
}
