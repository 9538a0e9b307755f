package modelserver_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/artifact"
	"phantom/serving/modelserver"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a model server with a repository and a client.
type house struct {
	repository string
	url        string
	client     *http.Client
}

func build(t testing.TB, params modelserver.Params) *house {
	t.Helper()
	repository := t.TempDir()
	return &house{repository, servingtest.ModelServer(t, repository, params), servingtest.Client(t)}
}

func (h *house) get(t testing.TB, path string) servingtest.Answer {
	t.Helper()
	return servingtest.Call(t, h.client, http.MethodGet, h.url+path, nil)
}

func (h *house) post(t testing.TB, path string, body []byte) servingtest.Answer {
	t.Helper()
	return servingtest.Call(t, h.client, http.MethodPost, h.url+path, body)
}

func (h *house) load(t testing.TB, name string, files []artifact.File) servingtest.Answer {
	t.Helper()
	servingtest.Put(t, h.repository, name, files)
	return h.post(t, "/v2/repository/models/"+name+"/load", nil)
}

func (h *house) index(t testing.TB) []oip.RepositoryModel {
	t.Helper()
	answer := h.post(t, "/v2/repository/index", []byte("{}"))
	require.Equal(t, http.StatusOK, answer.Status)
	var models []oip.RepositoryModel
	require.NoError(t, json.Unmarshal(answer.Body, &models))
	return models
}

// refusal reads the message of an error answer and checks its form.
func refusal(t testing.TB, answer servingtest.Answer) string {
	t.Helper()
	var body map[string]string
	require.NoError(t, json.Unmarshal(answer.Body, &body), string(answer.Body))
	require.Len(t, body, 1)
	require.NotEmpty(t, body["error"])
	require.NotContains(t, body["error"], "goroutine")
	require.NotContains(t, body["error"], ".go:")
	return body["error"]
}
