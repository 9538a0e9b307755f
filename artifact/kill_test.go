package artifact_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// A process that is killed while it stores leaves every object that it announced, and under a digest
// never anything but the bytes of that digest.
func TestPutSurvivesKill(t *testing.T) {
	t.Parallel()
	store, dir := openFolder(t)
	for round := range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0], "put-for-ever", "file://"+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		announced := bufio.NewScanner(out)
		var digests []domain.Digest
		for len(digests) <= round && announced.Scan() {
			digests = append(digests, domain.Digest(announced.Text()))
		}
		require.NoError(t, child.Process.Kill())
		require.Error(t, child.Wait(), "it was killed, it did not end")

		require.Len(t, digests, round+1)
		for _, d := range digests {
			_, err := read(t, store, d)
			require.NoError(t, err)
		}
		for _, file := range files(t, dir) {
			if !strings.HasSuffix(file, ".tmp") {
				_, err := read(t, store, domain.Digest("sha256:"+filepath.Base(file)))
				require.NoError(t, err)
			}
		}
	}
}
