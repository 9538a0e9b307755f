package readmodel_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// Nothing that the domain takes may stop a tenant's read models: it is refused with its field, or it is shown.
func TestWhatTheDomainTakesTheReadModelsTake(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", nil)
	job := domain.JobID(uuid.NewString())
	training := func(params string, set func(*domain.DatasetInfo)) domain.Command {
		dataset := domain.DatasetInfo{URI: "digits.csv", Label: "label"}
		if set != nil {
			set(&dataset)
		}
		return domain.StartTraining{
			ModelID: "digits", TrainingJobID: domain.JobID(uuid.NewString()), Concurrent: true,
			TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Params: json.RawMessage(params)},
			DatasetInfo:    []domain.DatasetInfo{dataset},
		}
	}
	w.start("digits", job)
	for name, cmd := range map[string]domain.Command{
		"tiny number":       training(`{"rate":1e-99999}`, nil),
		"tiny zero":         training(`{"rate":0e-99999}`, nil),
		"long number":       training(`{"rate":1.`+strings.Repeat("0", 20000)+`}`, nil),
		"smallest float":    training(`{"rate":4.9406564584124654e-324}`, nil),
		"greatest float":    training(`{"rate":-1.7976931348623157E+308}`, nil),
		"NUL in a column":   training(`{}`, func(d *domain.DatasetInfo) { d.Schema = map[string]string{"pixel\x000": "number"} }),
		"NUL in a type":     training(`{}`, func(d *domain.DatasetInfo) { d.Schema = map[string]string{"pixel": "\x00"} }),
		"NUL in the format": training(`{}`, func(d *domain.DatasetInfo) { d.Format = "c\x00sv" }),
		"NUL in the split":  training(`{}`, func(d *domain.DatasetInfo) { d.Split = "\x00" }),
		"a late epoch": domain.RecordTrainingProgress{
			ModelID: "digits", TrainingJobID: job, Epoch: math.MaxInt, Step: math.MaxInt64, ProgressPercentage: 100,
		},
	} {
		if err := w.try(cmd); err != nil {
			require.ErrorIs(t, err, domain.ErrInvalidInput, name)
		}
	}
	h.applied(1, readmodel.Trainings{})
	got, err := h.reader.GetTraining(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Equal(t, math.MaxInt, got.Epoch)
	page, err := h.reader.ListTrainings(t.Context(), "acme", readmodel.TrainingFilter{}, readmodel.Paging{})
	require.NoError(t, err)
	require.Len(t, page.Items, 3, "and the two numbers that fit")
}
