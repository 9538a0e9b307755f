package oracle_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/devstack/stack"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/config"
	"phantom/migrations"
)

// cluster is a private PostgreSQL with our empty database.
type cluster struct {
	admin, owner, serving string // DSNs in the database phantom
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(folder), 0o755)) // PostgreSQL's user passes through
	s, err := stack.Up(t.Context(), stack.Options{
		Folder: folder, State: filepath.Join(folder, config.StateFolder), Environ: config.Environ(), Out: t.Output(),
		Scratch: true, OnlyPostgres: true,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	at := s.Addresses().Postgres
	admin, err := url.Parse(at.AdminURL)
	require.NoError(t, err)
	admin.Path = "/phantom"
	return cluster{admin: admin.String(), owner: at.OwnerURL, serving: at.ServingURL}
}

func pool(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// The commands of docs/operate.md are run as they stand there, with these variables.
func TestABackupGoesOnInAFreshCluster(t *testing.T) {
	t.Parallel()
	programs := clientPrograms(t)
	old, fresh := newCluster(t), newCluster(t)
	_, err := migrations.Up(t.Context(), old.owner)
	require.NoError(t, err)
	_, err = pool(t, old.admin).Exec(t.Context(), "grant phantom_serving to phantom")
	require.NoError(t, err)
	before := eventstore.New(pool(t, old.serving))
	first := add(t, before, "acme", 40)
	add(t, before, "globex", 7)
	pages, err := before.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme"}}, nil, 25)
	require.NoError(t, err)
	require.Len(t, pages[0].Events, 25)

	anchors, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, anchors.Close()) })
	anchoring := eventstore.NewAnchoring(eventstore.NewAuditor(before, anchors), eventstore.Lifecycle, func(tenant string, err error) {
		t.Errorf("anchor tenant %s: %v", tenant, err)
	})
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	require.NoError(t, anchoring.Look(t.Context(), noon))
	require.NoError(t, anchoring.Look(t.Context(), noon.Add(time.Hour)))

	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operate.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sh backup\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 2, "one block that saves, one that restores")
	folder := t.TempDir()
	for _, block := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", string(block[1]))
		cmd.Dir = folder
		cmd.Env = append(config.Environ(), "PATH="+programs+":/usr/bin:/bin", "OLD="+old.admin, "NEW="+fresh.admin)
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, string(said))
	}
	require.Equal(t, contents(t, old), contents(t, fresh), "every table of every log, command, checkpoint and read model")

	after := eventstore.New(pool(t, fresh.serving))
	require.NoError(t, eventstore.CheckRole(t.Context(), pool(t, fresh.serving)))
	again, err := after.Append(t.Context(), "acme", eventstore.Lifecycle, first, nil)
	require.NoError(t, err)
	require.True(t, again[0].Repeated, "what was known is known")
	add(t, after, "acme", 3)
	var positions []int64
	for cursor := pages[0].Through; ; {
		more, err := after.ReadAfter(t.Context(), eventstore.Lifecycle, []eventstore.Cursor{{Tenant: "acme", After: cursor}}, nil, 10)
		require.NoError(t, err)
		if len(more) == 0 {
			break
		}
		for _, e := range more[0].Events {
			positions = append(positions, e.Position)
		}
		cursor = more[0].Through
	}
	require.Len(t, positions, 18)
	for i, position := range positions {
		require.EqualValues(t, 26+i, position, "the cursor goes on, over the backup's end")
	}
	refuses(t, fresh)

	report, err := eventstore.NewAuditor(after, anchors).Verify(t.Context(), "acme", eventstore.Lifecycle)
	require.NoError(t, err)
	require.Nil(t, report.Broken)
	require.EqualValues(t, 40, report.LastAnchor, "anchored before the backup")
	require.EqualValues(t, 43, report.LastVerified, "and the chain goes on over its end")
}

// add appends n events to a stream of a tenant.
func add(t *testing.T, store *eventstore.Store, tenant string, n int) []eventstore.Append {
	t.Helper()
	appends := []eventstore.Append{{Stream: eventstore.Stream{Type: "Thing", ID: "s"}, Events: eventstoretest.Batch(n)}}
	_, err := store.Append(t.Context(), tenant, eventstore.Lifecycle, appends, &eventstore.CommandRecord{ID: appends[0].Events[0].ID.String(), RequestHash: []byte("h")})
	require.NoError(t, err)
	return appends
}

// contents are a count and a hash of every table of ours.
func contents(t *testing.T, c cluster) map[string]string {
	t.Helper()
	admin := pool(t, c.admin)
	rows, err := admin.Query(t.Context(), `select format('%I.%I', schemaname, tablename) from pg_tables
		where schemaname not in ('pg_catalog', 'information_schema')`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 20)
	all := make(map[string]string)
	for _, table := range tables {
		var hash string
		query := `select count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' order by t::text collate "C")), '') from ` + table + ` t`
		require.NoError(t, admin.QueryRow(t.Context(), query).Scan(&hash), table)
		all[table] = hash
	}
	return all
}

// refuses holds that policies, grants and triggers came along.
func refuses(t *testing.T, c cluster) {
	t.Helper()
	var seen int
	require.NoError(t, pool(t, c.serving).QueryRow(t.Context(), "select count(*) from lifecycle.events").Scan(&seen))
	require.Zero(t, seen, "without a tenant there are no rows")
	for dsn, want := range map[string]string{c.serving: "42501", c.admin: "23001"} {
		for _, statement := range []string{
			"update lifecycle.events set event_type = 'X'", "delete from lifecycle.events", "truncate lifecycle.events",
		} {
			_, err := pool(t, dsn).Exec(context.WithoutCancel(t.Context()), statement)
			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused, statement)
			require.Equal(t, want, refused.Code, statement)
		}
	}
}

// clientPrograms is a folder with pg_dump of the version of the clusters, the newest local one.
func clientPrograms(t *testing.T) string {
	t.Helper()
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	require.NoError(t, err)
	if path, err := exec.LookPath("pg_dump"); err == nil && len(folders) == 0 {
		folders = append(folders, path)
	}
	if len(folders) == 0 {
		t.Skip("this machine has no pg_dump, and the PostgreSQL that is fetched brings none")
	}
	newest := folders[0]
	for _, folder := range folders {
		if strings.Compare(folder, newest) > 0 {
			newest = folder
		}
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), newest, "--version")
	cmd.Stdout = &said
	require.NoError(t, cmd.Run())
	return filepath.Dir(newest)
}
