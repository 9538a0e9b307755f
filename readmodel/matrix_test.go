package readmodel_test

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/readmodel"
)

// takers decide of every event type which projections take it; a projection that is not named leaves it
// out on purpose. The audit trail and lineage are read from the log and from these, so they miss none.
func takers() map[string][]string {
	const (
		catalogue, versions, trainings = readmodel.CatalogueName, readmodel.VersionsName, readmodel.TrainingsName
		deployments, rollouts          = readmodel.DeploymentsName, readmodel.RolloutsName
		activity, search, sagas        = readmodel.InferenceActivityName, readmodel.SearchName, readmodel.SagasName
		analytics                      = readmodel.InferenceAnalyticsName
		aliases                        = readmodel.AliasesName
	)
	return map[string][]string{
		"ModelCreated":              {catalogue, search, sagas},
		"ModelConfigurationUpdated": {catalogue},
		"ModelMetadataUpdated":      {catalogue, search},
		"TrainingStarted":           {catalogue, trainings, sagas},
		"TrainingCompleted":         {catalogue, trainings}, // a saga goes on after it
		"TrainingFailed":            {catalogue, trainings, sagas},
		"ModelVersionCreated":       {catalogue, versions, trainings, sagas},
		"RolloutStarted":            {catalogue, rollouts, sagas},
		"RolloutPromoted":           {catalogue, rollouts, sagas}, // the ModelDeployed beside it says the rest
		"RolloutRolledBack":         {catalogue, deployments, rollouts, sagas},
		"ModelDeployed":             {catalogue, versions, deployments, sagas},
		"ModelUndeployed":           {catalogue, versions, deployments, sagas},
		"AliasAssigned":             {catalogue, aliases},
		"AliasRemoved":              {catalogue, aliases},
		"ModelArchived":             {catalogue}, // still found by search
		"ModelDeleted":              {catalogue, search},
		"TrainingProgressUpdated":   {trainings},
		"CandidateEvaluated":        {trainings, sagas},
		"ApprovalRequested":         {trainings, rollouts},
		"ApprovalDecided":           {trainings, rollouts, sagas},
		"TrafficShifted":            {deployments, rollouts},
		"RolloutAssessed":           {rollouts},
		"InferenceMade":             {activity, analytics},
		"FeedbackRecorded":          {activity, analytics},
	}
}

// eventTypes are the names in domain.EventType, which a linter keeps complete.
func eventTypes(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("../domain/codec.go")
	require.NoError(t, err)
	_, source, ok := bytes.Cut(source, []byte("func EventType("))
	require.True(t, ok)
	source, _, ok = bytes.Cut(source, []byte("\n}\n"))
	require.True(t, ok)
	var names []string
	for _, found := range regexp.MustCompile(`return "(\w+)"`).FindAllSubmatch(source, -1) {
		names = append(names, string(found[1]))
	}
	require.NotEmpty(t, names)
	return names
}

// A new event, or a new projection, is decided here before it is merged.
func TestEveryEventIsDecidedForEveryProjection(t *testing.T) {
	t.Parallel()
	decided, taken := takers(), map[string][]string{}
	for _, name := range eventTypes(t) {
		taken[name] = nil
	}
	for _, p := range readmodel.Projections() {
		for _, name := range p.Types() {
			require.Contains(t, taken, name, "%s takes a type that no event has", p.Name())
			taken[name] = append(taken[name], p.Name())
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(taken)), slices.Sorted(maps.Keys(decided)), "decide of every event type")
	for name, projections := range taken {
		require.ElementsMatch(t, decided[name], projections, "who takes %s", name)
	}
}
