// Package servingtest gives the tests of serving their models and servers. It is for tests only.
package servingtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/serving/modelserver"
	"phantom/serving/oip"
)

// Patience is how long a test waits for something that must happen.
const Patience = 60 * time.Second

// Testdata is the folder of the models, seen from a package of serving.
const Testdata = "../modelserver/testdata"

// Bundle reads one of the models in Testdata: "mlp", "digits", "regressor" or "wide".
func Bundle(tb testing.TB, name string) []artifact.File {
	tb.Helper()
	var files []artifact.File
	for _, part := range []string{artifact.ModelFile, artifact.SignatureFile, artifact.GoldenFile, artifact.LabelsFile} {
		body, err := os.ReadFile(filepath.Join(Testdata, name, part))
		if part == artifact.LabelsFile && os.IsNotExist(err) {
			continue
		}
		require.NoError(tb, err)
		files = append(files, artifact.File{Name: part, Body: body})
	}
	return files
}

// Replace returns the bundle with one file changed.
func Replace(files []artifact.File, name string, body []byte) []artifact.File {
	changed := make([]artifact.File, 0, len(files))
	for _, file := range files {
		if file.Name == name {
			file.Body = body
		}
		changed = append(changed, file)
	}
	return changed
}

// Golden reads a bundle's golden rows.
func Golden(tb testing.TB, files []artifact.File) artifact.Golden {
	tb.Helper()
	var golden artifact.Golden
	for _, file := range files {
		if file.Name == artifact.GoldenFile {
			require.NoError(tb, json.Unmarshal(file.Body, &golden))
		}
	}
	require.NotEmpty(tb, golden.Inputs)
	return golden
}

// Put writes a bundle into a repository, without any care for crashes.
func Put(tb testing.TB, repository, name string, files []artifact.File) {
	tb.Helper()
	folder := filepath.Join(repository, name)
	require.NoError(tb, os.MkdirAll(folder, 0o755))
	for _, file := range files {
		require.NoError(tb, os.WriteFile(filepath.Join(folder, file.Name), file.Body, 0o600))
	}
}

// ModelServer starts a recovered model server on the repository and returns its URL. It ends with the test.
func ModelServer(tb testing.TB, repository string, params modelserver.Params) string {
	tb.Helper()
	server, err := modelserver.New(repository, params)
	require.NoError(tb, err)
	require.NoError(tb, server.Recover(tb.Context()))
	return Serve(tb, server)
}

// Serve serves a model server over HTTP until the test ends, and then waits for it.
func Serve(tb testing.TB, server *modelserver.Server) string {
	tb.Helper()
	front := httptest.NewServer(server.Handler())
	tb.Cleanup(func() {
		front.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), Patience)
		defer cancel()
		require.NoError(tb, server.Close(ctx))
	})
	return front.URL
}

// Client is an HTTP client of its own, which leaves no connection behind the test.
func Client(tb testing.TB) *http.Client {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: Patience}
}

// Answer is a read HTTP answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Call sends a request with header pairs and reads the answer.
func Call(tb testing.TB, client *http.Client, method, url string, body []byte, headers ...string) Answer {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), method, url, bytes.NewReader(body))
	require.NoError(tb, err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	require.NoError(tb, err)
	defer response.Body.Close() // It was read to its end.
	text, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: text}
}

// Request is an inference request of rows, as JSON.
func Request(tb testing.TB, id string, rows [][]float32) []byte {
	tb.Helper()
	var flat []float32
	for _, row := range rows {
		flat = append(flat, row...)
	}
	data, finite := oip.FloatData(flat)
	require.True(tb, finite)
	body, err := json.Marshal(oip.InferRequest{ID: id, Inputs: []oip.Tensor{{
		Name: "x", Datatype: oip.FP32, Shape: []int64{int64(len(rows)), int64(len(rows[0]))}, Data: data,
	}}})
	require.NoError(tb, err)
	return body
}

// Response reads an inference answer.
func Response(tb testing.TB, answer Answer) oip.InferResponse {
	tb.Helper()
	require.Equal(tb, http.StatusOK, answer.Status, string(answer.Body))
	var response oip.InferResponse
	require.NoError(tb, json.Unmarshal(answer.Body, &response))
	return response
}
