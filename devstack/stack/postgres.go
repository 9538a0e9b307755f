package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	adminRole   = "postgres"
	ownerRole   = "phantom_owner"
	servingRole = "phantom"
	database    = "phantom"
)

// postgres is the private cluster: loopback only, passwords only, no unix socket.
type postgres struct {
	programs string // folder of initdb and postgres
	data     string
	as       account
	port     int
	careless bool // a crash may cost the data
	secrets  secrets
}

// planPostgres finds programs, data and passwords, and makes the cluster when there is none.
func (s *Stack) planPostgres(ctx context.Context, port int) error {
	passwords, err := readSecrets(s.opts.State)
	if err != nil {
		return err
	}
	programs, err := s.findPostgres(ctx)
	if err != nil {
		return err
	}
	as, err := unprivileged()
	if err != nil {
		return err
	}
	place, err := as.place(filepath.Join(s.opts.State, "postgres"))
	if err != nil {
		return err
	}
	if place.moved {
		s.say("postgres keeps its data in %s, since user %s cannot reach %s", place.path, as.name, s.opts.State)
	}
	cluster := &postgres{programs: programs.folder, as: as, port: port, careless: s.opts.careless(), secrets: passwords}
	cluster.data = filepath.Join(place.path, strconv.Itoa(programs.major))
	if err := cluster.create(ctx, place.path); err != nil {
		return err
	}
	s.told.Postgres.AdminURL = cluster.url(adminRole, passwords.Admin, "postgres")
	s.told.Postgres.OwnerURL = cluster.url(ownerRole, passwords.Owner, database)
	s.told.Postgres.ServingURL = cluster.url(servingRole, passwords.Serving, database)
	s.parts = append(s.parts, cluster.part(s.opts.State))
	return nil
}

func (c *postgres) url(user, password, database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: local(c.port), Path: database,
		RawQuery: "sslmode=disable",
	}).String()
}

func (c *postgres) part(state string) *part {
	return &part{
		name:    "postgres",
		address: local(c.port),
		log:     filepath.Join(state, "logs", "postgres.log"),
		command: c.command,
		prepare: c.endStray,
		sweep:   c.endStray,
		probe:   func(ctx context.Context) error { return c.ask(ctx, "select 1") },
		finish:  c.makeRoles,
		stopBy:  syscall.SIGINT,  // fast: ends sessions, writes a checkpoint
		dieBy:   syscall.SIGQUIT, // immediate: ends the server's own processes too
		grace:   30 * time.Second,
		retries: 20, // after a kill -9 the processes of the last run hold its memory for a moment
	}
}

func (c *postgres) command() *exec.Cmd {
	settings := []string{
		"port=" + strconv.Itoa(c.port),
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"max_connections=300",
		"shared_buffers=128MB",
		"password_encryption=scram-sha-256",
		"log_line_prefix=%m [%p] %u@%d ",
	}
	if c.careless {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	cmd := exec.Command(filepath.Join(c.programs, "postgres"), "-D", c.data) //nolint:noctx // stopped by signal, in order
	for _, setting := range settings {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	c.as.apply(cmd, c.data)
	return cmd
}

// create runs initdb when the cluster is not there. It works beside the final place and moves the
// result, so that an interrupted initdb leaves nothing that looks like a cluster.
func (c *postgres) create(ctx context.Context, place string) error {
	if _, err := os.Stat(filepath.Join(c.data, "PG_VERSION")); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for the PostgreSQL data: %w", err)
	}
	fresh, passwords := c.data+".new", filepath.Join(place, "admin.password")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := c.as.writeFile(passwords, c.secrets.Admin); err != nil {
		return err
	}
	defer os.Remove(passwords)
	cmd := exec.CommandContext(ctx, filepath.Join(c.programs, "initdb"), "-D", fresh, "--username", adminRole,
		"--pwfile", passwords, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale")
	if c.careless {
		cmd.Args = append(cmd.Args, "--no-sync")
	}
	c.as.apply(cmd, place)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w\n%s", fresh, err, out)
	}
	return os.Rename(fresh, c.data)
}

// makeRoles makes what migrations expect: a login that owns, one that serves, and the database.
func (c *postgres) makeRoles(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url(adminRole, c.secrets.Admin, "postgres"))
	if err != nil {
		return fmt.Errorf("connect to the new PostgreSQL as %s: %w", adminRole, err)
	}
	defer conn.Close(ctx)
	const exists = `select exists (select from pg_roles where rolname = $1), exists (select from pg_database where datname = $2)`
	steps := []struct{ role, password, attributes string }{
		{ownerRole, c.secrets.Owner, "CREATEROLE CREATEDB"},
		{servingRole, c.secrets.Serving, ""},
	}
	var role, base bool
	for _, step := range steps {
		if err := conn.QueryRow(ctx, exists, step.role, database).Scan(&role, &base); err != nil {
			return fmt.Errorf("look for role %s: %w", step.role, err)
		}
		verb := "ALTER"
		if !role {
			verb = "CREATE"
		}
		// The passwords are ours, letters and digits only: no quoting can go wrong.
		statement := fmt.Sprintf("%s ROLE %s LOGIN NOSUPERUSER %s PASSWORD '%s'", verb, step.role, step.attributes, step.password)
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make role %s: %w", step.role, err)
		}
	}
	if base {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database+" OWNER "+ownerRole); err != nil {
		return fmt.Errorf("make database %s: %w", database, err)
	}
	return nil
}

func (c *postgres) ask(ctx context.Context, query string) error {
	conn, err := pgx.Connect(ctx, c.url(adminRole, c.secrets.Admin, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, query)
	return err
}
