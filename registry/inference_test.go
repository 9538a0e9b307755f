package registry_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
)

const day = "2026-11-23"

func inferences(n int) domain.RecordInferences {
	id := domain.NewInferenceID("digits", "local", day, uuid.New())
	var cmd domain.RecordInferences
	for row := range n {
		cmd.Inferences = append(cmd.Inferences, domain.InferenceMade{
			InferenceID: id, Row: row, ModelID: "digits", Version: "1", Target: "local", Prediction: domain.InClear(json.RawMessage(`"7"`)),
			InferenceTimeMS: 1.5, Outcome: "ok", SampleRate: 1,
		})
	}
	return cmd
}

func TestInferencesAreStoredOnce(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, stream := at(store), domain.InferenceStream("digits", "local", day)
			cmd := inferences(3)
			first := d.do(t, domain.RecordInferences{Inferences: cmd.Inferences[:2]}, domain.Meta{})
			require.Equal(t, domain.Result{Revision: 2, Position: 2}, first)
			// A batch that overlaps, and holds a row twice.
			overlapping := domain.RecordInferences{Inferences: append(cmd.Inferences[1:], cmd.Inferences[2])}
			require.Equal(t, domain.Result{Revision: 3, Position: 3}, d.do(t, overlapping, domain.Meta{}))
			require.Equal(t, domain.Result{Revision: 3, Position: 3}, d.do(t, cmd, domain.Meta{CommandID: "again"}))
			history := d.history(t, stream)
			require.Len(t, history, 3)
			require.Equal(t, cmd.Inferences[2], history[2].Event)

			// They stand in their own log, and no command is remembered for them.
			_, known, err := store.Fetch(t.Context(), "acme", eventstore.Inference, nil, "again")
			require.NoError(t, err)
			require.Nil(t, known)
			loaded, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, eventstore.Whole(eventstore.Stream{Type: string(stream.Type), ID: stream.ID}), "")
			require.NoError(t, err)
			require.Empty(t, loaded[0].Events)
		})
	}
}

func TestFeedbackStandsBesideItsInference(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := at(store)
			cmd := inferences(1)
			d.do(t, cmd, domain.Meta{})
			label := domain.FeedbackRecorded{
				InferenceID: cmd.Inferences[0].InferenceID, Label: json.RawMessage(`"7"`),
				LabelledAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Source: "desk",
			}
			d.do(t, domain.RecordFeedback{Feedback: []domain.FeedbackRecorded{label}}, domain.Meta{})
			second := label
			second.Label = json.RawMessage(`"9"`) // the first label of a source counts
			d.do(t, domain.RecordFeedback{Feedback: []domain.FeedbackRecorded{second}}, domain.Meta{})
			second.Source = "audit"
			d.do(t, domain.RecordFeedback{Feedback: []domain.FeedbackRecorded{second}}, domain.Meta{})
			history := d.history(t, domain.InferenceStream("digits", "local", day))
			require.Len(t, history, 3)
			require.Equal(t, label, history[1].Event)
			require.Equal(t, second, history[2].Event)
		})
	}
}

func TestLargeBatchesAreSplit(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			world := &meddled{Store: store, before: func(int64) {}}
			d, cmd := at(world), inferences(2500)
			require.Equal(t, domain.Result{Revision: 2500, Position: 2500}, d.do(t, cmd, domain.Meta{}))
			require.EqualValues(t, 3, world.appends.Load())
			history := d.history(t, domain.InferenceStream("digits", "local", day))
			require.Len(t, history, 2500)
			require.Equal(t, cmd.Inferences[2499], history[2499].Event)
		})
	}
}

func TestInferencesAtOnce(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, cmd := at(store), inferences(20)
			_, errs := together(20, func(i int) (domain.Result, error) {
				return d.Handle(t.Context(), d.tenant, domain.RecordInferences{Inferences: cmd.Inferences[:i+1]}, domain.Meta{})
			})
			for _, err := range errs {
				require.NoError(t, err)
			}
			rows := map[int]bool{}
			for _, recorded := range d.history(t, domain.InferenceStream("digits", "local", day)) {
				row := recorded.Event.(domain.InferenceMade).Row
				require.False(t, rows[row], "row %d is stored twice", row)
				rows[row] = true
			}
			require.Len(t, rows, 20)
		})
	}
}

func TestInferencesTakeNoExpectation(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			_, err := at(store).Handle(t.Context(), "acme", inferences(1), domain.Meta{Expect: new(int64(0))})
			require.ErrorIs(t, err, domain.ErrInvalidInput)
			_, err = at(store).Handle(t.Context(), "acme", domain.RecordInferences{}, domain.Meta{})
			require.ErrorIs(t, err, domain.ErrInvalidInput)
		})
	}
}
