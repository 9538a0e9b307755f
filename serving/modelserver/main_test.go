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

func build(tb testing.TB, params modelserver.Params) *house {
	tb.Helper()
	repository := tb.TempDir()
	return &house{repository, servingtest.ModelServer(tb, repository, params), servingtest.Client(tb)}
}

func (h *house) get(tb testing.TB, path string) servingtest.Answer {
	tb.Helper()
	return servingtest.Call(tb, h.client, http.MethodGet, h.url+path, nil)
}

func (h *house) post(tb testing.TB, path string, body []byte) servingtest.Answer {
	tb.Helper()
	return servingtest.Call(tb, h.client, http.MethodPost, h.url+path, body)
}

func (h *house) load(tb testing.TB, name string, files []artifact.File) servingtest.Answer {
	tb.Helper()
	servingtest.Put(tb, h.repository, name, files)
	return h.post(tb, "/v2/repository/models/"+name+"/load", nil)
}

func (h *house) index(tb testing.TB) []oip.RepositoryModel {
	tb.Helper()
	answer := h.post(tb, "/v2/repository/index", []byte("{}"))
	require.Equal(tb, http.StatusOK, answer.Status)
	var models []oip.RepositoryModel
	require.NoError(tb, json.Unmarshal(answer.Body, &models))
	return models
}

// refusal reads the message of an error answer and checks its form.
func refusal(tb testing.TB, answer servingtest.Answer) string {
	tb.Helper()
	var body map[string]string
	require.NoError(tb, json.Unmarshal(answer.Body, &body), string(answer.Body))
	require.Len(tb, body, 1)
	require.NotEmpty(tb, body["error"])
	require.NotContains(tb, body["error"], "goroutine")
	require.NotContains(tb, body["error"], ".go:")
	return body["error"]
}
