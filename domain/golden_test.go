package domain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// TestGolden holds every event against testdata/golden/<event>.v<version>.json: what is stored today must
// be readable for ever. -rewrite writes the files of the current versions; a change in an old one is a break.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, event := range examples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eventType, version, data, err := domain.Encode(event)
			require.NoError(t, err)
			require.Equal(t, name, eventType)
			require.Equal(t, domain.SchemaVersion(name), version)
			file := goldenFile(name, version)
			if rewriting() {
				require.NoError(t, os.WriteFile(file, indented(t, data), 0o644))
			}
			golden, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(golden), string(indented(t, data)))
		})
	}
}

// TestEveryVersionReadsAsTheCurrentOne: the golden files of all versions of an event hold one value.
func TestEveryVersionReadsAsTheCurrentOne(t *testing.T) {
	t.Parallel()
	for name, event := range examples() {
		for version := 1; version <= domain.SchemaVersion(name); version++ {
			golden, err := os.ReadFile(goldenFile(name, version))
			require.NoError(t, err, "a version that was ever written needs its golden file")
			decoded, err := domain.Decode(name, version, golden)
			require.NoError(t, err)
			require.Equal(t, event, compacted(t, decoded), "%s of version %d", name, version)
		}
		_, err := domain.Decode(name, domain.SchemaVersion(name)+1, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrUnknownEvent, name)
		_, err = domain.Decode(name, 0, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrUnknownEvent, name)
	}
}

// TestEveryEventHasAnExample reads the source, so that an event cannot be forgotten in the codec, the
// examples or the golden files.
func TestEveryEventHasAnExample(t *testing.T) {
	t.Parallel()
	declared := eventsInSource(t)
	require.Len(t, declared, 24)
	require.ElementsMatch(t, declared, slices.Collect(maps.Keys(examples())))
	var expected []string
	for _, name := range declared {
		for version := 1; version <= domain.SchemaVersion(name); version++ {
			expected = append(expected, goldenFile(name, version))
		}
	}
	stored, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(t, err)
	require.ElementsMatch(t, expected, stored)
}

func goldenFile(eventType string, version int) string {
	return filepath.Join("testdata", "golden", fmt.Sprintf("%s.v%d.json", eventType, version))
}

func TestDecodeIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	event, err := domain.Decode("ModelArchived", 1, []byte(`{"reason":"old","since_version_9":{"a":[1]}}`))
	require.NoError(t, err)
	require.Equal(t, domain.ModelArchived{Reason: "old"}, event)
}

func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	_, err := domain.Decode("ModelPainted", 1, []byte(`{}`))
	require.ErrorIs(t, err, domain.ErrUnknownEvent)
	_, err = domain.Decode("ModelArchived", 1, []byte(`{"reason":7}`))
	require.ErrorContains(t, err, "ModelArchived")
	require.NotErrorIs(t, err, domain.ErrUnknownEvent)
}

func TestEventIDs(t *testing.T) {
	t.Parallel()
	archived := domain.ModelArchived{Reason: "old"}
	require.Equal(t, domain.EventID("c", 0, archived), domain.EventID("c", 0, domain.ModelDeleted{}))
	require.NotEqual(t, domain.EventID("c", 0, archived), domain.EventID("c", 1, archived))
	require.NotEqual(t, domain.EventID("c", 0, archived), domain.EventID("d", 0, archived))

	inference := examples()["InferenceMade"].(domain.InferenceMade)
	require.Equal(t, domain.EventID("c", 0, inference), domain.EventID("d", 7, inference))
	other := inference
	other.Row++
	require.NotEqual(t, inference.ID(), other.ID())

	label := examples()["FeedbackRecorded"].(domain.FeedbackRecorded)
	label.InferenceID, label.Row, label.Source = inference.InferenceID, inference.Row, ""
	require.NotEqual(t, inference.ID(), label.ID())
	again := label
	again.Source = "desk"
	require.NotEqual(t, label.ID(), again.ID())
	again.Source, again.Label = "", json.RawMessage(`"9"`)
	require.Equal(t, label.ID(), again.ID())
	// The ids are stored: they must never change.
	require.Equal(t, "9e8ec989-2284-59b4-b67f-9c92f6ab4ace", domain.EventID("c", 0, archived).String())
	require.Equal(t, "0571f54e-bcc9-5f32-a558-9298422bf8a6", inference.ID().String())
}

func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

func indented(t *testing.T, data []byte) []byte {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, json.Indent(&text, data, "", "  "))
	return append(text.Bytes(), '\n')
}

// compacted encodes and decodes once more: free JSON keeps its white space, which a file has and an
// event has not.
func compacted(t *testing.T, event domain.Event) domain.Event {
	t.Helper()
	name, version, data, err := domain.Encode(event)
	require.NoError(t, err)
	event, err = domain.Decode(name, version, data)
	require.NoError(t, err)
	return event
}

// eventsInSource are the receivers of isEvent.
func eventsInSource(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "streams.go", nil, 0)
	require.NoError(t, err)
	var names []string
	for _, declaration := range file.Decls {
		method, isFunc := declaration.(*ast.FuncDecl)
		if isFunc && method.Name.Name == "isEvent" {
			names = append(names, method.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	return names
}

// examples are one of each event, with every field set.
func examples() map[string]domain.Event {
	all := []domain.Event{
		domain.ModelCreated{
			Name: "Digits", ModelType: "classification", Algorithm: "mlp", InitialConfig: json.RawMessage(`{"epochs":20}`),
			Description: "Handwritten <digits>", Tags: map[string]string{"team": "vision"}, IntendedPurpose: "reading forms",
		},
		domain.ModelConfigurationUpdated{
			PreviousConfig: json.RawMessage(`{"epochs":20}`), NewConfig: json.RawMessage(`{"epochs":30}`), ChangeReason: "more",
		},
		domain.ModelMetadataUpdated{
			Description: new("Digits of forms"), Tags: map[string]*string{"stage": nil, "team": new("forms")},
		},
		domain.AliasAssigned{Alias: "champion", Version: "2", PreviousVersion: "1", Reason: "better"},
		domain.AliasRemoved{Alias: "champion", Version: "2", Reason: "a mistake"},
		domain.ModelArchived{Reason: "old"},
		domain.ModelDeleted{
			Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionEraseArtifacts, Delay: "720h"},
		},
	}
	all = append(all, trainingExamples()...)
	all = append(all, rolloutExamples()...)
	all = append(all, inferenceExamples()...)
	named := make(map[string]domain.Event)
	for _, event := range all {
		named[domain.EventType(event)] = event
	}
	return named
}

func trainingExamples() []domain.Event {
	job, digest := domain.JobID(full('j', "1")), domain.Digest(full('a', "1"))
	data := []domain.DatasetInfo{{
		URI: "examples/digits/digits.csv", Digest: digest, Format: "csv", Rows: 1797,
		Schema: map[string]string{"label": "number"}, Split: "row-hash 80/20", Label: "label",
	}}
	gate := domain.Gate{Metric: "accuracy", Op: ">=", Threshold: 0.95}
	return []domain.Event{
		domain.TrainingStarted{
			TrainingJobID: job, DatasetInfo: data, Concurrent: true,
			TrainingConfig: domain.TrainingConfig{
				Trainer: "embedded", Algorithm: "mlp", Params: json.RawMessage(`{"epochs":20}`), Seed: 1, Gates: []domain.Gate{gate},
			},
		},
		domain.TrainingCompleted{
			TrainingJobID: job, FinalMetrics: map[string]float64{"loss": 0.05}, ArtifactsLocation: digest,
			TrainingDurationMS: 20000, DatasetInfo: data, CodeDigest: "phantom 1.0",
		},
		domain.TrainingFailed{TrainingJobID: job, FailureReason: domain.FailureCancelled, ErrorDetails: "by ann"},
		domain.TrainingProgressUpdated{
			Epoch: 3, Step: 300, Metrics: map[string]float64{"accuracy": 0.9, "loss": 0.25}, ProgressPercentage: 15,
		},
		domain.CandidateEvaluated{
			Metrics: map[string]float64{"accuracy": 0.975}, ConfusionMatrix: [][]int64{{20, 1}, {0, 19}},
			Labels: []string{"0", "1"}, Rows: 40, Passed: false,
			Gates: []domain.GateResult{
				{Gate: gate, Value: new(0.975), Passed: true},
				{Gate: domain.Gate{Metric: "f1", Op: ">", Threshold: 0.9}},
			},
		},
		domain.ModelVersionCreated{
			Version: "2", PreviousVersion: "1", ArtifactsLocation: digest, TrainingJobID: job, Modification: "retrained",
			PerformanceMetrics: map[string]float64{"accuracy": 0.975},
			Signature: &domain.Signature{
				Inputs:  []domain.Tensor{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 64}}},
				Outputs: []domain.Tensor{{Name: "y", Datatype: "FP32", Shape: []int64{-1, 10}}},
			},
		},
		domain.ApprovalRequested{
			RequestedBy: domain.Actor{Subject: "nightly", Auth: domain.AuthTemporal},
			ExpiresAt:   time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), ForbidRequester: true,
		},
		domain.ApprovalDecided{
			Decision: domain.Rejected, By: domain.Actor{Subject: "ann", Auth: domain.AuthAPIKey, Verified: true}, Note: "too slow",
		},
	}
}

func rolloutExamples() []domain.Event {
	rollout := domain.RolloutID(full('r', "1"))
	return []domain.Event{
		domain.RolloutStarted{
			RolloutID: rollout, Version: "2", PreviousVersion: "1", Target: "prod",
			Strategy: json.RawMessage(`{"canary":{"steps":[]}}`), ObserveAfter: 17,
		},
		domain.RolloutPromoted{RolloutID: rollout, Version: "2", Target: "prod", Reason: "canary"},
		domain.RolloutRolledBack{
			RolloutID: rollout, Version: "2", RestoredVersion: "1", Target: "prod", Reason: "accuracy 0.61 is below 0.9",
		},
		domain.TrafficShifted{Target: "prod", Weights: domain.Traffic{"1": 90, "2": 10}, RouteGeneration: 1},
		domain.RolloutAssessed{
			Step: 1, Verdict: domain.VerdictInconclusive, Reason: "12 labels are needed", InferencePosition: 40,
			Metrics: []domain.MetricAssessment{{
				Metric: "accuracy", Op: ">=", Threshold: 0.9, Quantile: 0.99, Required: true, Test: "sprt", Samples: 58,
				Failures: 2, Estimate: new(0.9655), Statistic: -1.25, Lower: -3, Upper: 4.6,
				Verdict: domain.VerdictInconclusive, Needed: 12,
			}},
		},
		domain.ModelDeployed{
			Version: "2", PreviousVersion: "1", DeploymentTarget: "prod", DeploymentConfig: json.RawMessage(`{"replicas":1}`),
			RolloutID: rollout, Reason: "canary",
		},
		domain.ModelUndeployed{Version: "2", DeploymentTarget: "prod", Reason: "no longer needed"},
	}
}

func inferenceExamples() []domain.Event {
	id := domain.InferenceID(full('i', "1"))
	return []domain.Event{
		domain.InferenceMade{
			InferenceID: id, Row: 3, ModelID: "digits", Version: "2", Target: "local",
			InputFeatures: domain.InClear(json.RawMessage(`{"sealed":"…"}`)), Prediction: domain.InClear(json.RawMessage(`"7"`)),
			Confidence:      new(0.98),
			InferenceTimeMS: 1.5, Outcome: "ok", SampleRate: 0.1, RequestedBy: "till", SubjectRef: "customer-17",
		},
		domain.FeedbackRecorded{
			InferenceID: id, Row: 3, Label: json.RawMessage(`"7"`),
			LabelledAt: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Source: "desk",
		},
	}
}
