package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
)

const feedbackPath = "/api/v1/feedback"

func inference(target domain.Target) string {
	return string(domain.NewInferenceID("digits", target, "2026-11-23", uuid.New()))
}

// recorded are the labels in the log of a day, as <row>=<label> by <source>.
func (h *house) recorded(target domain.Target) []string {
	h.t.Helper()
	history, err := h.registry.Recorded(h.t.Context(), h.tenant, domain.InferenceStream("digits", target, "2026-11-23"))
	require.NoError(h.t, err)
	var labels []string
	for _, r := range history {
		e, ok := r.Event.(domain.FeedbackRecorded)
		require.True(h.t, ok)
		labels = append(labels, fmt.Sprintf("%d=%s by %s", e.Row, e.Label, e.Source))
	}
	return labels
}

func TestFeedbackIsRecordedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := inference("local"), inference("prod")
	body := object{"feedback": []any{
		object{"inference_id": a, "row": 0, "label": "7", "source": "nurse", "labelled_at": "2026-11-23T10:00:00Z"},
		object{"inference_id": a + "#1", "label": 8},
		object{"inference_id": b, "label": true},
	}}
	require.Equal(t, object{"recorded": 3.0}, h.post(feedbackPath, body).as(http.StatusOK))
	require.Equal(t, object{"recorded": 3.0}, h.post(feedbackPath, body).as(http.StatusOK), "sent again as a whole")
	require.Equal(t, []string{`0="7" by nurse`, `1=8 by api`}, h.recorded("local"))
	require.Equal(t, []string{`0=true by api`}, h.recorded("prod"))

	csv := with("Content-Type", "text/csv; charset=utf-8", post(feedbackPath, "\ufeffinference_id,row,label\n"+a+",2,7\n"+b+",,\"a,b\"\n"))
	csv.header["Phantom-Actor"] = "eve"
	require.Equal(t, object{"recorded": 2.0}, h.do(csv).as(http.StatusOK))
	require.Equal(t, []string{`0="7" by nurse`, `1=8 by api`, `2="7" by api`}, h.recorded("local"))
	require.Equal(t, []string{`0=true by api`}, h.recorded("prod"), "one row has one label of each source")
}

func badFeedback() []refusal {
	id := inference("local")
	one := func(label object) request { return post(feedbackPath, object{"feedback": []any{label}}) }
	csv := func(text string) request { return with("Content-Type", "text/csv", post(feedbackPath, text)) }
	return []refusal{
		{"feedback: unknown field", one(object{"inference_id": id, "label": 1, "rwo": 1}), badBody, "invalid_input", []string{"/feedback/0/rwo"}},
		{"feedback: unknown list", post(feedbackPath, object{"labels": []any{}}), badBody, "invalid_input", []string{"/labels"}},
		{"feedback: none", post(feedbackPath, object{"feedback": []any{}}), badBody, "invalid_input", []string{"/feedback"}},
		{"feedback: bad id", one(object{"inference_id": "x", "label": 1}), badBody, "invalid_input", []string{"/feedback/0/inference_id"}},
		{"feedback: no label", one(object{"inference_id": id}), badBody, "invalid_input", []string{"/feedback/0/label"}},
		{"feedback: label is an object", one(object{"inference_id": id, "label": object{}}), badBody, "invalid_input", []string{"/feedback/0/label"}},
		{"feedback: row is text", one(object{"inference_id": id, "label": 1, "row": "x"}), badBody, "invalid_input", []string{"/feedback/0/row"}},
		{"feedback: bad time", one(object{"inference_id": id, "label": 1, "labelled_at": "today"}), badBody, "invalid_input", []string{"/feedback/0/labelled_at"}},
		{"feedback: label is no object", post(feedbackPath, object{"feedback": []any{7}}), badBody, "invalid_input", []string{"/feedback/0"}},
		{"feedback: bad row", one(object{"inference_id": id, "label": 1, "row": -1}), badBody, "invalid_input", []string{"/feedback/0/row"}},
		{"feedback: two rows", one(object{"inference_id": id + "#1", "label": 1, "row": 2}), badBody, "invalid_input", []string{"/feedback/0/row"}},
		{
			"feedback: good and bad", post(feedbackPath, object{"feedback": []any{object{"inference_id": id, "label": 1}, object{"inference_id": "x", "label": 1}}}),
			badBody, "invalid_input",
			[]string{"/feedback/1/inference_id"},
		},
		{"feedback: not JSON", post(feedbackPath, `{"feedback":`), http.StatusBadRequest, "malformed", nil},
		{"feedback: no body", post(feedbackPath, nil), http.StatusBadRequest, "malformed", nil},
		{"feedback: too large", post(feedbackPath, strings.Repeat(" ", 8<<20+1)), http.StatusRequestEntityTooLarge, "too_large", nil},
		{"feedback: other format", with("Content-Type", "text/plain", post(feedbackPath, "x")), http.StatusBadRequest, "malformed", []string{"Content-Type"}},
		{"csv: no header", csv(id + ",0,7\n"), badBody, "invalid_input", []string{"/header"}},
		{"csv: a column twice", csv("inference_id,label,label\n" + id + ",0,7\n"), badBody, "invalid_input", []string{"/header"}},
		{"csv: no label column", csv("inference_id,row\n" + id + ",0\n"), badBody, "invalid_input", []string{"/label"}},
		{"csv: bad row", csv("inference_id,row,label\n" + id + ",x,7\n"), badBody, "invalid_input", []string{"/feedback/0/row"}},
		{"csv: no label", csv("inference_id,row,label\n" + id + ",0,\n"), badBody, "invalid_input", []string{"/feedback/0/label"}},
		{"csv: bad line", csv("inference_id,row,label\n" + id + ",0\n"), http.StatusBadRequest, "malformed", nil},
		{"csv: none", csv("inference_id,row,label\n"), badBody, "invalid_input", []string{"/feedback"}},
	}
}
