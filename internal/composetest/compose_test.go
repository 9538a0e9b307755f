package composetest_test

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

// project reads docker-compose.yml with the defaults alone, schema checks and all.
func project(t *testing.T, environ ...string) *types.Project {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(environ))
	require.NoError(t, err)
	loaded, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return loaded
}

func service(t *testing.T, name string) types.ServiceConfig {
	t.Helper()
	found, err := project(t).GetService(name)
	require.NoError(t, err)
	return found
}

func variable(t *testing.T, service types.ServiceConfig, name string) string {
	t.Helper()
	value := service.Environment[name]
	require.NotNil(t, value, "%s of %s", name, service.Name)
	return *value
}

func TestEveryPartIsThereAndWaitsForWhatItNeeds(t *testing.T) {
	t.Parallel()
	const healthy, done = types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	want := map[string]map[string]string{
		"postgres":           {},
		"temporal-schema":    {"postgres": healthy},
		"temporal":           {"temporal-schema": done},
		"temporal-namespace": {"temporal": healthy},
		"temporal-ui":        {"temporal": healthy},
		"migrate":            {"postgres": healthy},
		"grant":              {"migrate": done},
		"worker":             {"grant": done, "temporal-namespace": done},
	}
	loaded := project(t)
	got := map[string]map[string]string{}
	for name, service := range loaded.Services {
		got[name] = map[string]string{}
		for needed, dependency := range service.DependsOn {
			got[name][needed] = dependency.Condition
			if dependency.Condition == healthy {
				require.NotNil(t, loaded.Services[needed].HealthCheck, "%s waits for %s, which has no health check", name, needed)
			}
		}
	}
	require.Equal(t, want, got)
}

func TestNothingIsReachableFromAnotherMachine(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		for _, port := range service.Ports {
			require.True(t, net.ParseIP(port.HostIP).IsLoopback(), "%s publishes %s on %q", name, port.Published, port.HostIP)
		}
	}
}

func TestEveryImageIsPinned(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:[a-z0-9.-]*\d[a-z0-9.-]*$`)
	for name, service := range project(t).Services {
		if service.Build != nil {
			require.FileExists(t, filepath.Join(service.Build.Context, service.Build.Dockerfile))
			continue
		}
		require.Regexp(t, pinned, service.Image, name)
	}
}

func TestTheWorkersVariablesAreAcceptedAndHoldNoOwner(t *testing.T) {
	t.Parallel()
	worker := service(t, "worker")
	environ := worker.Environment.ToMapping()
	lookup := func(name string) (string, bool) { value, ok := environ[name]; return value, ok }
	cfg, err := config.LoadIn(t.TempDir(), lookup)
	require.NoError(t, err)
	dsn, err := url.Parse(cfg.DatabaseURL)
	require.NoError(t, err)
	require.Equal(t, "phantom", dsn.User.Username())
	require.Empty(t, cfg.MigrateURL)
	require.Equal(t, config.LogJSON, cfg.Log.Format)

	postgres, temporal := service(t, "postgres"), service(t, "temporal")
	require.Equal(t, dsn.Port(), postgres.Ports[0].Published)
	require.Equal(t, "127.0.0.1:"+temporal.Ports[0].Published, variable(t, worker, "TEMPORAL_ADDRESS"))
	require.Equal(t, "host", worker.NetworkMode, "what listens on loopback is the machine's")

	migrate := service(t, "migrate")
	cfg, err = config.LoadIn(t.TempDir(), config.In([]string{"PHANTOM_MIGRATE_URL=" + variable(t, migrate, "PHANTOM_MIGRATE_URL")}))
	require.NoError(t, err)
	require.Contains(t, cfg.MigrateURL, "phantom_owner:")
	require.Equal(t, types.ShellCommand{"migrate", "up"}, migrate.Command)
}

func TestAPasswordReachesAllWhoNeedIt(t *testing.T) {
	t.Parallel()
	loaded := project(t, "PHANTOM_OWNER_PASSWORD=o-w", "PHANTOM_PASSWORD=s-w", "TEMPORAL_PASSWORD=t-w", "PHANTOM_POSTGRES_PORT=6000")
	services := loaded.Services
	require.Equal(t, "o-w", variable(t, services["postgres"], "PHANTOM_OWNER_PASSWORD"))
	require.Contains(t, variable(t, services["migrate"], "PHANTOM_MIGRATE_URL"), "phantom_owner:o-w@postgres:5432")
	require.Equal(t, "o-w", variable(t, services["grant"], "PGPASSWORD"))
	require.Contains(t, variable(t, services["worker"], "DATABASE_URL"), "phantom:s-w@127.0.0.1:6000")
	require.Equal(t, "t-w", variable(t, services["temporal"], "POSTGRES_PWD"))
	require.Equal(t, "t-w", variable(t, services["temporal-schema"], "SQL_PASSWORD"))
}

func TestTheImageHoldsBothProgramsAndRunsAsNobodyOfNote(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	dockerfile := string(text)
	require.Contains(t, dockerfile, "go build -trimpath -ldflags '-s -w' -o /out/ ./worker ./starter")
	require.Contains(t, dockerfile, ":nonroot\n")
	require.Contains(t, dockerfile, `ENTRYPOINT ["/usr/local/bin/phantom-worker"]`)

	worker := service(t, "worker")
	require.Equal(t, "/phantom/.phantom", worker.Volumes[0].Target, "state lies under the image's WORKDIR")
	module, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))
	require.Contains(t, dockerfile, "FROM golang:"+version[1]+"-", "the image's Go is the module's")
}

func TestTheRolesOfPostgresAreThoseOfTheRest(t *testing.T) {
	t.Parallel()
	script := project(t).Configs["roles"].Content
	for _, statement := range []string{
		"CREATE ROLE phantom_owner LOGIN CREATEROLE CREATEDB PASSWORD :'owner';",
		"CREATE ROLE phantom LOGIN PASSWORD :'serving';",
		"CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal';",
		"CREATE DATABASE phantom OWNER phantom_owner;",
	} {
		require.Contains(t, script, statement)
	}
	for _, name := range []string{"PHANTOM_OWNER_PASSWORD", "PHANTOM_PASSWORD", "TEMPORAL_PASSWORD"} {
		require.Contains(t, script, `"$`+name+`"`, "read inside the container")
		require.NotEmpty(t, variable(t, service(t, "postgres"), name))
	}
	require.NotContains(t, strings.ToLower(script), "superuser")
}
