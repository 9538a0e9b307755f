package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/serving/gateway"
	"phantom/serving/servingtest"
)

// echo is a target that answers any request with as many labels as its first input claims rows.
func echo(t *testing.T) map[domain.Target]string {
	t.Helper()
	return stub(t, func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Inputs []struct{ Shape []int }
		}
		if json.NewDecoder(r.Body).Decode(&request) != nil || request.Inputs[0].Shape[0] == 13 {
			http.Error(w, `{"error":"no"}`, http.StatusBadRequest)
			return
		}
		rows := request.Inputs[0].Shape[0]
		labels := strings.TrimSuffix(strings.Repeat(`"a",`, rows), ",")
		fmt.Fprintf(w, `{"outputs":[{"name":"label","datatype":"BYTES","shape":[%d],"data":[%s]}]}`, rows, labels)
	})
}

func TestFullCaptureTakesTheInputsOfEachRow(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("1,", domain.MaxContent/2)
	for name, c := range map[string]struct {
		inputs string
		want   []domain.Content
	}{
		"nested": {
			`{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4.50]]}`,
			[]domain.Content{captured(`{"x":[1,2]}`), captured(`{"x":[3,4.50]}`)},
		},
		"flat": {
			`{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}`,
			[]domain.Content{captured(`{"x":[1,2]}`), captured(`{"x":[3,4]}`)},
		},
		"two inputs": {
			`{"name":"x","shape":[2,1],"datatype":"FP32","data":[1,2]},{"name":"who","shape":[2],"datatype":"BYTES","data":["ann","bo"]}`,
			[]domain.Content{captured(`{"who":"ann","x":1}`), captured(`{"who":"bo","x":2}`)},
		},
		"one row": {
			`{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}`,
			[]domain.Content{captured(`{"x":[1,2,3]}`)},
		},
		"other rows than claimed": {
			`{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3]}`,
			[]domain.Content{{Omitted: "no_rows"}, {Omitted: "no_rows"}},
		},
		"one too large": {
			`{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1],[` + large + `1]]}`,
			[]domain.Content{captured(`{"x":[1]}`), {Omitted: "too_large"}},
		},
		"a bad request": {`{"name":"x","shape":[13,1],"datatype":"FP32","data":[1]}`, []domain.Content{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, newWorld(), echo(t))
			h.deploy(t, "insects", "1", `{"capture":"full"}`)
			h.infer(t, "insects", []byte(`{"inputs":[`+c.inputs+`]}`), "Phantom-Subject", "patient-7")
			made := h.logged(t, len(c.want))
			for row, want := range c.want {
				require.Equal(t, want.Omitted, made[row].InputFeatures.Omitted)
				require.Equal(t, string(want.Clear), string(made[row].InputFeatures.Clear))
				require.Equal(t, domain.SubjectRef("patient-7"), made[row].SubjectRef)
			}
		})
	}
}

func captured(text string) domain.Content { return domain.InClear(json.RawMessage(text)) }

func TestOtherCapturesTakeNoInputs(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), echo(t))
	body := []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`)
	for i, capture := range []string{"metadata", "prediction"} {
		h.deploy(t, "insects", "1", `{"capture":"`+capture+`"}`)
		servingtest.Response(t, h.infer(t, "insects", body, "Phantom-Subject", "patient-7"))
		made := h.logged(t, i+1)[i]
		require.Zero(t, made.InputFeatures)
		require.Equal(t, capture == "prediction", made.Prediction.Clear != nil)
	}
}

// TestLargeInputsCostNoMeasurement: the log takes every row, and the inputs of as many as memory is given to.
func TestLargeInputsCostNoMeasurement(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.closed = true
	h := build(t, w, echo(t), func(p *gateway.Params) { p.TenantBytes, p.QueueBytes = 3000, 4000 })
	w.happen("acme", "insects", domain.ModelDeployed{
		Version: "1", DeploymentTarget: "local", DeploymentConfig: json.RawMessage(`{"capture":"full"}`),
	})
	h.await(t, "acme", 1)
	h.deploy(t, "insects", "1", `{"capture":"full"}`)
	body := []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("x", 1000) + `"]}]}`)
	for range 4 { // of 1,008 bytes each: two fit, then one of the other tenant
		servingtest.Response(t, h.infer(t, "insects", body))
	}
	for range 2 {
		servingtest.Response(t, h.infer(t, "insects", body, "Phantom-Tenant", "acme"))
	}
	w.set(func(w *world) { w.closed = false })
	require.Eventually(t, func() bool { return len(h.rows("acme")) == 2 }, servingtest.Patience, time.Millisecond)
	full := func(rows []domain.InferenceMade) (count int) {
		for _, row := range rows {
			if row.InputFeatures.Omitted == "" {
				count++
			} else {
				require.Equal(t, domain.Content{Omitted: "busy"}, row.InputFeatures)
			}
			require.NotEmpty(t, row.Prediction.Clear)
		}
		return count
	}
	require.Equal(t, 2, full(h.logged(t, 4)))
	require.Equal(t, 1, full(h.rows("acme")))
	servingtest.Response(t, h.infer(t, "insects", body))
	require.Empty(t, h.logged(t, 5)[4].InputFeatures.Omitted, "what is logged gives its memory back")
	require.Zero(t, h.dropped(t, domain.DefaultTenant))
}

// TestABatchIsBoundedInBytes: many large inputs do not become one huge append.
func TestABatchIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := build(t, w, echo(t), func(p *gateway.Params) { p.BatchWait = time.Hour })
	h.deploy(t, "insects", "1", `{"capture":"full"}`)
	row := `"` + strings.Repeat("x", 200_000) + `",`
	const rows = 50 // 10 MB
	body := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[%d],"datatype":"BYTES","data":[%s]}]}`, rows, strings.TrimSuffix(strings.Repeat(row, rows), ","))
	servingtest.Response(t, h.infer(t, "insects", []byte(body)))
	require.NoError(t, h.gateway.Close(t.Context()))
	require.Len(t, h.rows(domain.DefaultTenant), rows)
	w.set(func(w *world) { require.Len(t, w.metas, 3) })
}
