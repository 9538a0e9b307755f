package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/internal/config"
)

// planWorker tells where the worker will listen. An address that the user gave is taken as it is.
func (s *Stack) planWorker(free ports) {
	lookup := ownEnvironment(s.opts)
	addresses := make([]string, 0, 4)
	urls := make([]string, 0, 4)
	for _, listener := range []struct {
		variable, given string
		port            int
	}{
		{"PHANTOM_API_ADDR", s.cfg.APIAddr, free.API},
		{"PHANTOM_GATEWAY_ADDR", s.cfg.GatewayAddr, free.Gateway},
		{"PHANTOM_MODELSERVER_ADDR", s.cfg.ModelServerAddr, free.ModelServer},
		{"PHANTOM_METRICS_ADDR", s.cfg.MetricsAddr, free.Metrics},
	} {
		address := local(listener.port)
		if value, ok := lookup(listener.variable); ok && value != "" {
			address = listener.given
		}
		addresses = append(addresses, listener.variable+"="+address)
		urls = append(urls, "http://"+address)
	}
	if s.cfg.TLS.On() { // of the API and the gateway
		for i, url := range urls[:2] {
			urls[i] = strings.Replace(url, "http://", "https://", 1)
		}
	}
	s.told.Phantom = config.StackPhantom{APIURL: urls[0], GatewayURL: urls[1], ModelServerURL: urls[2], MetricsURL: urls[3]}
	environ := append(Scrub(s.opts.Environ, "DATABASE_URL", "PHANTOM_MIGRATE_URL", "PHANTOM_API_ADDR", "PHANTOM_GATEWAY_ADDR",
		"PHANTOM_MODELSERVER_ADDR", "PHANTOM_METRICS_ADDR", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"),
		"DATABASE_URL="+s.told.Postgres.ServingURL,
		"TEMPORAL_ADDRESS="+s.told.Temporal.Address,
		"TEMPORAL_NAMESPACE="+s.told.Temporal.Namespace)
	environ = append(environ, addresses...)
	s.parts = append(s.parts, &part{
		name:    "worker",
		address: s.told.Phantom.APIURL,
		log:     filepath.Join(s.opts.State, "logs", "worker.log"),
		prepare: s.migrate,
		command: func() *exec.Cmd {
			cmd := exec.Command(s.opts.Worker) //nolint:noctx // stopped by signal, in order
			cmd.Dir, cmd.Env = s.opts.Folder, environ
			return cmd
		},
		probe:  serves(s.told.Phantom.MetricsURL + "/readyz"),
		stopBy: syscall.SIGTERM,
		dieBy:  syscall.SIGKILL,
		grace:  40 * time.Second, // activities have 30 s to save what they did
	})
}

// migrate brings the schema up as its owner, and lets the serving login in. With a foreign database
// whose owner is not known, it is left to whoever runs that.
func (s *Stack) migrate(ctx context.Context) error {
	owner := s.told.Postgres.OwnerURL
	if owner == "" {
		s.say("migrations are left to the database's owner: PHANTOM_MIGRATE_URL is not set")
		return nil
	}
	cmd := exec.CommandContext(ctx, s.opts.Worker, "migrate", "up")
	cmd.Dir = s.opts.Folder
	cmd.Env = append(Scrub(s.opts.Environ, "DATABASE_URL", "PHANTOM_MIGRATE_URL"),
		"DATABASE_URL="+s.told.Postgres.ServingURL, "PHANTOM_MIGRATE_URL="+owner)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s migrate up: %w\n%s", s.opts.Worker, err, out)
	}
	return grant(ctx, owner, s.told.Postgres.ServingURL)
}

// grant makes the serving login a member of the role that the migrations made.
func grant(ctx context.Context, owner, serving string) error {
	login, err := pgx.ParseConfig(serving)
	if err != nil {
		return errors.New("DATABASE_URL cannot be read as a DSN") // the driver's text may hold the password
	}
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		return fmt.Errorf("connect as the owner of the database: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "GRANT phantom_serving TO "+pgx.Identifier{login.User}.Sanitize()); err != nil {
		return fmt.Errorf("let %s serve: %w", login.User, err)
	}
	return nil
}

// serves asks an address for 200.
func serves(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
			return fmt.Errorf("%s answers %s: %s", url, response.Status, text)
		}
		return nil
	}
}

// Scrub drops variables from NAME=value lines; without names, all that Phantom and Temporal read.
func Scrub(environ []string, names ...string) []string {
	kept := make([]string, 0, len(environ))
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		drop := false
		if len(names) == 0 {
			drop = name == "DATABASE_URL" || strings.HasPrefix(name, "PHANTOM_") || strings.HasPrefix(name, "TEMPORAL_")
		}
		for _, other := range names {
			drop = drop || name == other
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	return kept
}
