package domain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// TestContentSaysItsForm: what is stored tells whether content is in clear, sealed, erased or was left out.
func TestContentSaysItsForm(t *testing.T) {
	t.Parallel()
	sealed := &domain.Sealed{Key: full('k', "1"), Nonce: []byte("123456789012"), Ciphertext: []byte{0, 255, 7}}
	for text, content := range map[string]domain.Content{
		`{"clear":3}`:             domain.InClear(json.RawMessage(`3`)),
		`{"clear":{"x":[1,2]}}`:   domain.InClear(json.RawMessage(`{"x":[1,2]}`)),
		`{"erased":true}`:         {Erased: true},
		`{"omitted":"too_large"}`: {Omitted: domain.OmittedTooLarge},
		`{"sealed":{"key":"` + sealed.Key + `","nonce":"MTIzNDU2Nzg5MDEy","ciphertext":"AP8H"}}`: {Sealed: sealed},
	} {
		event := domain.InferenceMade{InferenceID: domain.InferenceID(full('i', "1")), Prediction: content}
		name, version, data, err := domain.Encode(event)
		require.NoError(t, err)
		require.Contains(t, string(data), `"prediction":`+text)
		require.NotContains(t, string(data), "input_features", "nothing captured, nothing said")
		decoded, err := domain.Decode(name, version, data)
		require.NoError(t, err)
		require.Equal(t, event, decoded)
	}
	require.Zero(t, domain.InClear(json.RawMessage(`null`)))
	require.Zero(t, domain.InClear(nil))
}

// TestFirstVersionOfAnInference: version 1 had the bare prediction, in the forms that were ever written.
func TestFirstVersionOfAnInference(t *testing.T) {
	t.Parallel()
	for text, content := range map[string]domain.Content{
		`{"row":2,"prediction":"7"}`:                 domain.InClear(json.RawMessage(`"7"`)),
		`{"row":2,"prediction":0.5}`:                 domain.InClear(json.RawMessage(`0.5`)),
		`{"row":2,"prediction":{"clear":"a class"}}`: domain.InClear(json.RawMessage(`{"clear":"a class"}`)),
		`{"row":2,"prediction":null}`:                {},
		`{"row":2}`:                                  {},
	} {
		decoded, err := domain.Decode("InferenceMade", 1, []byte(text))
		require.NoError(t, err)
		require.Equal(t, domain.InferenceMade{Row: 2, Prediction: content}, decoded, text)
	}
	_, err := domain.Decode("InferenceMade", 1, []byte(`[]`))
	require.ErrorContains(t, err, "from schema version 1")
	require.NotErrorIs(t, err, domain.ErrUnknownEvent)
}

// TestWhatIsPrivate: inputs always, a prediction when it is about somebody.
func TestWhatIsPrivate(t *testing.T) {
	t.Parallel()
	value := domain.InClear(json.RawMessage(`1`))
	for name, c := range map[string]struct {
		made   domain.InferenceMade
		fields []string
	}{
		"a class of nobody":      {domain.InferenceMade{Prediction: value}, nil},
		"a class of somebody":    {domain.InferenceMade{Prediction: value, SubjectRef: "ann"}, []string{"prediction"}},
		"inputs of nobody":       {domain.InferenceMade{Prediction: value, InputFeatures: value}, []string{"input_features"}},
		"all of somebody":        {domain.InferenceMade{Prediction: value, InputFeatures: value, SubjectRef: "ann"}, []string{"input_features", "prediction"}},
		"nothing of somebody":    {domain.InferenceMade{SubjectRef: "ann"}, nil},
		"sealed already":         {domain.InferenceMade{Prediction: domain.Content{Sealed: &domain.Sealed{}}}, []string{"prediction"}},
		"inputs that are erased": {domain.InferenceMade{InputFeatures: domain.Content{Erased: true}}, nil},
		"inputs that are left out": {domain.InferenceMade{
			InputFeatures: domain.Content{Omitted: domain.OmittedNoRows}, SubjectRef: "ann",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fields []string
			before := c.made
			for _, part := range c.made.Private() {
				fields = append(fields, part.Field)
				part.Content.Clear = json.RawMessage(`"changed"`)
			}
			require.Equal(t, c.fields, fields)
			if len(fields) > 0 {
				require.NotEqual(t, before, c.made, "the parts are the event's own")
			}
		})
	}
}

// TestInputsOfAnyJSONAreTaken: one client's odd number or NUL must not keep the batch of all out of the log.
func TestInputsOfAnyJSONAreTaken(t *testing.T) {
	t.Parallel()
	inference := inferenceExamples()[0].(domain.InferenceMade)
	command := func(inputs string) domain.Command {
		inference.InputFeatures = domain.InClear(json.RawMessage(inputs))
		return domain.RecordInferences{Inferences: []domain.InferenceMade{inference}}
	}
	for _, odd := range []string{`{"x":"\u0000"}`, `[1e999]`, `{"x": [1, 2] }`} {
		require.NoError(t, domain.Validate(command(odd)), odd)
	}
	events, err := domain.Decide(domain.Aggregates{}, command(`{"x": [1, 2] }`))
	require.NoError(t, err)
	require.Equal(t, domain.InClear(json.RawMessage(`{"x":[1,2]}`)), events[0].(domain.InferenceMade).InputFeatures)
	require.ErrorContains(t, domain.Validate(command(`{`)), "inferences.0.input_features.clear: must be JSON")
	require.NoError(t, domain.Validate(command(strings.Repeat("1", domain.MaxContent))))
	require.ErrorContains(t, domain.Validate(command(strings.Repeat("1", domain.MaxContent+1))), "at most 262144 bytes")
}
