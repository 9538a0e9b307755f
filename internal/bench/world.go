package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/eventstore"
	"phantom/internal/config"
	"phantom/migrations"
)

// world is a migrated database of our own with the logins of both sides.
type world struct {
	name  string
	root  *pgx.Conn     // a superuser, outside of the database
	admin *pgxpool.Pool // a superuser in it
	// serving is what a worker connects as; raw holds phantom_append and so inserts under the append functions' own policies.
	serving, raw *pgxpool.Pool
	reading      *pgxpool.Pool // a second one of serving, for followers
	store        *eventstore.Store
}

func newWorld(ctx context.Context, server config.StackPostgres, o options) (_ *world, err error) {
	if server.AdminURL == "" {
		return nil, errors.New("the stack's PostgreSQL is a foreign one: a superuser is needed to make the logins")
	}
	w := &world{name: "phantom_bench_" + strings.ToLower(rand.Text()[:12])}
	if w.root, err = pgx.Connect(ctx, server.AdminURL); err != nil {
		return nil, fmt.Errorf("connect as the superuser: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}()
	serving, err := url.Parse(server.ServingURL)
	if err != nil {
		return nil, fmt.Errorf("read the serving URL: %w", err)
	}
	password := rand.Text()
	if err := w.make(ctx, server.OwnerURL, serving.User.Username(), password); err != nil {
		return nil, err
	}
	if w.admin, err = w.connect(ctx, server.AdminURL, nil, 16); err != nil {
		return nil, err
	}
	if w.serving, err = w.connect(ctx, server.ServingURL, nil, o.pool); err != nil {
		return nil, err
	}
	if w.raw, err = w.connect(ctx, server.ServingURL, url.UserPassword(w.name, password), o.pool); err != nil {
		return nil, err
	}
	if w.reading, err = w.connect(ctx, server.ServingURL, nil, 2*followers); err != nil {
		return nil, err
	}
	w.store = eventstore.New(w.serving)
	if err := eventstore.CheckRole(ctx, w.serving); err != nil {
		return nil, err
	}
	return w, w.makeHeads(ctx, o.tenants)
}

// make makes the database, its schema, and the login of the raw side.
func (w *world) make(ctx context.Context, ownerURL, serving, password string) error {
	owner, err := url.Parse(ownerURL)
	if err != nil {
		return fmt.Errorf("read the owner's URL: %w", err)
	}
	statement := fmt.Sprintf("create database %s template template0 owner %s", w.name, pgx.Identifier{owner.User.Username()}.Sanitize())
	if _, err := w.root.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	owner.Path = "/" + w.name
	if _, err := migrations.Up(ctx, owner.String()); err != nil {
		return err
	}
	grants := fmt.Sprintf("grant phantom_serving to %s; create role %s login password '%s' in role phantom_append",
		pgx.Identifier{serving}.Sanitize(), w.name, password)
	if _, err := w.root.Exec(ctx, grants); err != nil {
		return fmt.Errorf("make the logins: %w", err)
	}
	return nil
}

func (w *world) connect(ctx context.Context, address string, user *url.Userinfo, most int) (*pgxpool.Pool, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("read an address of the stack: %w", err)
	}
	parsed.Path = "/" + w.name
	if user != nil {
		parsed.User = user
	}
	settings, err := pgxpool.ParseConfig(parsed.String())
	if err != nil {
		return nil, fmt.Errorf("read an address of the stack: %w", err)
	}
	settings.MaxConns = int32(most)
	return pgxpool.NewWithConfig(ctx, settings)
}

// makeHeads makes the heads of all tenants of both sides: a tenant's first append is another thing than all the others.
func (w *world) makeHeads(ctx context.Context, tenants int) error {
	var names []string
	for i := range tenants {
		names = append(names, tenant("own", i), tenant("raw", i))
	}
	for _, log := range []eventstore.Log{eventstore.Lifecycle, eventstore.Inference} {
		if _, err := w.admin.Exec(ctx, "insert into "+string(log)+".heads (tenant_id) select unnest($1::text[])", names); err != nil {
			return fmt.Errorf("make the heads of the %s log: %w", log, err)
		}
	}
	return nil
}

// settle writes what is dirty to disk and cleans up, so that no row pays for what stood there before it.
func (w *world) settle(ctx context.Context) error {
	for _, statement := range []string{"vacuum (analyze) lifecycle.events", "checkpoint"} {
		if _, err := w.admin.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (w *world) close(ctx context.Context) error {
	for _, pool := range []*pgxpool.Pool{w.admin, w.serving, w.raw, w.reading} {
		if pool != nil {
			pool.Close()
		}
	}
	_, err := w.root.Exec(ctx, "drop database if exists "+w.name+" with (force)")
	if err == nil {
		_, err = w.root.Exec(ctx, "drop role if exists "+w.name)
	}
	return errors.Join(err, w.root.Close(ctx))
}

// tenant is the name of a tenant of a side. The sides have tenants of their own, since each numbers its own positions.
func tenant(side string, n int) string { return fmt.Sprintf("%s-%04d", side, n) }
