package domain_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/domain"
)

// TestAStateIsReadBackAsItWas: after any event, the state that was saved then and folded on is the live one, for each
// stream and whatever follows.
func TestAStateIsReadBackAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole, resumed := newHistory(), map[domain.StreamID]*domain.Aggregates{}
		histories := map[domain.StreamID][]domain.Recorded{}
		for cmd := range commandsOf(t) {
			events, err := domain.Decide(whole.load(cmd), cmd)
			if err != nil {
				continue
			}
			for _, event := range events {
				name, version, data, err := domain.Encode(event)
				require.NoError(t, err)
				decoded, err := domain.Decode(name, version, data)
				require.NoError(t, err)
				stream := cmd.Writes()
				histories[stream] = append(histories[stream], whole.record(stream, decoded))
			}
		}
		for stream, history := range histories {
			at := rapid.IntRange(0, len(history)).Draw(t, "at")
			var folded, saved domain.Aggregates
			for _, recorded := range history[:at] {
				saved.Evolve(recorded)
			}
			text, err := saved.MarshalState(stream.Type)
			require.NoError(t, err)
			resumed[stream] = &domain.Aggregates{}
			require.NoError(t, resumed[stream].UnmarshalState(stream.Type, text))
			require.Equal(t, saved, *resumed[stream])
			for _, recorded := range history {
				folded.Evolve(recorded)
			}
			for _, recorded := range history[at:] {
				resumed[stream].Evolve(recorded)
			}
			require.Equal(t, folded, *resumed[stream])
		}
	})
}

// TestAStateThatIsNoneIsRefused: and leaves the aggregate as if there were no snapshot.
func TestAStateThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `{`, `[]`, `{"Name": 1}`, `{"Name": "digits", "Colour": "red"}`} {
		var a domain.Aggregates
		require.Error(t, a.UnmarshalState(domain.TypeMLModel, json.RawMessage(text)), text)
		require.Equal(t, domain.Aggregates{}, a)
	}
	_, err := domain.Aggregates{}.MarshalState(domain.TypeInferenceLog)
	require.ErrorContains(t, err, "never folded")
	require.Error(t, (&domain.Aggregates{}).UnmarshalState(domain.TypeInferenceLog, json.RawMessage(`{}`)))
	require.Empty(t, domain.Fingerprint(domain.TypeInferenceLog))
}

// TestTheRulesOfFolding records what each Evolve makes of one of every event. When it fails because an Evolve changed,
// count up the aggregate's rules in snapshot.go and record the new values: states that were saved before must not be
// read any more. When it fails because the shape of a state or an example changed, record the new values.
func TestTheRulesOfFolding(t *testing.T) {
	t.Parallel()
	recorded := map[domain.AggregateType]struct{ fingerprint, folded string }{
		domain.TypeMLModel:     {"007ceceb7481a4f0b8127a073a17349c", "2368a349d3791f545c417ded63949ac2"},
		domain.TypeTrainingJob: {"d306a9807c3ac57bf49d88e7c33ec033", "979b06381d637348621d228af7000614"},
		domain.TypeRollout:     {"781e8a348e3cf8b6a45e4679ec34903b", "9d9d2b2c6901b82758d70a9401e07787"},
	}
	for of, want := range recorded {
		var a domain.Aggregates
		hash := sha256.New()
		all := examples()
		for i, name := range slices.Sorted(maps.Keys(all)) {
			a.Evolve(domain.Recorded{
				Event: all[name], Stream: domain.StreamID{Type: of, ID: "digits/1"}, Revision: int64(i) + 1, OccurredAt: time.Unix(1, 0).UTC(),
			})
			text, err := a.MarshalState(of)
			require.NoError(t, err)
			hash.Write(text)
		}
		require.Equal(t, want.fingerprint, domain.Fingerprint(of), of)
		require.Equal(t, want.folded, hex.EncodeToString(hash.Sum(nil)[:16]), of)
	}
}
