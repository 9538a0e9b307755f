// Package migrations holds the numbered SQL that makes Phantom's tables, functions, roles and policies, and runs it.
//
// What it promises: each step runs in one transaction under a lock of the database, so two runs at once and a run that
// was killed do no harm; it needs a login that may create roles and schemas, but no superuser; Down takes back every
// step but the roles, which other databases of the cluster may use.
//
// What it does not: it never runs by itself, and it grants phantom_serving to no login.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

// versionTable holds one number: the last step that was taken.
const versionTable = "phantom.schema_version"

// command is what an operator types when the schema is behind.
const command = "PHANTOM_MIGRATE_URL=<the owner's URL> phantom-worker migrate up"

//go:embed *.sql shared/*.sql
var files embed.FS

// ErrBehind says that the schema lacks steps of this program; the error's text holds the command to run.
var ErrBehind = errors.New("the schema is behind")

// ErrAhead says that the schema was made by a newer program.
var ErrAhead = errors.New("the schema is ahead")

// Progress is how far a database has come.
type Progress struct {
	Current int      // the last step that was taken; 0 is an empty database
	Latest  int      // the last step that this program has
	Pending []string // file names of the steps between them, in order
}

// Up takes every pending step and tells where the database stands then.
func Up(ctx context.Context, ownerURL string) (Progress, error) {
	return run(ctx, ownerURL, func(m *migrate.Migrator) error { return m.Migrate(ctx) })
}

// Down takes back every step. All events are lost.
func Down(ctx context.Context, ownerURL string) (Progress, error) {
	return run(ctx, ownerURL, func(m *migrate.Migrator) error { return m.MigrateTo(ctx, 0) })
}

// Status tells where the database stands. It makes the version table when there is none.
func Status(ctx context.Context, ownerURL string) (Progress, error) {
	return run(ctx, ownerURL, func(*migrate.Migrator) error { return nil })
}

// Querier is a pool or a connection of any role that may read the version.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Check returns ErrBehind or ErrAhead, each with what to do, unless the schema is the one of this program.
func Check(ctx context.Context, db Querier) error {
	latest, err := Latest()
	if err != nil {
		return err
	}
	current, err := version(ctx, db)
	switch {
	case err != nil:
		return err
	case current < latest:
		return fmt.Errorf("%w: step %d of %d; run: %s", ErrBehind, current, latest, command)
	case current > latest:
		return fmt.Errorf("%w: step %d, this program knows %d; run a newer phantom-worker", ErrAhead, current, latest)
	}
	return nil
}

// Latest is the number of the last step.
func Latest() (int, error) {
	names, err := migrate.FindMigrations(files)
	if err != nil {
		return 0, fmt.Errorf("read the embedded migrations: %w", err)
	}
	return len(names), nil
}

// Files are the SQL files, for those who must know whether a database that was made earlier is still the same.
func Files() fs.FS { return files }

// version reads the step of a database that may have none.
func version(ctx context.Context, db Querier) (int, error) {
	const query = `select version from phantom.schema_version`
	const (
		undefinedTable   = "42P01"
		invalidSchema    = "3F000"
		permissionDenied = "42501"
	)
	var current int
	err := db.QueryRow(ctx, query).Scan(&current)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch refused.Code {
		case undefinedTable, invalidSchema, permissionDenied:
			return 0, nil // before the first step nobody but the owner may look
		}
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return current, nil
}

func run(ctx context.Context, ownerURL string, step func(*migrate.Migrator) error) (done Progress, err error) {
	conn, err := pgx.Connect(ctx, ownerURL)
	if err != nil {
		return Progress{}, fmt.Errorf("connect to migrate (PHANTOM_MIGRATE_URL): %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := ensureSchema(ctx, conn); err != nil {
		return Progress{}, err
	}
	migrator, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return Progress{}, fmt.Errorf("make the table %s: %w", versionTable, err)
	}
	if err := migrator.LoadMigrations(files); err != nil {
		return Progress{}, fmt.Errorf("read the embedded migrations: %w", err)
	}
	var at string
	migrator.OnStart = func(_ int32, name, direction, _ string) { at = name + " " + direction }
	if err := step(migrator); err != nil {
		return Progress{}, fmt.Errorf("migrate, step %q: %w", at, explained(err))
	}
	return progress(ctx, migrator)
}

// ensureSchema makes the schema of the version table, which stands before the first step. A second run at the same
// moment may win.
func ensureSchema(ctx context.Context, conn *pgx.Conn) error {
	const duplicateSchema, uniqueViolation = "42P06", "23505"
	var exists bool
	if err := conn.QueryRow(ctx, `select exists (select from pg_namespace where nspname = 'phantom')`).Scan(&exists); err != nil {
		return fmt.Errorf("look for the schema phantom: %w", err)
	}
	if exists {
		return nil
	}
	_, err := conn.Exec(ctx, `create schema phantom`)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == duplicateSchema || refused.Code == uniqueViolation) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the schema phantom (the owner's login needs CREATE on the database): %w", err)
	}
	return nil
}

func progress(ctx context.Context, migrator *migrate.Migrator) (Progress, error) {
	current, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return Progress{}, fmt.Errorf("read the schema's version: %w", err)
	}
	done := Progress{Current: int(current), Latest: len(migrator.Migrations)}
	for _, m := range migrator.Migrations {
		if m.Sequence > current {
			done.Pending = append(done.Pending, m.Name)
		}
	}
	return done, nil
}

// explained adds to PostgreSQL's message what it says of the place and the way out.
func explained(err error) error {
	var refused migrate.MigrationPgError
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Detail == "" && refused.Hint == "" && refused.Where == "" {
		return err
	}
	return fmt.Errorf("%w (%s %s %s)", err, refused.Detail, refused.Hint, refused.Where)
}
