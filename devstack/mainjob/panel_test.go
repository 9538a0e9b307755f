package mainjob_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/devstack/mainjob"
)

func TestThePanelIsRedrawnWithinTheTerminalsWidth(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := mainjob.NewPanel(&out, 40)
	p.Status("a", "training: %s", strings.Repeat("x", 100))
	p.Status("a", "training: more")
	p.Line("done")
	for _, drawn := range strings.Split(out.String(), "\r\x1b[2K")[1:] {
		require.Less(t, len([]rune(strings.TrimSuffix(drawn, "\n"))), 40)
	}
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "only what stays is a line of its own")
}

func TestPlainOutputSaysEachThingOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := mainjob.NewPanel(&out, 0)
	p.Status("snapshot", "training: snapshot")
	p.Status("snapshot", "training: snapshot")
	p.Status("train", "training: train")
	p.Line("done")
	require.Equal(t, "   training: snapshot\n   training: train\ndone\n", out.String())
}
