package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"phantom/internal/config"
)

const (
	oldestPostgres = 15
	// temporalCLI is the newest release that `go install` can build; its server is 1.29.1.
	temporalCLI = "github.com/temporalio/cli/cmd/temporal@v1.5.1"
	// oldestTemporal is the minor version of the oldest server, 1.29, whose features the sagas use.
	oldestTemporal = 29
)

// CacheFolder is the user's cache folder of Phantom: tools and PostgreSQL programs.
func CacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(cache, "phantom"), nil
}

// postgresPrograms is a folder with initdb and postgres of one version.
type postgresPrograms struct {
	folder string
	major  int
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// findPostgres takes the newest complete local version, else fetches one.
func (s *Stack) findPostgres(ctx context.Context) (postgresPrograms, error) {
	if s.opts.Fetched {
		return s.fetchPostgres(ctx)
	}
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return postgresPrograms{}, err
	}
	for _, pattern := range []string{"/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		more, _ := filepath.Glob(pattern) // the pattern is well formed
		folders = append(folders, more...)
	}
	if found, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(found))
	}
	var best postgresPrograms
	for _, folder := range folders {
		if major := postgresVersion(ctx, folder); major >= oldestPostgres && major > best.major {
			best = postgresPrograms{folder, major}
		}
	}
	if best.major > 0 {
		return best, nil
	}
	return s.fetchPostgres(ctx)
}

// postgresVersion is 0 for a folder that lacks a program, or the trigram extension that search needs.
func postgresVersion(ctx context.Context, folder string) int {
	if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
		return 0
	}
	out, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").Output()
	match := versionPattern.FindSubmatch(out)
	if err != nil || match == nil {
		return 0
	}
	share, err := exec.CommandContext(ctx, filepath.Join(folder, "pg_config"), "--sharedir").Output()
	if err == nil {
		if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(share)), "extension", "pg_trgm.control")); err != nil {
			return 0
		}
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return 0
	}
	return major
}

// fetchPostgres unpacks PostgreSQL from Maven Central into the user's cache folder, once.
func (s *Stack) fetchPostgres(ctx context.Context) (postgresPrograms, error) {
	cache, err := CacheFolder()
	if err != nil {
		return postgresPrograms{}, err
	}
	const version, major = embeddedpostgres.V18, 18
	as, err := unprivileged()
	if err != nil {
		return postgresPrograms{}, err
	}
	folder := filepath.Join(cache, "postgresql-"+string(version))
	if err := os.MkdirAll(cache, 0o755); err != nil { // programs, no secrets
		return postgresPrograms{}, err
	}
	if as.switched && !as.reaches(cache) {
		where := standIn(folder)
		if err := errors.Join(trustedFolder(filepath.Dir(where)), os.WriteFile(folder+".location", []byte(where+"\n"), 0o600)); err != nil {
			return postgresPrograms{}, err
		}
		folder = where
	}
	err = once(ctx, filepath.Join(cache, "postgresql.lock"), filepath.Join(folder, "bin", "postgres"), func() error {
		s.say("fetching PostgreSQL %s into %s (once, some 20 MB)", version, folder)
		return unpackPostgres(cache, folder, version)
	})
	return postgresPrograms{filepath.Join(folder, "bin"), major}, err
}

// unpackPostgres uses the library for fetching alone. It has no call for that: Start fetches, unpacks
// and runs initdb, which is given a locale that does not exist, so that no server starts which
// somebody would have to stop.
func unpackPostgres(cache, folder string, version embeddedpostgres.PostgresVersion) error {
	fresh := folder + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "phantom-postgres-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var output strings.Builder
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(version).CachePath(filepath.Join(cache, "download")).BinariesPath(fresh).
		RuntimePath(filepath.Join(scratch, "run")).DataPath(filepath.Join(scratch, "data")).
		Locale("none-such").Logger(&output).Port(1))
	reason := library.Start()
	if reason == nil {
		reason = library.Stop()
	}
	if _, err := os.Stat(filepath.Join(fresh, "bin", "initdb")); err != nil {
		return fmt.Errorf("fetch PostgreSQL %s (install PostgreSQL %d or newer, or set DATABASE_URL, where this cannot be): %w",
			version, oldestPostgres, reason)
	}
	return os.Rename(fresh, folder)
}

var serverPattern = regexp.MustCompile(`Server (1\.(\d+)\.\d+)`)

// temporalProgram is a temporal CLI whose development server is new enough.
type temporalProgram struct {
	path   string
	server string // version, such as 1.29.1
}

// findTemporal takes the one on PATH, else the one that was built before, else builds it.
func (s *Stack) findTemporal(ctx context.Context) (temporalProgram, error) {
	if path, err := exec.LookPath("temporal"); err == nil {
		if server := temporalVersion(ctx, path); server != "" {
			return temporalProgram{path, server}, nil
		}
	}
	cache, err := CacheFolder()
	if err != nil {
		return temporalProgram{}, err
	}
	tools := filepath.Join(cache, "tools")
	if err := os.MkdirAll(tools, 0o755); err != nil { // programs, no secrets
		return temporalProgram{}, err
	}
	path := filepath.Join(tools, "temporal")
	err = once(ctx, filepath.Join(tools, "lock"), path, func() error {
		s.say("building the Temporal development server into %s: this takes 3 to 4 minutes, once", path)
		return goInstall(ctx, tools, temporalCLI)
	})
	if err != nil {
		return temporalProgram{}, err
	}
	server := temporalVersion(ctx, path)
	if server == "" {
		return temporalProgram{}, fmt.Errorf("%s is no temporal CLI with a server of 1.%d or newer: remove it", path, oldestTemporal)
	}
	return temporalProgram{path, server}, nil
}

func goInstall(ctx context.Context, folder, pkg string) error {
	fresh, err := os.MkdirTemp(folder, "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	cmd := exec.CommandContext(ctx, "go", "install", pkg)
	cmd.Env = append(config.Environ(), "GOBIN="+fresh, "GOFLAGS=-mod=mod")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go install %s (put a `temporal` CLI on PATH, or set TEMPORAL_ADDRESS, where this cannot be): %w\n%s", pkg, err, out)
	}
	return os.Rename(filepath.Join(fresh, "temporal"), filepath.Join(folder, "temporal"))
}

// temporalVersion is empty when the program is none, or its server is too old.
func temporalVersion(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	match := serverPattern.FindSubmatch(out)
	if err != nil || match == nil {
		return ""
	}
	if minor, err := strconv.Atoi(string(match[2])); err != nil || minor < oldestTemporal {
		return ""
	}
	return string(match[1])
}

// once does the work unless its result is there, one process at a time.
func once(ctx context.Context, lockFile, result string, work func() error) error {
	if _, err := os.Stat(result); err == nil {
		return nil
	}
	turn, err := takeTurn(ctx, lockFile)
	if err != nil {
		return err
	}
	defer turn.Close() //nolint:errcheck // gives the lock back; nothing was written
	if _, err := os.Stat(result); err == nil {
		return nil
	}
	return work()
}

// takeTurn waits until no other process holds the file's lock; closing the file gives it back.
func takeTurn(ctx context.Context, lockFile string) (io.Closer, error) {
	file, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", lockFile, err), file.Close())
		}
		if err := pause(ctx, probeInterval); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
}
