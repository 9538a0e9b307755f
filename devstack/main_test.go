package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	main "phantom/devstack"
	"phantom/devstack/stack"
	"phantom/internal/config"
)

// standIn is the variable that makes this test binary the program phantom-dev, so that a test kills and
// signals real processes without building anything. Called phantom-worker, it is a worker.
const standIn = "DEVSTACK_TEST_STAND_IN"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "phantom-worker" {
		os.Exit(worker(os.Args[1:]))
	}
	if _, ok := config.In(config.Environ())(standIn); ok {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		status := main.Run(ctx, os.Args[1:], config.Environ(), os.Stdout, os.Stderr)
		stop()
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// worker does of the real one what a stack asks of it: migrate, be ready, end when told.
func worker(args []string) int {
	cfg, err := config.FromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, broken := config.In(config.Environ())("DEVSTACK_TEST_BROKEN"); broken && len(args) == 0 {
		fmt.Fprintln(os.Stderr, "this worker does not like it here")
		return 7
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		err = migrate(ctx, cfg.MigrateURL)
	} else {
		err = serve(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func migrate(ctx context.Context, owner string) error {
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `do $$ begin create role phantom_serving nologin; exception when duplicate_object then null; end $$;
		create table if not exists kept (n int); grant select, insert on kept to phantom_serving`)
	return err
}

func serve(ctx context.Context, cfg config.Config) error {
	if cfg.MigrateURL != "" {
		return errors.New("a worker is not to know its owner's password")
	}
	conn, err := pgx.Connect(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "insert into kept values (1)"); err != nil {
		return err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.MetricsAddr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	context.AfterFunc(ctx, func() { _ = server.Close() })
	_ = server.Serve(listener)
	return nil
}

// house is a folder with a stack, driven as a person would.
type house struct {
	t       *testing.T
	folder  string
	dev     string // the program
	worker  string
	environ []string
	as      *syscall.Credential
}

// newHouse makes a folder that others may pass through. Its Temporal is that of the test run, unless
// the test asks for one of its own.
func newHouse(t *testing.T, environ ...string) *house {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(folder), 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	h := &house{t: t, folder: folder, dev: self, worker: filepath.Join(folder, "phantom-worker")}
	require.NoError(t, os.Symlink(self, h.worker))
	h.environ = append(stack.Scrub(config.Environ()), standIn+"=1")
	h.environ = append(h.environ, environ...)
	t.Cleanup(func() { _, _ = stack.Down(h.state()) })
	return h
}

// elsewhere replaces Temporal by an address that nobody asks.
const elsewhere = "TEMPORAL_ADDRESS=127.0.0.1:1"

func (h *house) state() string { return filepath.Join(h.folder, config.StateFolder) }

func (h *house) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.dev, args...) //nolint:noctx // the tests end it
	cmd.Dir, cmd.Env = h.folder, h.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.as}
	return cmd
}

// do runs the program to its end: its exit status and what it said.
func (h *house) do(args ...string) (int, string) {
	h.t.Helper()
	var said bytes.Buffer
	cmd := h.command(args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Minute
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), said.String()
}

func (h *house) must(args ...string) string {
	h.t.Helper()
	status, said := h.do(args...)
	require.Zero(h.t, status, "%v: %s", args, said)
	return said
}

func (h *house) up() string { h.t.Helper(); return h.must("up", "--detach", "--worker", h.worker) }

func (h *house) read() stack.State {
	h.t.Helper()
	state, err := stack.ReadState(h.state())
	require.NoError(h.t, err)
	return state
}

func (h *house) part(name string) stack.PartState {
	h.t.Helper()
	part, found := h.read().Part(name)
	require.True(h.t, found, name)
	return part
}

// gone waits until none of the processes is left, the server's own children among them.
func (h *house) gone(state stack.State) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		for _, part := range state.Parts {
			if part.Identity.Alive() {
				return false
			}
		}
		return !state.Supervisor.Alive() && !mentioned(h.folder)
	}, 20*time.Second, 50*time.Millisecond, "a process of the stack is left")
}

// mentioned says whether any process names the folder in its arguments or works in it, as the server
// processes of PostgreSQL do.
func mentioned(folder string) bool {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		arguments, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		place, _ := os.Readlink(filepath.Join(process, "cwd"))
		if strings.Contains(string(arguments), folder) || strings.HasPrefix(place, folder) {
			return true
		}
	}
	return false
}

func (h *house) count() int {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.read().Postgres.ServingURL)
	require.NoError(h.t, err)
	defer conn.Close(context.Background())
	var n int
	require.NoError(h.t, conn.QueryRow(h.t.Context(), "select count(*) from kept").Scan(&n))
	return n
}

// start runs the program in the background and waits for a line that it says.
func (h *house) start(until string, args ...string) (*exec.Cmd, func() int) {
	h.t.Helper()
	cmd := h.command(args...)
	said, err := cmd.StdoutPipe()
	require.NoError(h.t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(h.t, cmd.Start())
	heard := make(chan string, 1)
	all := make(chan struct{})
	go func() {
		defer close(all)
		var text []byte
		buffer := make([]byte, 4096)
		for told := false; ; {
			n, err := said.Read(buffer)
			text = append(text, buffer[:n]...)
			if !told && (bytes.Contains(text, []byte(until)) || err == io.EOF) {
				heard <- string(text)
				told = true
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case text := <-heard:
		require.Contains(h.t, text, until)
	case <-time.After(time.Minute):
		require.FailNow(h.t, "it did not say "+until)
	}
	return cmd, func() int {
		<-all
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
}
