package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	apiclient "phantom/api/client"
	"phantom/artifact/bundle"
)

// What one training made goes out as files, comes in again as if from elsewhere, and serves as another
// model's version, found by its alias.
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

	const other = "/api/v1/models/letters"
	require.NoError(t, p.send(http.MethodPost, "/api/v1/models", map[string]any{
		"model_id": "letters", "name": "Letters", "model_type": "classification", "algorithm": "elsewhere",
	}, nil))
	require.NoError(t, p.send(http.MethodPost, other+"/versions", map[string]any{"artifacts_location": stored.Digest}, nil))
	require.NoError(t, p.send(http.MethodPut, other+"/aliases/champion", map[string]any{"version": "latest"}, nil))
	saga := p.ended(p.start(other+"/deployments", map[string]any{"version": "@champion", "target": "local"}))
	require.Equal(t, "completed", saga.State, saga.Error)

	rows, _ := heldOut(t)
	body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
		"name": "x", "shape": []int{1, len(rows[0])}, "datatype": "FP32", "data": rows[0],
	}}})
	require.NoError(t, err)
	p.eventually("the gateway routes the model", func() bool {
		answer, err := http.Post(p.gateway+"/v2/models/letters/infer", "application/json", bytes.NewReader(body)) //nolint:noctx // on loopback, bounded by the test
		require.NoError(t, err)
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
