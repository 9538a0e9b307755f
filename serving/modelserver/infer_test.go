package modelserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/serving/modelserver"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
)

func TestInferAnswersAsTheTrainedModel(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mlp", "digits", "regressor", "wide"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, modelserver.Params{MaxBatch: 4})
			files := servingtest.Bundle(t, name)
			require.Equal(t, http.StatusOK, h.load(t, "m", files).Status)
			golden := servingtest.Golden(t, files)
			for rows := 1; rows <= 11; rows++ { // beyond one batch, so that it is cut into pieces
				var inputs, want [][]float32
				for i := range rows {
					inputs = append(inputs, golden.Inputs[i%len(golden.Inputs)])
					want = append(want, golden.Outputs[i%len(golden.Outputs)])
				}
				answer := h.post(t, "/v2/models/m/infer", servingtest.Request(t, "me", inputs))
				response := servingtest.Response(t, answer)
				require.Equal(t, "me", response.ID)
				require.Equal(t, "m", response.ModelName)
				require.Equal(t, "1", response.ModelVersion)
				output := response.Outputs[0]
				require.Equal(t, []int64{int64(rows), int64(len(want[0]))}, output.Shape)
				got, err := oip.Floats(output.Data, rows*len(want[0]))
				require.NoError(t, err)
				require.InDeltaSlice(t, flatten(want), got, golden.Tolerance)
			}
		})
	}
}

func flatten(rows [][]float32) []float32 {
	var flat []float32
	for _, row := range rows {
		flat = append(flat, row...)
	}
	return flat
}

func TestClassifierNamesTheClassAndItsProbability(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	files := servingtest.Bundle(t, "mlp")
	require.Equal(t, http.StatusOK, h.load(t, "m", files).Status)
	golden := servingtest.Golden(t, files)
	response := servingtest.Response(t, h.post(t, "/v2/models/m/infer", servingtest.Request(t, "", golden.Inputs)))
	labels, err := oip.Strings(response.Output(oip.Label).Data, len(golden.Inputs))
	require.NoError(t, err)
	confidences, err := oip.Floats(response.Output(oip.Confidence).Data, len(golden.Inputs))
	require.NoError(t, err)
	for row, probabilities := range golden.Outputs {
		best := 0
		for class := range probabilities {
			if probabilities[class] > probabilities[best] {
				best = class
			}
		}
		require.Equal(t, []string{"ant", "bee", "cat"}[best], labels[row])
		require.InDelta(t, probabilities[best], confidences[row], 1e-5)
	}
}

func TestRequestedOutputsAreGivenAlone(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	require.Equal(t, http.StatusOK, h.load(t, "m", servingtest.Bundle(t, "mlp")).Status)
	body := `{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[[1,2,3,4]]}],"outputs":[{"name":%q}]}`
	response := servingtest.Response(t, h.post(t, "/v2/models/m/infer", fmt.Appendf(nil, body, oip.Label)))
	require.Len(t, response.Outputs, 1)
	require.Equal(t, oip.Label, response.Outputs[0].Name)
	answer := h.post(t, "/v2/models/m/infer", fmt.Appendf(nil, body, "nothing"))
	require.Equal(t, http.StatusBadRequest, answer.Status)
	require.Contains(t, refusal(t, answer), `"nothing"`)
}

func TestBadRequestsAreNamed(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{MaxRows: 8, MaxBody: 4096})
	require.Equal(t, http.StatusOK, h.load(t, "m", servingtest.Bundle(t, "mlp")).Status)
	input := func(name, shape, datatype, data string) string {
		return fmt.Sprintf(`{"inputs":[{"name":%q,"shape":%s,"datatype":%q,"data":%s}]}`, name, shape, datatype, data)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"no JSON":           {`{"inputs":`, 400, "not JSON"},
		"empty":             {``, 400, "not JSON"},
		"no inputs":         {`{}`, 400, "at least one input"},
		"a wrong type":      {`{"inputs":7}`, 400, "inputs"},
		"another input":     {input("y", "[1,4]", "FP32", "[1,2,3,4]"), 400, `exactly one, "x"`},
		"another datatype":  {input("x", "[1,4]", "FP64", "[1,2,3,4]"), 400, `input "x": datatype "FP64", the model takes FP32`},
		"another width":     {input("x", "[1,5]", "FP32", "[1,2,3,4,5]"), 400, `input "x": shape [1 5], the model takes [-1 4]`},
		"another rank":      {input("x", "[4]", "FP32", "[1,2,3,4]"), 400, `input "x": shape [4]`},
		"no rows":           {input("x", "[0,4]", "FP32", "[]"), 400, `input "x": shape [0 4]`},
		"negative rows":     {input("x", "[-1,4]", "FP32", "[]"), 400, `input "x": shape [-1 4]`},
		"too few values":    {input("x", "[1,4]", "FP32", "[1,2,3]"), 400, `input "x": data holds 3 values, its shape 4`},
		"too many values":   {input("x", "[1,4]", "FP32", "[1,2,3,4,5]"), 400, `input "x": data holds more values`},
		"a string":          {input("x", "[1,4]", "FP32", `[1,2,"3",4]`), 400, `input "x": data[2]: "3" is not a number`},
		"a null":            {input("x", "[1,4]", "FP32", `[1,2,null,4]`), 400, `input "x": data[2]: null is not a number`},
		"no data":           {`{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32"}]}`, 400, `input "x": data holds 0 values`},
		"NaN":               {input("x", "[1,4]", "FP32", `[1,2,NaN,4]`), 400, `input "x": NaN is not a finite number`},
		"minus infinity":    {input("x", "[1,4]", "FP32", `[1,2,-Infinity,4]`), 400, `input "x": -Infinity is not a finite number`},
		"nan as Go says it": {input("x", "[1,4]", "FP32", `[1,2,nan,4]`), 400, `input "x": nan is not a finite number`},
		"beyond FP32":       {input("x", "[1,4]", "FP32", `[1,2,3,1e39]`), 400, `input "x": data[3]: 1e39 is beyond FP32`},
		"beyond the rows":   {input("x", "[9,4]", "FP32", "[1]"), 413, `input "x": 9 rows, at most 8`},
		"a huge shape":      {input("x", "[9223372036854775807,4]", "FP32", "[1]"), 413, "at most 8"},
		"a long body":       {input("x", "[1,4]", "FP32", "["+strings.Repeat("1,", 4096)+"1]"), 413, "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := h.post(t, "/v2/models/m/infer", []byte(c.body))
			require.Equal(t, c.status, answer.Status, string(answer.Body))
			require.Contains(t, refusal(t, answer), c.says)
		})
	}
}

func TestUnknownModelsAndPathsAreNotFound(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{})
	require.Equal(t, http.StatusOK, h.load(t, "m", servingtest.Bundle(t, "mlp")).Status)
	for _, path := range []string{
		"/v2/models/n", "/v2/models/n/ready", "/v2/models/m/versions/2", "/v2/models/m/versions/2/ready", "/v2/nothing", "/",
	} {
		answer := h.get(t, path)
		require.Equal(t, http.StatusNotFound, answer.Status, path)
		refusal(t, answer)
	}
	for _, path := range []string{"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/versions/1/ready"} {
		require.Equal(t, http.StatusOK, h.get(t, path).Status, path)
	}
	var meta oip.ModelMetadata
	require.NoError(t, json.Unmarshal(h.get(t, "/v2/models/m/versions/1").Body, &meta))
	require.Equal(t, "m", meta.Name)
	require.Equal(t, []int64{-1, 4}, meta.Inputs[0].Shape)
	require.Len(t, meta.Outputs, 3)
}

func TestAnOverdueInferenceIsAnsweredAndWaitedFor(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{InferTimeout: time.Millisecond, MaxRows: 65536, MaxBody: 64 << 20})
	files := servingtest.Bundle(t, "digits")
	require.Equal(t, http.StatusOK, h.load(t, "m", files).Status)
	row := servingtest.Golden(t, files).Inputs[0]
	rows := make([][]float32, 20000)
	for i := range rows {
		rows[i] = row
	}
	answer := h.post(t, "/v2/models/m/infer", servingtest.Request(t, "", rows))
	require.Equal(t, http.StatusGatewayTimeout, answer.Status)
	require.Contains(t, refusal(t, answer), "in time")
	// Closing waits for the one that still computes: goleak would find it.
}

func TestModelsComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	h := build(t, modelserver.Params{MaxBatch: 2})
	mlp := servingtest.Bundle(t, "mlp")
	other := servingtest.Replace(mlp, "labels.json", []byte(`["A","B","C"]`))
	require.Equal(t, http.StatusOK, h.load(t, "stays", mlp).Status)
	require.Equal(t, http.StatusOK, h.load(t, "changes", mlp).Status)
	body := servingtest.Request(t, "", servingtest.Golden(t, mlp).Inputs)
	var clients sync.WaitGroup
	stop := make(chan struct{})
	bad := make(chan string, 16)
	for worker := range 4 {
		clients.Go(func() {
			name := []string{"stays", "changes"}[worker%2]
			for {
				select {
				case <-stop:
					return
				default:
				}
				answer := h.post(t, "/v2/models/"+name+"/infer", body)
				whole := answer.Status == http.StatusOK && bytes.Contains(answer.Body, []byte(`"label"`))
				gone := name == "changes" && answer.Status == http.StatusNotFound
				if !whole && !gone {
					bad <- fmt.Sprintf("%s: %d %s", name, answer.Status, answer.Body)
					return
				}
			}
		})
	}
	for round := range 20 {
		files := mlp
		if round%2 == 0 {
			files = other
		}
		require.Equal(t, http.StatusOK, h.load(t, "changes", files).Status)
		if round%3 == 0 {
			require.Equal(t, http.StatusOK, h.post(t, "/v2/repository/models/changes/unload", nil).Status)
		}
	}
	close(stop)
	clients.Wait()
	close(bad)
	for text := range bad {
		require.Fail(t, text)
	}
}
