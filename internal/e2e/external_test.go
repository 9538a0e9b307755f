package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	apiclient "phantom/api/client"
	"phantom/artifact/bundle"
	"phantom/internal/config"
)

// What one training made goes out as files, comes in again as if from elsewhere, and serves as another
// model's version, found by its alias, until that model is retired: as docs/models.md tells.
func TestAModelThatWasTrainedElsewhereServes(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	trained := p.registered(1)

	response, err := p.api.Stream(t.Context(), apiclient.Request{Path: "/api/v1/models/" + model + "/versions/" + trained + "/artifact"})
	require.NoError(t, err)
	defer response.Body.Close()
	var entries []bundle.Entry
	require.NoError(t, bundle.Walk(response.Body, func(name string, size int64, body io.Reader) error {
		text, err := io.ReadAll(body)
		entries = append(entries, bundle.Entry{Name: name, Size: size, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(text)), nil
		}})
		return err
	}))
	require.Len(t, entries, 4)

	var tar bytes.Buffer
	require.NoError(t, bundle.Write(&tar, entries))
	var stored struct{ Digest string }
	require.NoError(t, p.api.Do(t.Context(), apiclient.Request{
		Method: http.MethodPost, Path: "/api/v1/artifacts", Body: &tar, Header: http.Header{"Content-Type": {"application/x-tar"}},
	}, &stored))
	require.Equal(t, response.Header.Get("ETag"), `"`+stored.Digest+`"`, "the same files are the same artifact")

	p.follow(t, "../../docs/models.md", stored.Digest)
	require.Equal(t, 3, countOf(p.events("letters"), "AliasAssigned")+countOf(p.events("letters"), "AliasRemoved")+countOf(p.events("letters"), "ModelDeleted"))
}

// follow runs the commands of a page, as a reader would, and asks the model that they deploy.
func (p *phantom) follow(t *testing.T, page, digest string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	binary, err := filepath.Abs("../../bin")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(binary, filepath.Join(p.folder, "bin")))
	blocks := regexp.MustCompile("(?s)```sh models\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		for line := range strings.Lines(string(block[1])) {
			command := exec.CommandContext(t.Context(), "bash", "-c", line)
			command.Dir = p.folder
			command.Env = append(config.Environ(), "PHANTOM_URL="+p.api.URL, "DIGEST="+digest)
			out, err := command.CombinedOutput()
			require.NoError(t, err, "%s\n%s", line, out)
			if strings.Contains(line, " deploy ") {
				p.answers("letters")
			}
		}
	}
}

// answers waits until the gateway routes a model, and it answers.
func (p *phantom) answers(model string) {
	p.t.Helper()
	rows, _ := heldOut(p.t)
	body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
		"name": "x", "shape": []int{1, len(rows[0])}, "datatype": "FP32", "data": rows[0],
	}}})
	require.NoError(p.t, err)
	p.eventually("the gateway routes the model", func() bool {
		answer, err := http.Post(p.gateway+"/v2/models/"+model+"/infer", "application/json", bytes.NewReader(body)) //nolint:noctx // on loopback, bounded by the test
		require.NoError(p.t, err)
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
