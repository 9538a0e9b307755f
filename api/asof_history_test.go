package api_test

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/domain"
)

// history is what happened to the models of one tenant, in the order of its log: the event at position p is events[p-1].
type history struct {
	*house

	tenant domain.Tenant
	events []domain.Recorded
	seen   []witnessed
}

// past is the state that the events up to a position fold to.
type past struct {
	models    map[domain.ModelID]*domain.Model
	trainings map[domain.StreamID]*domain.TrainingJob
	rollouts  map[domain.StreamID]*domain.Rollout
}

func (h *history) at(position int) past {
	p := past{map[domain.ModelID]*domain.Model{}, map[domain.StreamID]*domain.TrainingJob{}, map[domain.StreamID]*domain.Rollout{}}
	for _, r := range h.events[:position] {
		states := p.states(r.Stream)
		states.Evolve(r)
		switch r.Stream.Type {
		case domain.TypeMLModel:
			p.models[r.Stream.Model()] = &states.Model
		case domain.TypeTrainingJob:
			p.trainings[r.Stream] = &states.Training
		case domain.TypeRollout:
			p.rollouts[r.Stream] = &states.Rollout
		case domain.TypeInferenceLog:
		}
	}
	return p
}

// states are those of streams; one that does not exist is the zero value.
func (p past) states(streams ...domain.StreamID) domain.Aggregates {
	var a domain.Aggregates
	for _, stream := range streams {
		if m := p.models[stream.Model()]; m != nil && stream.Type == domain.TypeMLModel {
			a.Model = *m
		}
		if t := p.trainings[stream]; t != nil {
			a.Training = *t
		}
		if r := p.rollouts[stream]; r != nil {
			a.Rollout = *r
		}
	}
	return a
}

// begins draws how far a model has come before anybody asks.
func (h *history) begins(r *rapid.T) {
	const id domain.ModelID = "m0"
	now := past{models: map[domain.ModelID]*domain.Model{}}
	target := domain.Target("local")
	job := jobSteps(id, jobsOf(id)[0])
	life := slices.Concat(now.describing(id)[1:], job[:1], now.progressing(id)[:1], job[1:4], now.versioning(id), []domain.Command{
		domain.AssignAlias{ModelID: id, Alias: "champion", Version: "1"},
		domain.DeployModel{ModelID: id, Version: "1", DeploymentTarget: target},
		domain.StartRollout{ModelID: id, RolloutID: rolloutsOf(id)[0], Version: "2", Target: target},
		domain.ShiftTraffic{ModelID: id, RolloutID: rolloutsOf(id)[0], Weights: domain.Traffic{"1": 90, "2": 10}},
	})
	for _, cmd := range life[:rapid.SampledFrom([]int{0, 1, 3, 3, 7, 9, 11, 11}).Draw(r, "begins with")] {
		h.does(r, cmd)
	}
}

// step lets one more thing happen that the domain takes, to one of two models. Nothing more happens to a deleted one.
func (h *history) step(r *rapid.T) {
	now := h.at(len(h.events))
	id := rapid.SampledFrom([]domain.ModelID{"m0", "m0", "m0", "m1"}).Draw(r, "model")
	possible := map[string][]domain.Command{
		"description": now.describing(id), "progress": now.progressing(id),
		"training": slices.Concat(jobSteps(id, jobsOf(id)[0]), jobSteps(id, jobsOf(id)[1])), "version": now.versioning(id), "rollout": now.rolling(id),
		"canary": now.canaries(id), "decision": deciding(id), "approval": approving(id), "alias": aliasing(id), "end": ending(id),
	}
	maps.DeleteFunc(possible, func(kind string, commands []domain.Command) bool {
		possible[kind] = slices.DeleteFunc(commands, now.refuses)
		return len(possible[kind]) == 0
	})
	if rapid.IntRange(0, 9).Draw(r, "may end") < 9 {
		delete(possible, "end")
	}
	if len(possible) == 0 {
		return
	}
	kind := rapid.SampledFrom(slices.Sorted(maps.Keys(possible))).Draw(r, "kind")
	h.does(r, rapid.SampledFrom(possible[kind]).Draw(r, "command"))
}

// does records what a command decides, with somebody who asked for it.
func (h *history) does(r *rapid.T, cmd domain.Command) {
	actor := domain.Actor{Subject: rapid.SampledFrom([]string{"ann", "bob"}).Draw(r, "by"), Auth: domain.AuthLocal}
	result, err := h.registry.Handle(h.t.Context(), h.tenant, cmd, domain.Meta{Actor: actor, WorkflowID: "train:x"})
	require.NoError(r, err)
	h.events = append(h.events, result.Events...)
	require.EqualValues(r, len(h.events), result.Position)
}

func (p past) refuses(cmd domain.Command) bool {
	decided, err := domain.Decide(p.states(append(cmd.Guards(), cmd.Writes())...), cmd)
	return err != nil || len(decided) == 0
}

// The ids of the small world in which commands meet. Both tenants have the same.

func jobsOf(id domain.ModelID) []domain.JobID {
	return []domain.JobID{domain.JobID(idOf(id, "job 1")), domain.JobID(idOf(id, "job 2"))}
}

func rolloutsOf(id domain.ModelID) []domain.RolloutID {
	return []domain.RolloutID{domain.RolloutID(idOf(id, "rollout 1")), domain.RolloutID(idOf(id, "rollout 2")), domain.RolloutID(idOf(id, "rollout 3"))}
}

func idOf(id domain.ModelID, name string) string {
	return uuid.NewSHA1(uuid.Nil, []byte(string(id)+" "+name)).String()
}

func (p past) describing(id domain.ModelID) []domain.Command {
	if p.models[id] == nil {
		return []domain.Command{
			domain.CreateModel{ModelID: id, Name: "N", ModelType: "t", Algorithm: "a"},
			domain.CreateModel{ModelID: id, Name: "N", ModelType: "t", Algorithm: "b", Tags: map[string]string{"team": "x", "tier": "1"}, InitialConfig: json.RawMessage(`{"hidden":1}`)},
		}
	}
	commands := []domain.Command{domain.UpdateModelConfiguration{ModelID: id, NewConfig: json.RawMessage(`{"hidden":2}`), ChangeReason: "wider"}}
	for _, text := range []string{"x", "y"} {
		commands = append(commands,
			domain.UpdateModelMetadata{ModelID: id, Description: &text},
			domain.UpdateModelMetadata{ModelID: id, Tags: map[string]*string{"team": &text, "tier": nil}},
			domain.UpdateModelMetadata{ModelID: id, Description: &text, Tags: map[string]*string{"tier": &text}},
		)
	}
	return commands
}

// score is what a job reports.
func score() map[string]float64 { return map[string]float64{"accuracy": 0.5, "loss": 0.25} }

func (p past) progressing(id domain.ModelID) []domain.Command {
	var commands []domain.Command
	for _, job := range jobsOf(id) {
		next := p.states(domain.TrainingStream(id, job)).Training.Epoch + 1
		commands = append(commands, domain.RecordTrainingProgress{
			ModelID: id, TrainingJobID: job, Epoch: next, Step: int64(next), ProgressPercentage: min(100, 30*float64(next)), Metrics: score(),
		})
	}
	return commands
}

// jobSteps is the way of a job to a version, and those aside.
func jobSteps(id domain.ModelID, job domain.JobID) []domain.Command {
	return []domain.Command{
		domain.StartTraining{
			ModelID: id, TrainingJobID: job, Concurrent: true, DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv", Label: "label"}},
			TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Seed: 7},
		},
		domain.CompleteTraining{ModelID: id, TrainingJobID: job, ArtifactsLocation: domain.Digest(artifactOf("a")), FinalMetrics: score(), CodeDigest: "code"},
		domain.EvaluateCandidate{ModelID: id, TrainingJobID: job, Metrics: map[string]float64{"accuracy": 0.75}, Rows: 3},
		domain.CreateModelVersion{ModelID: id, TrainingJobID: job, ArtifactsLocation: domain.Digest(artifactOf("a")), PerformanceMetrics: score()},
		domain.FailTraining{ModelID: id, TrainingJobID: job, FailureReason: domain.FailureFailed, ErrorDetails: "no data"},
		domain.FailTraining{ModelID: id, TrainingJobID: job, FailureReason: domain.FailureCancelled},
	}
}

// approving asks, and answers, for a candidate and for a rollout that runs.
func approving(id domain.ModelID) []domain.Command {
	var subjects []domain.Subject
	for _, job := range jobsOf(id) {
		subjects = append(subjects, domain.Subject{TrainingJobID: job})
	}
	for _, rollout := range rolloutsOf(id) {
		subjects = append(subjects, domain.Subject{RolloutID: rollout})
	}
	ann, bob := domain.Actor{Subject: "ann", Auth: domain.AuthLocal}, domain.Actor{Subject: "bob", Auth: domain.AuthLocal}
	var commands []domain.Command
	for _, subject := range subjects {
		commands = append(commands,
			domain.RequestApproval{ModelID: id, Subject: subject, RequestedBy: ann, ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
			domain.DecideApproval{ModelID: id, Subject: subject, By: bob, Decision: domain.Approved, Note: "fine"},
			domain.DecideApproval{ModelID: id, Subject: subject, By: ann, Decision: domain.Rejected, Note: "not now"},
		)
	}
	return commands
}

// versioning is of versions that were trained elsewhere; a model has some three.
func (p past) versioning(id domain.ModelID) []domain.Command {
	if m := p.models[id]; m != nil && len(m.Versions) > 2 {
		return nil
	}
	return []domain.Command{domain.CreateModelVersion{
		ModelID: id, ArtifactsLocation: domain.Digest(artifactOf("b")), Modification: "from the lab", PerformanceMetrics: map[string]float64{"f1": 0.5},
	}}
}

func (p past) rolling(id domain.ModelID) []domain.Command {
	m := p.models[id]
	if m == nil {
		return nil
	}
	begun := len(m.EndedRollouts) + len(m.Rollouts)
	var commands []domain.Command
	for _, target := range []domain.Target{"local", "prod"} {
		for _, v := range m.Versions {
			if begun < len(rolloutsOf(id)) {
				commands = append(commands, domain.StartRollout{ModelID: id, RolloutID: rolloutsOf(id)[begun], Version: v.Version, Target: target, Strategy: json.RawMessage(`{"canary":{}}`)})
			}
			commands = append(commands, domain.DeployModel{ModelID: id, Version: v.Version, DeploymentTarget: target, Reason: "back"})
		}
		commands = append(commands, domain.UndeployModel{ModelID: id, DeploymentTarget: target, Reason: "no use"})
	}
	return commands
}

// canaries is what happens to the rollouts that run.
func (p past) canaries(id domain.ModelID) []domain.Command {
	m := p.models[id]
	if m == nil {
		return nil
	}
	var commands []domain.Command
	for _, target := range slices.Sorted(maps.Keys(m.Rollouts)) {
		running := m.Rollouts[target]
		commands = append(commands,
			domain.AssessRollout{ModelID: id, RolloutID: running.ID, Step: 1, Verdict: domain.VerdictPassed, Reason: "good"},
			domain.AssessRollout{ModelID: id, RolloutID: running.ID, Step: 1, Verdict: domain.VerdictInconclusive},
			domain.ShiftTraffic{ModelID: id, RolloutID: running.ID, Weights: domain.Traffic{running.Version: 100}},
		)
		for _, weight := range []int{0, 10, 50} {
			weights := domain.Traffic{running.Version: weight}
			weights[running.Champion] += 100 - weight
			commands = append(commands, domain.ShiftTraffic{ModelID: id, RolloutID: running.ID, Weights: weights})
		}
	}
	return commands
}

// deciding ends the rollouts that run.
func deciding(id domain.ModelID) []domain.Command {
	var commands []domain.Command
	for _, rollout := range rolloutsOf(id) {
		commands = append(commands,
			domain.PromoteRollout{ModelID: id, RolloutID: rollout, Reason: "canary"},
			domain.RollBackRollout{ModelID: id, RolloutID: rollout, Reason: "worse"},
		)
	}
	return commands
}

func aliasing(id domain.ModelID) []domain.Command {
	var commands []domain.Command
	for _, alias := range []domain.Alias{"champion", "challenger"} {
		for _, version := range []domain.VersionRef{"1", "2", "latest", "@champion"} {
			commands = append(commands, domain.AssignAlias{ModelID: id, Alias: alias, Version: version, Reason: "try"})
		}
		commands = append(commands, domain.RemoveAlias{ModelID: id, Alias: alias, Reason: "try"})
	}
	return commands
}

func ending(id domain.ModelID) []domain.Command {
	return []domain.Command{
		domain.ArchiveModel{ModelID: id, Reason: "old"},
		domain.DeleteModel{ModelID: id, Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain}},
	}
}
