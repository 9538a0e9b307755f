package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

// The commands that the README tells a new user to try next do what it says.
func TestTheReadmesCommandsWork(t *testing.T) {
	t.Parallel()
	p := start(t)
	data := filepath.Join(p.folder, "examples", "digits")
	require.NoError(t, os.MkdirAll(data, 0o700))
	copyFile(t, "../../examples/digits/digits.csv", filepath.Join(data, "digits.csv"))
	p.createModel()
	p.champion()
	p.live() // the second version comes in by canary
	s := p.ended(p.deploy(p.registered(2), map[string]any{"strategy": canary(step(50, "1s"))}))
	require.Equal(t, "completed", s.State, s.Error)

	ran := 0
	for line := range strings.Lines(section(t, "What to try next")) {
		command, _, _ := strings.Cut(line, "#")
		if !strings.HasPrefix(command, "bin/phantom ") {
			continue
		}
		program := exec.CommandContext(t.Context(), "bash", "-c", command)
		program.Dir = "../.."
		program.Env = append(config.Environ(), "PHANTOM_URL="+p.api.URL, "PHANTOM_GATEWAY_ADDR="+strings.TrimPrefix(p.gateway, "http://"))
		out, err := program.CombinedOutput()
		require.NoError(t, err, "%s\n%s", command, out)
		require.NotEmpty(t, out, command)
		ran++
	}
	require.Equal(t, 7, ran)
	p.eventually("the rollback brings version 1 back", func() bool { return countOf(p.events(model), "ModelDeployed") == 3 })
	p.eventually("its saga is over", func() bool { return p.saga("rollback:default:digits:local").State == "completed" })
	require.Equal(t, []deployment{{Target: "local", Version: "1", State: "deployed", Weight: 100}}, p.state().deployments)
}

// section is the first fenced block under a heading of the README.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "## "+heading)
	require.True(t, found)
	_, rest, found = strings.Cut(rest, "```\n")
	require.True(t, found)
	block, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	return block
}
