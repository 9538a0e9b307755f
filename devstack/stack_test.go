package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/devstack/stack"
	"phantom/internal/config"
)

func TestTheWholeLifeOfAStack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	said := h.up()
	require.Contains(t, said, "Temporal UI  http://127.0.0.1:")
	require.Contains(t, said, "worker is up at http://127.0.0.1:")
	require.Contains(t, h.must("status"), "running")
	first := h.read()
	require.Len(t, first.Parts, 3)

	status, said := h.do("up", "--worker", h.worker)
	require.Equal(t, 1, status)
	require.Contains(t, said, "a stack runs already in "+h.state()+" (process "+strconv.Itoa(first.Supervisor.PID)+")")

	cfg, err := config.LoadIn(h.folder, config.In(nil))
	require.NoError(t, err)
	require.Equal(t, first.Postgres.ServingURL, cfg.DatabaseURL, "the stack gives the defaults of its folder")
	file, err := os.Stat(filepath.Join(h.state(), "stack.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), file.Mode().Perm(), "the file holds passwords")

	require.Equal(t, 1, h.count())
	h.must("down")
	h.gone(first)
	require.NoFileExists(t, filepath.Join(h.state(), "stack.json"))
	require.Contains(t, h.must("down"), "nothing runs here")

	h.up()
	second := h.read()
	require.Equal(t, 2, h.count(), "the data outlives the stack")
	require.Equal(t, first.Postgres, second.Postgres, "the ports and the passwords are kept")
	h.must("down")
	h.gone(second)
}

func TestUpAgainStartsWhatDied(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere)
	h.up()
	for _, name := range []string{"worker", "postgres"} {
		before := h.read()
		victim := h.part(name)
		require.NoError(t, victim.Signal(syscall.SIGKILL))
		require.Eventually(t, func() bool {
			status, said := h.do("status")
			return status == 1 && strings.Contains(said, "dead (signal: killed)")
		}, 10*time.Second, 50*time.Millisecond)
		require.Eventually(t, func() bool {
			log, err := os.ReadFile(filepath.Join(h.state(), "logs", "stack.log"))
			return err == nil && strings.Contains(string(log), name+" ended (signal: killed); its log is "+victim.Log)
		}, 10*time.Second, 50*time.Millisecond)

		require.Contains(t, h.up(), "starting what died of it")
		require.NotEqual(t, victim.Identity, h.part(name).Identity)
		require.Equal(t, before.Supervisor, h.read().Supervisor)
		h.must("status")
	}
}

// `pg_ctl restart` puts a server in the place of the stack's own.
func TestAServerThatWasRestartedByHandIsTheStacksAgain(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	h := newHouse(t, elsewhere)
	h.must("up", "--detach", "--no-worker")
	stray := h.restartPostgres()
	h.must("up", "--detach", "--no-worker")
	require.False(t, stray.Alive())
	require.True(t, h.part("postgres").Identity.Alive())

	stray = h.restartPostgres()
	state := h.read()
	h.must("down")
	require.False(t, stray.Alive())
	h.gone(state)
}

// restartPostgres does what pg_ctl does, and answers when the new server takes connections.
func (h *house) restartPostgres() stack.Identity {
	h.t.Helper()
	before := h.part("postgres")
	process := filepath.Join("/proc", strconv.Itoa(before.PID))
	arguments, err := os.ReadFile(filepath.Join(process, "cmdline"))
	require.NoError(h.t, err)
	owner, err := os.Stat(process)
	require.NoError(h.t, err)
	require.NoError(h.t, before.Signal(syscall.SIGINT))
	require.Eventually(h.t, func() bool { return !before.Identity.Alive() }, 20*time.Second, 20*time.Millisecond)
	words := strings.Split(strings.TrimRight(string(arguments), "\x00"), "\x00")
	cmd := exec.Command(words[0], words[1:]...) //nolint:noctx // the stack ends it
	cmd.Dir = "/"
	as := owner.Sys().(*syscall.Stat_t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.Uid, Gid: as.Gid}
	}
	require.NoError(h.t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	require.Eventually(h.t, func() bool {
		conn, err := pgx.Connect(h.t.Context(), h.read().Postgres.AdminURL)
		if err != nil {
			return false
		}
		return conn.Close(h.t.Context()) == nil
	}, 20*time.Second, 50*time.Millisecond)
	return stack.Identify(cmd.Process.Pid)
}

func TestLookingForAStackDisturbsNobody(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(state, "lock"), nil, 0o600))
	var looking sync.WaitGroup
	defer looking.Wait()
	for range 4 {
		looking.Go(func() {
			for range 500 {
				if _, err := stack.Find(state); !errors.Is(err, stack.ErrNotRunning) {
					t.Errorf("one who looked was taken for a stack: %v", err)
					return
				}
			}
		})
	}
}

func TestAKilledSupervisorLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the guard does it: TestTheGuardKillsWhatADeadSupervisorLeft")
	}
	h := newHouse(t)
	h.up()
	state := h.read()
	require.NoError(t, state.Supervisor.Signal(syscall.SIGKILL))
	h.gone(state)
	require.Contains(t, h.up(), "postgres is up", "the next start finds its way")
	require.NotEqual(t, state.Supervisor, h.read().Supervisor)
}

func TestCtrlCStopsAllInOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere)
	cmd, wait := h.start("Metrics", "up", "--worker", h.worker)
	state := h.read()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Zero(t, wait())
	h.gone(state)
	log, err := os.ReadFile(filepath.Join(h.state(), "logs", "postgres.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "database system is shut down", "PostgreSQL ended in order")
}

func TestAWorkerThatDoesNotStartLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere, "DEVSTACK_TEST_BROKEN=1")
	status, said := h.do("up", "--detach", "--worker", h.worker)
	require.Equal(t, 1, status)
	require.Contains(t, said, "worker ended before it served (exit status 7)")
	require.Contains(t, said, "this worker does not like it here")
	require.Eventually(t, func() bool { return !mentioned(h.folder) }, 10*time.Second, 50*time.Millisecond)
	_, err := stack.Find(h.state())
	require.ErrorIs(t, err, stack.ErrNotRunning)
}

func TestAPortThatIsTakenIsNotFoughtFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere)
	var listen net.ListenConfig
	squatter, err := listen.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer squatter.Close()
	taken := squatter.Addr().(*net.TCPAddr).Port
	wanted, err := json.Marshal(map[string]int{"postgres": taken})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(h.state(), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(h.state(), "ports.json"), wanted, 0o600))
	h.must("up", "--detach", "--no-worker")
	require.NotContains(t, h.part("postgres").Address, strconv.Itoa(taken))
}

func TestForeignServersReplaceTheParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere, "DATABASE_URL=postgres://me@127.0.0.1:1/mine")
	h.must("up", "--detach", "--no-worker")
	state := h.read()
	require.Empty(t, state.Parts)
	require.Equal(t, "postgres://me@127.0.0.1:1/mine", state.Postgres.ServingURL)
	require.Empty(t, state.Postgres.OwnerURL, "without PHANTOM_MIGRATE_URL nobody migrates")
	require.Equal(t, "127.0.0.1:1", state.Temporal.Address)
}

func TestAWrongValueStopsTheStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "PHANTOM_AUTH=maybe")
	status, said := h.do("up", "--worker", h.worker)
	require.Equal(t, 1, status)
	require.Equal(t, "phantom-dev: PHANTOM_AUTH is \"maybe\": accepted is off, keys\n", said)
	status, _ = h.do("up", "--sideways")
	require.Equal(t, 2, status)
}

func TestPostgresRunsAsNobodyOfRoots(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("PostgreSQL runs as whoever started it")
	}
	for _, reachable := range []bool{true, false} {
		t.Run("reachable "+strconv.FormatBool(reachable), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, elsewhere)
			if !reachable {
				require.NoError(t, os.Chmod(h.folder, 0o700))
			}
			h.must("up", "--detach", "--no-worker")
			owner, err := os.Stat("/proc/" + strconv.Itoa(h.part("postgres").PID))
			require.NoError(t, err)
			require.NotZero(t, owner.Sys().(*syscall.Stat_t).Uid)

			location, err := os.ReadFile(filepath.Join(h.state(), "postgres.location"))
			if reachable {
				require.ErrorIs(t, err, os.ErrNotExist)
				require.DirExists(t, filepath.Join(h.state(), "postgres"))
				return
			}
			require.NoError(t, err)
			place := strings.TrimSpace(string(location))
			require.True(t, strings.HasPrefix(place, "/var/tmp/phantom-"), place)
			require.DirExists(t, place)
			h.must("down")
			h.environ = append(h.environ, "XDG_CACHE_HOME="+t.TempDir())
			h.must("clean")
			require.NoDirExists(t, filepath.Dir(place))
			require.NoDirExists(t, h.state())
		})
	}
}

//nolint:paralleltest // Another user has another start.lock, so it would choose a port that a start beside it has chosen too.
func TestAStackOfAnOrdinaryUser(t *testing.T) {
	h := newHouse(t, elsewhere)
	if os.Geteuid() == 0 { // become nobody, with a program that nobody can reach
		const nobody = 65534
		h.as = &syscall.Credential{Uid: nobody, Gid: nobody}
		text, err := os.ReadFile(h.dev)
		require.NoError(t, err)
		h.dev = filepath.Join(h.folder, "phantom-dev")
		require.NoError(t, os.WriteFile(h.dev, text, 0o755))
		require.NoError(t, os.Remove(h.worker))
		require.NoError(t, os.Link(h.dev, h.worker))
		require.NoError(t, os.Chown(h.folder, nobody, nobody))
		h.environ = append(h.environ, "HOME="+h.folder)
	}
	h.up()
	state := h.read()
	require.Equal(t, 1, h.count())
	require.DirExists(t, filepath.Join(h.state(), "postgres"))
	h.must("down")
	h.gone(state)
}

func TestTheGuardKillsWhatADeadSupervisorLeft(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	orphan := exec.Command("sleep", "600") //nolint:noctx // the guard ends it
	require.NoError(t, orphan.Start())
	require.NoError(t, os.MkdirAll(h.state(), 0o755))
	left, err := json.Marshal(stack.State{Parts: []stack.PartState{
		{Name: "worker", Identity: stack.Identify(orphan.Process.Pid)},
		{Name: "stranger", Identity: stack.Identity{PID: os.Getpid(), Started: "of another process with this number"}},
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(h.state(), "stack.json"), left, 0o600))

	guard := h.command("guard", h.state())
	alive, err := guard.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, guard.Start())
	var reaped sync.WaitGroup
	reaped.Go(func() { _ = orphan.Wait() })
	require.True(t, stack.Identify(orphan.Process.Pid).Alive(), "as long as the supervisor lives, the guard waits")
	require.NoError(t, alive.Close())
	require.NoError(t, guard.Wait())
	reaped.Wait()
	require.NoFileExists(t, filepath.Join(h.state(), "stack.json"))
}

func TestTestRunsAreApartAndEndWithTheirCommand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const script = `test -s "$PHANTOM_TEST_STACK" && echo "stack:$PHANTOM_TEST_STACK" && read never; exit 3`
	first, waitFirst := h.start("stack:"+h.state()+"/test/stack.json", "test", "--", "sh", "-c", "sleep 600 & "+
		strings.ReplaceAll(script, "read never", "wait"))
	status, said := h.do("test", "--", "sh", "-c", strings.ReplaceAll(script, "read never", "true"))
	require.Equal(t, 3, status, said)
	require.Contains(t, said, "stack:"+h.state()+"/test-2/stack.json")

	require.NoError(t, first.Process.Signal(syscall.SIGTERM))
	require.NotZero(t, waitFirst())
	require.Eventually(t, func() bool { return !mentioned(h.folder) }, 20*time.Second, 50*time.Millisecond)
	require.NoDirExists(t, filepath.Join(h.state(), "test", "postgres"))

	status, said = h.do("test", "--", "sh", "-c", `echo "again in $PHANTOM_TEST_STACK"`)
	require.Zero(t, status, said)
	require.Contains(t, said, "again in "+h.state()+"/test/stack.json")
}

func TestATestRunWithoutTemporalOnDataThatACrashSpares(t *testing.T) {
	t.Parallel()
	const settings = `select string_agg(name || '=' || setting, ' ' order by name) from pg_settings where name in ('fsync', 'full_page_writes')`
	for flags, want := range map[string]string{
		"--only-postgres":           "fsync=off full_page_writes=off",
		"--only-postgres --durable": "fsync=on full_page_writes=on",
	} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, elsewhere) // a Temporal that a stack without one does not ask for
			args := append([]string{"test"}, strings.Fields(flags)...)
			run, wait := h.start("ready", append(args, "--", "sh", "-c", "echo ready; sleep 600")...)
			state, err := stack.ReadState(filepath.Join(h.state(), "test"))
			require.NoError(t, err)
			require.Len(t, state.Parts, 1)
			require.Empty(t, state.Temporal.Address)
			conn, err := pgx.Connect(t.Context(), state.Postgres.AdminURL)
			require.NoError(t, err)
			defer conn.Close(context.Background())
			var got string
			require.NoError(t, conn.QueryRow(t.Context(), settings).Scan(&got))
			require.Equal(t, want, got)

			require.NoError(t, run.Process.Signal(syscall.SIGTERM))
			require.NotZero(t, wait())
			require.NoDirExists(t, filepath.Join(h.state(), "test", "postgres"), "durable is what a crash spares, not the end of the run")
		})
	}
}

func TestTheFetchedPostgresIsTakenWhereAskedFor(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(cache), 0o755))
	programs := filepath.Join(cache, "phantom", "postgresql-"+string(embeddedpostgres.V18), "bin")
	require.NoError(t, os.MkdirAll(programs, 0o755))
	for _, name := range []string{"postgres", "initdb"} { // as if they had been fetched
		require.NoError(t, os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\necho fetched before\nexit 7\n"), 0o755))
	}
	h := newHouse(t, "XDG_CACHE_HOME="+cache, "HOME="+cache)
	status, said := h.do("test", "--only-postgres", "--fetched-postgres", "--", "true")
	require.Equal(t, 1, status)
	require.Contains(t, said, "exit status 7\nfetched before", "and what went wrong is told")
}

func TestASessionUsesARunningStackOrItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, elsewhere)
	h.up()
	session, err := stack.Use(t.Context(), stack.Options{Folder: h.folder, State: h.state(), Worker: h.worker, Environ: h.environ, Out: io.Discard})
	require.NoError(t, err)
	require.Nil(t, session.Own())
	before := h.part("worker")
	require.NoError(t, session.Kill("worker"))
	require.False(t, before.Identity.Alive())
	require.NoError(t, session.Revive(t.Context()))
	require.True(t, h.part("worker").Identity.Alive())
	require.ErrorContains(t, session.Kill("cook"), `no part "cook"`)
	require.NoError(t, session.Close())
	h.must("status")
	state := h.read()
	h.must("down")

	session, err = stack.Use(t.Context(), stack.Options{Folder: h.folder, State: h.state(), Worker: h.worker, Environ: h.environ, Out: io.Discard})
	require.NoError(t, err)
	require.NotNil(t, session.Own())
	require.NoError(t, session.Kill("worker"))
	require.NoError(t, session.Revive(t.Context()))
	require.NoError(t, session.Close())
	h.gone(state)
}
