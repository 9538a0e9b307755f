package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/registry"
)

// envelopes is a sealer that puts content into envelopes; each has another number, as each seal has another nonce.
type envelopes struct {
	made int
	away error
}

func (s *envelopes) Seal(_ context.Context, _ domain.Tenant, inferences []domain.InferenceMade) error {
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			s.made++
			*part.Content = domain.Content{Sealed: &domain.Sealed{Nonce: []byte{byte(s.made)}, Ciphertext: part.Content.Clear}}
		}
	}
	return s.away
}

func (s *envelopes) Open(_ context.Context, _ domain.Tenant, inferences []domain.InferenceMade) error {
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			*part.Content = domain.InClear(part.Content.Sealed.Ciphertext)
		}
	}
	return s.away
}

func TestPrivateContentIsSealedOnItsWayIn(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			sealer := &envelopes{}
			d := desk{Registry: registry.NewSealing(store, sealer), tenant: "acme"}
			cmd := inferences(3)
			cmd.Inferences[1].SubjectRef = "ann"
			cmd.Inferences[2].InputFeatures = domain.InClear(json.RawMessage(`[1]`))
			d.do(t, cmd, domain.Meta{})
			require.Equal(t, domain.Result{Revision: 3, Position: 3}, d.do(t, cmd, domain.Meta{}), "sealed anew it is the same batch")
			require.Equal(t, 4, sealer.made)

			history := d.history(t, domain.InferenceStream("digits", "local", day))
			require.Len(t, history, 3)
			require.Equal(t, cmd.Inferences[0], history[0].Event, "a class of nobody stays in clear")
			require.Equal(t, []byte{1}, history[1].Event.(domain.InferenceMade).Prediction.Sealed.Nonce)
			require.Empty(t, history[2].Event.(domain.InferenceMade).InputFeatures.Clear)
			require.NotEmpty(t, cmd.Inferences[1].Prediction.Clear, "the caller's command is left alone")
			require.NoError(t, d.Open(t.Context(), d.tenant, history))
			for row, recorded := range history {
				require.Equal(t, cmd.Inferences[row], recorded.Event)
			}

			sealer.away = errors.New("the key service is away")
			_, err := d.Handle(t.Context(), d.tenant, cmd, domain.Meta{})
			require.ErrorIs(t, err, sealer.away)
			require.NotErrorIs(t, err, domain.ErrInvalidInput, "it can be tried again")
		})
	}
}

func TestWithoutKeysNothingPrivateGetsIn(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, cmd := at(open(t)), inferences(2)
			cmd.Inferences[1].SubjectRef = "ann"
			_, err := d.Handle(t.Context(), d.tenant, cmd, domain.Meta{})
			var invalid *domain.InvalidInput
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, "inferences.1.prediction", invalid.Field)
			require.Empty(t, d.history(t, domain.InferenceStream("digits", "local", day)))
		})
	}
}

// TestAnInferenceOfTheFirstVersionIsRead as it was written by a gateway of then.
func TestAnInferenceOfTheFirstVersionIsRead(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d, made := at(store), inferences(1).Inferences[0]
			stream := domain.InferenceStream("digits", "local", day)
			data := `{"inference_id":"` + string(made.InferenceID) + `","row":0,"model_id":"digits","version":"1","target":"local",` +
				`"prediction":"7","inference_time_ms":1.5,"outcome":"ok","sample_rate":1}`
			_, err := store.Append(t.Context(), "acme", eventstore.Inference, []eventstore.Append{{
				Stream: eventstore.Stream{Type: string(stream.Type), ID: stream.ID},
				Events: []eventstore.NewEvent{{
					ID: uuid.New(), Type: "InferenceMade", Version: 1, Data: json.RawMessage(data),
					Metadata: json.RawMessage(`{}`), OccurredAt: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
				}},
			}}, nil)
			require.NoError(t, err)
			require.Equal(t, made, d.history(t, stream)[0].Event)
		})
	}
}
