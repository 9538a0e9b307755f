package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/devstack/stack"
	"phantom/internal/config"
	"phantom/migrations"
)

// heldLock is the advisory lock that the rows of Held events wait for.
const heldLock = 73510002

// The naive table, and how it is written. Its numbers come from a sequence, as in many an event store.
const (
	insertNaive = `insert into oracle.naive (writer) values ($1)`

	fixtures = `
create schema oracle;
create table oracle.naive (position bigint generated always as identity primary key, writer integer not null);
create table oracle.unrelated (n bigint generated always as identity);
create table oracle.cursors (follower text, tenant text, after bigint not null, primary key (follower, tenant));
create table oracle.effects (n bigint generated always as identity primary key, follower text not null, tenant text not null, position bigint not null, event_id uuid not null);
grant usage on schema oracle to phantom_serving;
grant select, insert on oracle.naive, oracle.effects to phantom_serving;
grant select, insert, update on oracle.cursors to phantom_serving;
create function oracle.hurt() returns trigger language plpgsql as $$
begin
  if new.event_type = 'Held' then
    perform pg_catalog.pg_advisory_xact_lock_shared(73510002);
  elsif pg_catalog.random() < 0.5 then
    raise exception 'a shaky row';
  end if;
  return new;
end $$;
create trigger hurt before insert on lifecycle.events for each row when (new.event_type in ('Held', 'Shaky')) execute function oracle.hurt();
create trigger hurt before insert on inference.events for each row when (new.event_type in ('Held', 'Shaky')) execute function oracle.hurt();`
)

// world is the private PostgreSQL of a run, on data that a crash spares.
type world struct {
	stack   *stack.Stack
	state   string
	admin   *pgxpool.Pool // a superuser in our database, not through any proxy
	serving string        // DSN of the serving role
}

// newWorld starts PostgreSQL in a folder, migrates a database and adds what the faults need.
func newWorld(ctx context.Context, folder string, fetched bool, out io.Writer) (_ *world, err error) {
	w := &world{state: filepath.Join(folder, config.StateFolder)}
	w.stack, err = stack.Up(ctx, stack.Options{
		Folder: folder, State: w.state, Environ: config.Environ(), Out: out,
		Scratch: true, Durable: true, OnlyPostgres: true, Fetched: fetched,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	at := w.stack.Addresses().Postgres
	w.serving = at.ServingURL
	if _, err := migrations.Up(ctx, at.OwnerURL); err != nil {
		return nil, err
	}
	adminURL, err := inDatabaseOf(at.AdminURL, at.ServingURL)
	if err != nil {
		return nil, err
	}
	settings, err := pgxpool.ParseConfig(adminURL)
	if err != nil {
		return nil, fmt.Errorf("read the superuser's DSN: %w", err)
	}
	settings.MaxConns = 24 // each foreign transaction holds one
	if w.admin, err = pgxpool.NewWithConfig(ctx, settings); err != nil {
		return nil, err
	}
	if _, err := w.admin.Exec(ctx, "grant phantom_serving to phantom;"+fixtures); err != nil {
		return nil, fmt.Errorf("make the tables and triggers of the faults: %w", err)
	}
	return w, nil
}

// inDatabaseOf is the first DSN in the database of the second.
func inDatabaseOf(dsn, other string) (string, error) {
	parsed, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("read a DSN of the stack: %w", err)
	}
	of, err := url.Parse(other)
	if err != nil {
		return "", fmt.Errorf("read a DSN of the stack: %w", err)
	}
	parsed.Path = of.Path
	return parsed.String(), nil
}

// throughProxy is the serving role's DSN by way of a proxy.
func (w *world) throughProxy(p *proxy) (string, error) {
	parsed, err := url.Parse(w.serving)
	if err != nil {
		return "", fmt.Errorf("read the serving DSN: %w", err)
	}
	parsed.Host = p.address()
	return parsed.String(), nil
}

func (w *world) address() (string, error) {
	parsed, err := url.Parse(w.serving)
	if err != nil {
		return "", fmt.Errorf("read the serving DSN: %w", err)
	}
	return parsed.Host, nil
}

// crash ends PostgreSQL at once, without a checkpoint, and starts it again: it recovers from its log.
func (w *world) crash(ctx context.Context) error {
	state, err := stack.ReadState(w.state)
	if err != nil {
		return fmt.Errorf("look for PostgreSQL: %w", err)
	}
	server, found := state.Part("postgres")
	if !found {
		return errors.New("the stack has no PostgreSQL")
	}
	if err := server.Signal(syscall.SIGQUIT); err != nil { // immediate
		return err
	}
	select {
	case <-w.stack.Deaths():
	case <-ctx.Done():
		return ctx.Err()
	}
	return w.stack.Revive(ctx)
}

func (w *world) close() error {
	if w.admin != nil {
		w.admin.Close()
	}
	return w.stack.Close()
}
