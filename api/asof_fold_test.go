package api_test

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/domain"
	"phantom/readmodel"
)

// agrees holds what is always asked as of a position against the events up to there.
func (h *history) agrees(r *rapid.T, position int, answers [][]json.RawMessage) {
	then := h.at(position)
	m := then.models[h.events[position-1].Stream.Model()]
	agreeOnModel(r, m, things[readmodel.Model](r, answers[0])[0])
	agreeOnVersions(r, m, things[readmodel.Version](r, answers[1]))
	agreeOnAliases(r, m, things[readmodel.Alias](r, answers[2]))
	then.agreeOnTrainings(r, m, things[readmodel.Training](r, answers[3]))
	then.agreeOnTraffic(r, m, things[readmodel.Deployment](r, answers[4]))
	if len(m.Versions) > 0 {
		h.agreeOnLineage(r, m, position, things[readmodel.Lineage](r, answers[5])[0])
	}
}

// agreesBetween holds the model itself against the events.
func (h *history) agreesBetween(r *rapid.T, position int) {
	m := h.at(position).models[h.events[position-1].Stream.Model()]
	answer := h.ask(r, always(m.ID)[0], "as_of="+strconv.Itoa(position))
	agreeOnModel(r, m, things[readmodel.Model](r, answer.things)[0])
}

func things[T any](r *rapid.T, raw []json.RawMessage) []T {
	found := make([]T, len(raw))
	for i, one := range raw {
		require.NoError(r, json.Unmarshal(one, &found[i]))
	}
	return found
}

func agreeOnModel(r *rapid.T, m *domain.Model, answer readmodel.Model) {
	require.Equal(r, m.Status(), answer.Status)
	require.Equal(r, m.Revision, answer.Revision)
	require.Equal(r, []any{m.Name, m.Type, m.Algorithm, m.Description}, []any{answer.Name, answer.ModelType, answer.Algorithm, answer.Description})
	require.Len(r, m.ActiveTrainings(), answer.ActiveTrainings)
	require.Equal(r, append([]domain.Target{}, m.DeployedTargets()...), answer.DeployedTargets)
	require.Equal(r, []int64{int64(len(m.Versions)), int64(len(m.Jobs))}, []int64{answer.Counts.Versions, answer.Counts.Trainings})
	require.Len(r, answer.Tags, len(m.Tags))
	for key, value := range m.Tags {
		require.Equal(r, value, answer.Tags[key])
	}
	if len(m.Config) > 0 {
		require.JSONEq(r, string(m.Config), string(answer.Config))
	}
	if latest, ok := m.Version(m.LatestVersion()); ok {
		require.Equal(r, latest.Version, *answer.CurrentVersion)
		require.Equal(r, latest.PerformanceMetrics, answer.Metrics)
	} else {
		require.Nil(r, answer.CurrentVersion)
	}
}

// agreeOnVersions: the newest is first, and each knows its targets and aliases.
func agreeOnVersions(r *rapid.T, m *domain.Model, answers []readmodel.Version) {
	require.Len(r, answers, len(m.Versions))
	for i, v := range slices.Backward(m.Versions) {
		answer := answers[len(answers)-1-i]
		require.Equal(r, v.Version, answer.Version)
		require.Equal(r, v.ArtifactsLocation, answer.ArtifactsLocation)
		require.Equal(r, v.Modification, answer.Modification)
		require.Equal(r, v.TrainingJobID, valueOf(answer.TrainingJobID))
		require.Equal(r, v.PreviousVersion, valueOf(answer.PreviousVersion))
		targets, aliases := []domain.Target{}, []domain.Alias{}
		for target, d := range m.Deployed {
			if d.Version == v.Version {
				targets = append(targets, target)
			}
		}
		for alias, named := range m.Aliases {
			if named == v.Version {
				aliases = append(aliases, alias)
			}
		}
		require.ElementsMatch(r, targets, answer.DeployedTargets)
		require.ElementsMatch(r, aliases, answer.Aliases)
	}
}

func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

func agreeOnAliases(r *rapid.T, m *domain.Model, answers []readmodel.Alias) {
	require.Len(r, answers, len(m.Aliases))
	require.IsNonDecreasing(r, names(answers))
	for _, answer := range answers {
		require.Equal(r, m.Aliases[answer.Alias], answer.Version)
	}
}

func names(aliases []readmodel.Alias) []string {
	found := []string{""}
	for _, a := range aliases {
		found = append(found, string(a.Alias))
	}
	return found
}

func (p past) agreeOnTrainings(r *rapid.T, m *domain.Model, answers []readmodel.Training) {
	require.Len(r, answers, len(m.Jobs))
	before := m.Revision + 1
	for _, answer := range answers {
		job := m.Jobs[answer.TrainingJobID]
		require.Less(r, job.Revision, before, "the newest first")
		before = job.Revision
		require.Equal(r, string(job.State), string(answer.State))
		state := p.states(domain.TrainingStream(m.ID, answer.TrainingJobID)).Training
		require.Equal(r, []int64{int64(state.Epoch), state.Step}, []int64{int64(answer.Epoch), answer.Step})
		require.Equal(r, state.Evaluation != nil, answer.Evaluation != nil)
		agreeOnApproval(r, state.Approval, answer.Approval)
	}
}

func agreeOnApproval(r *rapid.T, asked domain.Approval, answer *readmodel.Approval) {
	require.Equal(r, asked.Requested != nil, answer != nil)
	if asked.Decided != nil {
		require.Equal(r, string(asked.Decided.Decision), string(answer.State))
		require.Equal(r, asked.Decided.By, *answer.DecidedBy)
		require.Equal(r, asked.Decided.Note, answer.Note)
	}
}

// agreeOnTraffic: a target serves what was deployed there, beside the candidate that a running rollout has shifted traffic to.
func (p past) agreeOnTraffic(r *rapid.T, m *domain.Model, answers []readmodel.Deployment) {
	weights := map[domain.Target]int{}
	serving := map[domain.Target]domain.Version{}
	for _, answer := range answers {
		weights[answer.Target] += answer.Weight
		running, runs := m.Rollouts[answer.Target]
		if answer.State == readmodel.DeploymentDeployed {
			serving[answer.Target] = answer.Version
		} else {
			require.Equal(r, readmodel.DeploymentCanary, answer.State)
			require.True(r, runs, "a canary at %s", answer.Target)
			require.Equal(r, running.Version, answer.Version)
		}
		if runs {
			if split := p.states(domain.RolloutStream(m.ID, running.ID)).Rollout.Weights; split != nil {
				require.Equal(r, split[answer.Version], answer.Weight)
			}
		}
	}
	for target, sum := range weights {
		require.Equal(r, 100, sum, "the weights at %s", target)
	}
	require.Len(r, serving, len(m.Deployed))
	for target, d := range m.Deployed {
		require.Equal(r, d.Version, serving[target], target)
	}
}

// agreeOnLineage: the latest version, the job that made it, the rollouts that took it to a target.
func (h *history) agreeOnLineage(r *rapid.T, m *domain.Model, position int, answer readmodel.Lineage) {
	version := m.Versions[len(m.Versions)-1]
	require.Equal(r, version.Version, answer.Version.Version)
	require.Equal(r, version.PreviousVersion != "", answer.Previous != nil)
	require.Equal(r, version.TrainingJobID != "", answer.Training != nil)
	if answer.Training != nil {
		require.Equal(r, version.TrainingJobID, answer.Training.TrainingJobID)
		require.Equal(r, string(m.Jobs[version.TrainingJobID].State), string(answer.Training.State))
	}
	var rollouts []domain.RolloutID
	for _, event := range slices.Backward(h.events[:position]) {
		if e, ok := event.Event.(domain.RolloutStarted); ok && event.Stream.Model() == m.ID && e.Version == version.Version {
			rollouts = append(rollouts, e.RolloutID)
		}
	}
	var answers []domain.RolloutID
	for _, rollout := range answer.Rollouts {
		answers = append(answers, rollout.RolloutID)
		_, runs := m.RunningRollout(rollout.RolloutID)
		require.Equal(r, runs, rollout.State == readmodel.RolloutRunning)
	}
	require.Equal(r, rollouts, answers)
	serves := 0
	for _, d := range answer.Deployments {
		require.Equal(r, version.Version, d.Version)
		if d.State == readmodel.DeploymentDeployed {
			require.Equal(r, version.Version, m.Deployed[d.Target].Version)
			serves++
		}
	}
	for _, d := range m.Deployed {
		if d.Version == version.Version {
			serves--
		}
	}
	require.Zero(r, serves, "deployments of version %s that serve", version.Version)
}
