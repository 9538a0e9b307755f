package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/serving/gateway"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
)

func TestEachRowIsLoggedWithItsPrediction(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", "")
	answer := h.infer(t, "insects", rows(t, "mine", 6))
	response := servingtest.Response(t, answer)
	require.Equal(t, "mine", response.ID)
	require.Equal(t, "insects", response.ModelName)
	require.Equal(t, "1", response.ModelVersion)
	var id domain.InferenceID
	require.NoError(t, json.Unmarshal(response.Parameters["inference_id"], &id))
	require.Equal(t, string(id), answer.Header.Get("Phantom-Inference-Id"))
	stream, ok := id.Stream()
	require.True(t, ok)
	require.Equal(t, domain.InferenceStream("insects", "local", time.Now().UTC().Format(time.DateOnly)), stream)

	labels, err := oip.Strings(response.Output(oip.Label).Data, 6)
	require.NoError(t, err)
	confidences, err := oip.Floats(response.Output(oip.Confidence).Data, 6)
	require.NoError(t, err)
	for row, made := range h.logged(t, 6) {
		require.Equal(t, id, made.InferenceID)
		require.Equal(t, row, made.Row)
		require.Equal(t, domain.Version("1"), made.Version)
		require.Equal(t, "ok", made.Outcome)
		require.JSONEq(t, fmt.Sprintf("%q", labels[row]), string(made.Prediction.Clear))
		require.InDelta(t, confidences[row], *made.Confidence, 1e-6)
		require.Positive(t, made.InferenceTimeMS)
		require.InDelta(t, 1, made.SampleRate, 0)
		require.Equal(t, "tester", made.RequestedBy)
	}
	require.Zero(t, h.dropped(t, domain.DefaultTenant))
}

func TestARegressionsNumberIsItsPrediction(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "regressor", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", "")
	response := servingtest.Response(t, h.infer(t, "insects", rows(t, "", 2)))
	want, err := oip.Floats(response.Output("y").Data, 2)
	require.NoError(t, err)
	for row, made := range h.logged(t, 2) {
		var got float32
		require.NoError(t, json.Unmarshal(made.Prediction.Clear, &got))
		require.InDelta(t, want[row], got, 0)
		require.Nil(t, made.Confidence)
	}
}

func TestAChoiceOfOutputsDoesNotTakeThePredictionFromTheLog(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", "")
	body := `{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],"outputs":[{"name":%q}]}`
	response := servingtest.Response(t, h.infer(t, "insects", fmt.Appendf(nil, body, oip.Probabilities)))
	require.Len(t, response.Outputs, 1)
	require.NotEmpty(t, h.logged(t, 1)[0].Prediction.Clear)
	require.Equal(t, http.StatusBadRequest, h.infer(t, "insects", fmt.Appendf(nil, body, "nothing")).Status)
}

func TestANamedVersionAnswersWhereItIsRouted(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1", "2", "3"}))
	h.deploy(t, "insects", "1", "")
	h.shift(t, "insects", domain.Traffic{"1": 100, "2": 0})
	body := rows(t, "", 1)
	for version, status := range map[string]int{"1": 200, "2": 200, "3": 404, "x": 404} {
		answer := servingtest.Call(t, h.client, http.MethodPost, h.url+"/v2/models/insects/versions/"+version+"/infer", body)
		require.Equal(t, status, answer.Status, version)
		if status == 200 {
			require.Equal(t, version, servingtest.Response(t, answer).ModelVersion)
		}
	}
	for _, alias := range []string{"@champion", "%40champion", "latest"} {
		answer := h.get(t, "/v2/models/insects/versions/"+alias)
		require.Equal(t, http.StatusNotFound, answer.Status)
		require.Contains(t, refusal(t, answer), "versions by their numbers alone: GET /api/v1/models/insects/versions/")
	}
	for path, status := range map[string]int{
		"/v2": 200, "/v2/health/live": 200, "/v2/models/insects/ready": 200, "/v2/models/insects/versions/2/ready": 200,
		"/v2/models/insects/versions/3/ready": 404, "/v2/models/beetles/ready": 404, "/v2/repository/index": 404,
	} {
		require.Equal(t, status, h.get(t, path).Status, path)
	}
	var meta oip.ModelMetadata
	require.NoError(t, json.Unmarshal(h.get(t, "/v2/models/insects").Body, &meta))
	require.Equal(t, "insects", meta.Name)
	require.Equal(t, []string{"2", "1"}, meta.Versions)
	require.Len(t, meta.Inputs, 1)
}

func TestWhatNoVersionIsAskedForIsRefused(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1"}), func(p *gateway.Params) { p.MaxRows, p.MaxBody = 4, 2000 })
	h.deploy(t, "insects", "1", "")
	subject := h.infer(t, "insects", rows(t, "", 1), "Phantom-Subject", "Ann Smith")
	require.Equal(t, http.StatusUnprocessableEntity, subject.Status)
	require.Contains(t, refusal(t, subject), "Phantom-Subject")
	require.NotContains(t, refusal(t, subject), "Smith")
	require.Equal(t, http.StatusRequestEntityTooLarge, h.infer(t, "insects", rows(t, "", 5)).Status)
	require.Equal(t, http.StatusRequestEntityTooLarge, h.infer(t, "insects", []byte(`{"x":"`+strings.Repeat("y", 2000)+`"}`)).Status)
	require.Equal(t, http.StatusBadRequest, h.infer(t, "insects", []byte(`{`)).Status)
	require.Empty(t, h.rows(domain.DefaultTenant)) // no version was asked
}

func TestAClientsBadRequestDoesNotSpeakAgainstTheVersion(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1"}))
	h.deploy(t, "insects", "1", "")
	answer := h.infer(t, "insects", []byte(`{"inputs":[{"name":"x","shape":[7,5],"datatype":"FP32","data":[1]}]}`))
	require.Equal(t, http.StatusBadRequest, answer.Status)
	require.Contains(t, refusal(t, answer), `input "x": shape [7 5]`)
	require.NotEmpty(t, answer.Header.Get("Phantom-Inference-Id"))
	made := h.logged(t, 1)
	require.Len(t, made, 1)
	require.Equal(t, "bad_request", made[0].Outcome)
	require.Empty(t, made[0].Prediction)
}

// stub is a target whose answer the test writes.
func stub(t *testing.T, answer http.HandlerFunc) map[domain.Target]string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return map[domain.Target]string{"local": server.URL}
}

func TestTroubleOfATargetIsTheVersionsOutcome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		status  int
		outcome string
	}{
		"internal": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Traceback (most recent call last): secret.py", http.StatusInternalServerError)
		}, http.StatusBadGateway, "internal"},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, 503, "unavailable"},
		"not there":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 503, "unavailable"},
		"its timeout": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) }, 504, "timeout"},
		"too large":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }, 413, "bad_request"},
		"nonsense":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 502, "internal"},
		"other rows": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"outputs":[{"name":"label","shape":[9],"data":[]}]}`)
		}, 502, "internal"},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(http.StatusOK)
		}, 503, "unavailable"},
		"our deadline": {func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil { // only then the server sees a hang-up
				<-r.Context().Done()
			}
		}, 504, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, newWorld(), stub(t, c.answer), func(p *gateway.Params) { p.Timeout = 300 * time.Millisecond })
			h.deploy(t, "insects", "1", "")
			answer := h.infer(t, "insects", rows(t, "", 2))
			require.Equal(t, c.status, answer.Status)
			require.NotContains(t, refusal(t, answer), "Traceback")
			made := h.logged(t, 1)
			require.Equal(t, c.outcome, made[0].Outcome)
			require.InDelta(t, 1, h.count(t, "phantom_gateway_requests_total", map[string]string{"outcome": c.outcome}), 0)
		})
	}
}

func TestATargetThatIsDownIsUnavailable(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	h := build(t, newWorld(), map[domain.Target]string{"local": address})
	h.deploy(t, "insects", "1", "")
	require.Equal(t, http.StatusServiceUnavailable, h.infer(t, "insects", rows(t, "", 1)).Status)
	require.Equal(t, "unavailable", h.logged(t, 1)[0].Outcome)
	require.Equal(t, http.StatusServiceUnavailable, h.get(t, "/v2/models/insects/ready").Status)
	require.Equal(t, http.StatusServiceUnavailable, h.get(t, "/v2/models/insects").Status)
}

func TestALostConnectionIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	answer := func(w http.ResponseWriter, _ *http.Request) {
		if n := asked.Add(1); n == 1 || n == 3 || n == 4 {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				err = connection.Close()
			}
			if err != nil {
				panic(err)
			}
			return
		}
		fmt.Fprint(w, `{"outputs":[{"name":"y","shape":[1,1],"datatype":"FP32","data":[7]}]}`)
	}
	h := build(t, newWorld(), stub(t, answer))
	h.deploy(t, "insects", "1", "")
	require.Equal(t, http.StatusOK, h.infer(t, "insects", rows(t, "", 1)).Status)
	require.Equal(t, int32(2), asked.Load())
	require.Equal(t, http.StatusServiceUnavailable, h.infer(t, "insects", rows(t, "", 1)).Status) // twice is enough
	require.Equal(t, int32(4), asked.Load())
}

func TestAClientThatHangsUpLeavesItsInferenceInTheLog(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	h := build(t, newWorld(), stub(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		fmt.Fprint(w, `{"outputs":[{"name":"y","shape":[1,1],"datatype":"FP32","data":[7]}]}`)
	}))
	h.deploy(t, "insects", "1", "")
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/v2/models/insects/infer", strings.NewReader(string(rows(t, "", 1))))
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		response, err := h.client.Do(request)
		if err == nil {
			err = response.Body.Close()
		}
		failed <- err
	}()
	<-arrived
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	close(release)
	require.Equal(t, "ok", h.logged(t, 1)[0].Outcome)
}
