// Package pgtest gives each test a migrated PostgreSQL database of its own.
//
// What it promises: the database is cloned from a template that holds exactly the migrations of this build, made once
// by whichever test comes first in any process; it is dropped when the test ends; tests share nothing but the cluster's
// roles.
//
// What it does not: it starts no server. The stack of `make test` does, and PHANTOM_TEST_STACK names it.
package pgtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/internal/config"
	"phantom/migrations"
)

const (
	// lockNumber is the advisory lock, in the maintenance database, of whoever makes the template.
	lockNumber = 7351_0001
	setupLimit = time.Minute
	// poolSize is small: many tests run at once against one server.
	poolSize = 8
)

// Database is one test's own.
type Database struct {
	Name       string
	ServingURL string // the role that a worker connects as; holds phantom_serving
	OwnerURL   string // owns the database and its tables, no superuser
	AdminURL   string // a superuser, to break things
}

// New clones the template. It fails the test, and says what to run, when there is no stack.
func New(tb testing.TB) *Database {
	tb.Helper()
	return create(tb, true)
}

// NewEmpty makes a database without any migration.
func NewEmpty(tb testing.TB) *Database {
	tb.Helper()
	return create(tb, false)
}

// Pool is a pool of the serving role; it closes before the database is dropped.
func (d *Database) Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return Pool(tb, d.ServingURL)
}

// Pool is a pool on any of a database's URLs; it closes before the database is dropped.
func Pool(tb testing.TB, databaseURL string) *pgxpool.Pool {
	tb.Helper()
	return Tuned(tb, databaseURL, func(settings *pgxpool.Config) { settings.MaxConns = poolSize })
}

// Tuned is a pool on any of a database's URLs with settings of its own; it closes before the database is dropped.
func Tuned(tb testing.TB, databaseURL string, change func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	settings, err := pgxpool.ParseConfig(databaseURL)
	require.NoError(tb, err)
	change(settings)
	pool, err := pgxpool.NewWithConfig(tb.Context(), settings)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

func create(tb testing.TB, migrated bool) *Database {
	tb.Helper()
	stack, err := config.TestStack()
	require.NoError(tb, err, "there is no PostgreSQL for tests; run: make test")
	ctx, cancel := context.WithTimeout(tb.Context(), setupLimit)
	defer cancel()
	source := "template0"
	if migrated {
		source, err = template(ctx, stack.Postgres)
		require.NoError(tb, err, "make the template database")
	}
	name := "phantom_test_" + hex.EncodeToString(newID())
	require.NoError(tb, execute(ctx, stack.Postgres.OwnerURL, "create database "+name+" template "+source), "clone %s", source)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), setupLimit)
		defer cancel()
		// Sessions of the test may still be on their way out, and the owner may not end a superuser's.
		address := cmp.Or(stack.Postgres.AdminURL, stack.Postgres.OwnerURL)
		require.NoError(tb, execute(ctx, address, "drop database "+name+" with (force)"))
	})
	return &Database{
		Name:       name,
		ServingURL: inDatabase(tb, stack.Postgres.ServingURL, name),
		OwnerURL:   inDatabase(tb, stack.Postgres.OwnerURL, name),
		AdminURL:   inDatabase(tb, stack.Postgres.AdminURL, name),
	}
}

// template returns the name of the migrated database, and makes it when it is not there. It is made under another name
// and renamed, so a run that dies half-way leaves nothing that looks finished.
func template(ctx context.Context, server config.StackPostgres) (name string, err error) {
	contents, err := fingerprint()
	if err != nil {
		return "", err
	}
	name = "phantom_template_" + contents
	conn, err := pgx.Connect(ctx, server.OwnerURL)
	if err != nil {
		return "", fmt.Errorf("connect as the owner: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", lockNumber); err != nil {
		return "", fmt.Errorf("wait for another test to make the template: %w", err)
	}
	var ready bool
	const query = "select exists (select from pg_database where datname = $1)"
	if err := conn.QueryRow(ctx, query, name).Scan(&ready); err != nil || ready {
		return name, err
	}
	return name, makeTemplate(ctx, conn, server, name)
}

func makeTemplate(ctx context.Context, conn *pgx.Conn, server config.StackPostgres, name string) error {
	draft := name + "_draft"
	for _, statement := range []string{"drop database if exists " + draft, "create database " + draft + " template template0"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	owner, err := withDatabase(server.OwnerURL, draft)
	if err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, owner); err != nil {
		return err
	}
	if err := grantServing(ctx, conn, server.ServingURL); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "alter database "+draft+" rename to "+name); err != nil {
		return fmt.Errorf("rename %s: %w", draft, err)
	}
	return nil
}

// grantServing is what whoever sets up a database does after migrating. Roles are the cluster's: once is enough.
func grantServing(ctx context.Context, conn *pgx.Conn, servingURL string) error {
	settings, err := pgconn.ParseConfig(servingURL)
	if err != nil {
		return fmt.Errorf("read the serving URL: %w", err)
	}
	login := pgx.Identifier{settings.User}.Sanitize()
	if _, err := conn.Exec(ctx, "grant phantom_serving to "+login); err != nil {
		return fmt.Errorf("grant phantom_serving to %s: %w", login, err)
	}
	return nil
}

func execute(ctx context.Context, address, statement string) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// fingerprint names the content of all migrations.
func fingerprint() (string, error) {
	hash := sha256.New()
	files := migrations.Files()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the embedded migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

func inDatabase(tb testing.TB, address, name string) string {
	tb.Helper()
	if address == "" {
		return ""
	}
	moved, err := withDatabase(address, name)
	require.NoError(tb, err)
	return moved
}

func withDatabase(address, name string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read the stack's PostgreSQL address: %w", err)
	}
	parsed.Path = "/" + name
	return parsed.String(), nil
}

func newID() []byte {
	id := uuid.New()
	return id[:]
}
