package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"phantom/internal/config"
)

// How MLflow is run: as many processes as do best on two cores, with connections for all clients.
const (
	mlflowWorkers = "2"
	// By default MLflow runs uvicorn, whose workers share a socket without TCP_NODELAY and write an answer's head and body one after
	// the other: each body waits 40 ms for the client's delayed acknowledgement. Its connections outlive our side's turn.
	mlflowGunicorn = "--worker-class gthread --threads 8 --keep-alive 600"

	mlflowStart = 5 * time.Minute // it makes its tables first
	mlflowStop  = 20 * time.Second
)

// mlflowRows compares the API to MLflow's registry on the same PostgreSQL, operation by operation.
func mlflowRows(ctx context.Context, l *lab, w *world) error {
	if l.options.mlflow == "" {
		return errors.New("-mlflow names no mlflow program: make bench-mlflow installs one")
	}
	return w.in(ctx, func(ctx context.Context, h *house) error {
		return l.withMLflow(ctx, w, func(ctx context.Context, theirs server) error { return l.beside(ctx, h, theirs) })
	})
}

// beside compares each operation of a house to that of an MLflow server.
func (l *lab) beside(ctx context.Context, h *house, theirs server) error {
	digest, err := h.push(ctx)
	if err = errors.Join(err, h.fill(ctx, registration), theirs.fill(ctx, mlflowRegistration)); err != nil {
		return err
	}
	for _, o := range operations(digest) {
		w := h.town.world
		if err := w.analyze(ctx, w.name, w.mlflow()); err != nil {
			return err
		}
		ours, other := h.asking(o.ours), theirs.asking(o.mlflow)
		for _, c := range []struct {
			clients    int
			floor, aim float64
		}{{1, 5, 10}, {16, 10, 30}} {
			r := row{
				Name:    fmt.Sprintf("%s over HTTP, %d connections", o.name, c.clients),
				Against: "MLflow 3.17 on the same PostgreSQL, " + mlflowWorkers + " workers", Floor: c.floor, Aim: c.aim,
			}
			if err := l.compare(ctx, r, h.settled(ours.over(c.clients, 1)), other.over(c.clients, 1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled lets the projections catch up after a round, unmeasured: what is left to do would take the cores from the other side.
func (h *house) settled(s side) side {
	return func(ctx context.Context, d time.Duration) (sample, error) {
		got, err := s(ctx, d)
		if err == nil {
			err = h.town.catchUp(ctx)
		}
		return got, err
	}
}

// withMLflow runs an MLflow server on a database of its own for as long as the function runs.
func (l *lab) withMLflow(ctx context.Context, w *world, do func(context.Context, server) error) (err error) {
	folder, err := os.MkdirTemp("", "phantom-mlflow-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	store, drop, err := w.mlflowStore(ctx, l.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(folder, "mlflow.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, l.options.mlflow, "server", "--host", "127.0.0.1", "--port", port, "--workers", mlflowWorkers,
		"--gunicorn-opts", mlflowGunicorn, "--backend-store-uri", store, "--default-artifact-root", folder)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	cmd.Env = append(config.Environ(), "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=8", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=8",
		"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel, cmd.WaitDelay = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }, mlflowStop
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start MLflow: %w", err)
	}
	s := server{url: "http://127.0.0.1:" + port, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	defer func() {
		s.client.CloseIdleConnections()
		_ = cmd.Cancel()
		_ = cmd.Wait() // it was asked to end
	}()
	if err := s.up(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w; it said: %.2000s", err, text)
	}
	return do(ctx, s)
}

// mlflow is the name of MLflow's database.
func (w *world) mlflow() string { return w.name + "_mlflow" }

// analyze vacuums databases and gives them statistics, which autovacuum does only later: without, MLflow's search takes twice as
// long.
func (w *world) analyze(ctx context.Context, databases ...string) error {
	for _, name := range databases {
		to := w.root.Config().Copy()
		to.Database = name
		conn, err := pgx.ConnectConfig(ctx, to)
		if err != nil {
			return fmt.Errorf("connect to database %s: %w", name, err)
		}
		_, err = conn.Exec(ctx, "vacuum (analyze)")
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return fmt.Errorf("vacuum database %s: %w", name, err)
		}
	}
	return nil
}

// mlflowStore makes a database for MLflow.
func (w *world) mlflowStore(ctx context.Context, at config.StackPostgres) (address string, drop func(context.Context) error, err error) {
	owner, err := url.Parse(at.OwnerURL)
	if err != nil {
		return "", nil, fmt.Errorf("read the owner's URL: %w", err)
	}
	name := w.mlflow()
	if _, err := w.root.Exec(ctx, "create database "+name+" owner "+pgx.Identifier{owner.User.Username()}.Sanitize()); err != nil {
		return "", nil, fmt.Errorf("make a database for MLflow: %w", err)
	}
	owner.Scheme, owner.Path = "postgresql+psycopg2", "/"+name
	return owner.String(), func(ctx context.Context) error {
		_, err := w.root.Exec(ctx, "drop database "+name+" with (force)")
		return err
	}, nil
}

// up waits until a server answers.
func (s server) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mlflowStart)
	defer cancel()
	for {
		err := s.send(ctx, request{method: http.MethodGet, url: "/health", status: http.StatusOK})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("MLflow does not answer: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func freePort(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
