package archtest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const module = "phantom"

// dependencies are all packages that the folder's package needs, itself included, tests not.
func dependencies(t *testing.T, folder string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "./"+folder)
	cmd.Dir = root(t)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	require.NoError(t, err, problems.String())
	found := strings.Fields(string(out))
	require.Contains(t, found, module+"/"+folder)
	return found
}

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(path, "go.mod"))
	return path
}

func within(pkg, prefix string) bool { return pkg == prefix || strings.HasPrefix(pkg, prefix+"/") }

func TestWhatAFolderMayNotReach(t *testing.T) {
	t.Parallel()
	const (
		pgx      = "github.com/jackc/pgx"
		temporal = "go.temporal.io/sdk"
	)
	walls := map[string][]string{
		"domain":              {pgx, temporal, "net/http", "os/exec"},
		"rollout":             {pgx, temporal, "net/http", "os/exec", module + "/domain"},
		"workflows":           {pgx, module + "/registry", module + "/eventstore", module + "/readmodel", module + "/projection"},
		"activities":          {pgx, module + "/registry", module + "/eventstore", module + "/readmodel", module + "/projection"},
		"eventstore":          {temporal, module + "/domain", module + "/registry"},
		"registry":            {temporal, module + "/readmodel", module + "/projection", module + "/activities", module + "/sealing"},
		"projection":          {temporal, module + "/domain", module + "/registry", module + "/readmodel"},
		"readmodel":           {temporal, module + "/registry", module + "/activities", module + "/workflows"},
		"sealing":             {temporal, module + "/registry", module + "/eventstore", module + "/readmodel"},
		"access":              {temporal, module + "/eventstore", module + "/registry", module + "/readmodel", module + "/api"},
		"training":            {pgx, temporal, module + "/registry", module + "/eventstore"},
		"serving/modelserver": {pgx, temporal},
		"starter":             {pgx, module + "/readmodel", module + "/workflows"},
		"serving/gateway":     {pgx, temporal},
		"serving/target":      {pgx, temporal},
	}
	for folder, forbidden := range walls {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			for _, pkg := range dependencies(t, folder) {
				for _, prefix := range forbidden {
					require.False(t, within(pkg, prefix), "%s reaches %s: `go list -deps ./%s` names it", folder, pkg, folder)
				}
			}
		})
	}
}

func TestDomainAndRolloutNeedNothingButTheStandardLibraryAndUUID(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"domain", "rollout"} {
		for _, pkg := range dependencies(t, folder) {
			outside := strings.Contains(strings.Split(pkg, "/")[0], ".")
			require.False(t, outside && pkg != "github.com/google/uuid", "%s needs %s", folder, pkg)
		}
	}
}

// bannedName finds the words that tell a reader nothing.
var bannedName = regexp.MustCompile(`(?m)^type (\w*(Manager|Service|Helper|Util|Utils|Common|DTO|Impl))\b`)

func TestNoTypeHasANameThatSaysNothing(t *testing.T) {
	t.Parallel()
	for path, text := range sources(t) {
		require.Empty(t, bannedName.FindStringSubmatch(text), path)
	}
}

func TestFilesStayShortEnoughToRead(t *testing.T) {
	t.Parallel()
	for path, text := range sources(t) {
		require.LessOrEqual(t, strings.Count(text, "\n"), 500, path)
	}
}

// sources are the Go files of the house by their path, tests included.
func sources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	top := root(t)
	require.NoError(t, filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != top && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	}))
	require.NotEmpty(t, found)
	return found
}
