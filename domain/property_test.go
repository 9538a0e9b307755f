package domain_test

import (
	"encoding/json"
	"errors"
	"iter"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/domain"
)

// TestNoSequenceOfCommandsBreaksALaw plays random commands, likely and unlikely ones, and holds every
// event against the laws; the status must be the one that the laws derive.
func TestNoSequenceOfCommandsBreaksALaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		world, account := newHistory(), newLaws()
		for cmd := range commandsOf(t) {
			events, err := domain.Decide(world.load(cmd), cmd)
			if err != nil {
				require.Empty(t, events)
				requireTyped(t, err)
				continue
			}
			for _, event := range events {
				account.hold(t, world.record(cmd.Writes(), event))
			}
			requireConsistent(t, account, world.model("digits"))
		}
	})
}

// TestDecodedHistoryIsTheLiveState folds each event twice: as it was decided, and as it is read back.
func TestDecodedHistoryIsTheLiveState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live, stored := newHistory(), newHistory()
		for cmd := range commandsOf(t) {
			events, err := domain.Decide(live.load(cmd), cmd)
			again, errAgain := domain.Decide(stored.load(cmd), cmd)
			require.Equal(t, err, errAgain)
			require.Equal(t, events, again, "the same history and command give the same events")
			for _, event := range events {
				name, version, data, err := domain.Encode(event)
				require.NoError(t, err)
				decoded, err := domain.Decode(name, version, data)
				require.NoError(t, err)
				live.record(cmd.Writes(), event)
				stored.record(cmd.Writes(), decoded)
			}
			require.Equal(t, live.load(cmd), stored.load(cmd))
		}
	})
}

// TestDecideLeavesTheStateAlone: deciding is a question, the state is what it was.
func TestDecideLeavesTheStateAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		world := newHistory()
		for cmd := range commandsOf(t) {
			states := world.load(cmd)
			events, err := domain.Decide(states, cmd)
			require.Equal(t, world.load(cmd), states)
			if err != nil {
				continue
			}
			for _, event := range events {
				world.record(cmd.Writes(), event)
			}
		}
	})
}

func TestNumbersThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for name, number := range map[string]float64{"NaN": math.NaN(), "Inf": math.Inf(1), "-Inf": math.Inf(-1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics := map[string]float64{"loss": number}
			job, rollout, digest := domain.JobID(full('j', "1")), domain.RolloutID(full('r', "1")), domain.Digest(full('a', "1"))
			inference := inferenceExamples()[0].(domain.InferenceMade)
			inference.InferenceTimeMS, inference.SampleRate, inference.Confidence = number, number, &number
			assessed := domain.MetricAssessment{
				Metric: "accuracy", Op: ">=", Threshold: number, Quantile: number, Test: "sprt", Estimate: &number,
				Statistic: number, Lower: number, Upper: number, Verdict: domain.VerdictPassed,
			}
			for field, cmd := range map[string]domain.Command{
				"metrics.loss":               domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Metrics: metrics},
				"progress_percentage":        domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, ProgressPercentage: number},
				"final_metrics.loss":         domain.CompleteTraining{ModelID: "digits", TrainingJobID: job, FinalMetrics: metrics, ArtifactsLocation: digest},
				"performance_metrics.loss":   domain.CreateModelVersion{ModelID: "digits", PerformanceMetrics: metrics, ArtifactsLocation: digest},
				"gates.0.threshold":          domain.EvaluateCandidate{ModelID: "digits", TrainingJobID: job, Gates: []domain.GateResult{{Gate: domain.Gate{Metric: "f1", Op: ">", Threshold: number}}}},
				"inferences.0.sample_rate":   domain.RecordInferences{Inferences: []domain.InferenceMade{inference}},
				"inferences.0.confidence":    domain.RecordInferences{Inferences: []domain.InferenceMade{inference}},
				"inferences.0.inference_tim": domain.RecordInferences{Inferences: []domain.InferenceMade{inference}},
				"metrics.0.estimate":         domain.AssessRollout{ModelID: "digits", RolloutID: rollout, Step: 1, Verdict: domain.VerdictPassed, Metrics: []domain.MetricAssessment{assessed}},
				"metrics.0.quantile":         domain.AssessRollout{ModelID: "digits", RolloutID: rollout, Step: 1, Verdict: domain.VerdictPassed, Metrics: []domain.MetricAssessment{assessed}},
				"metrics.0.statistic":        domain.AssessRollout{ModelID: "digits", RolloutID: rollout, Step: 1, Verdict: domain.VerdictPassed, Metrics: []domain.MetricAssessment{assessed}},
			} {
				err := domain.Validate(cmd)
				require.ErrorIs(t, err, domain.ErrInvalidInput)
				require.ErrorContains(t, err, field)
			}
		})
	}
}

func TestGateNeverPassesOnNothing(t *testing.T) {
	t.Parallel()
	for _, op := range []string{">=", ">", "<=", "<"} {
		gate := domain.Gate{Metric: "accuracy", Op: op, Threshold: 0.5}
		require.False(t, gate.Against(nil).Passed)
		for _, nothing := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			result := gate.Against(map[string]float64{"accuracy": nothing})
			require.False(t, result.Passed)
			require.Nil(t, result.Value)
		}
	}
}

func requireTyped(t require.TestingT, err error) {
	var (
		state  *domain.InvalidState
		input  *domain.InvalidInput
		absent *domain.NotFound
		exists *domain.AlreadyExists
		stale  *domain.Stale
	)
	switch {
	case errors.Is(err, domain.ErrInvalidState):
		require.ErrorAs(t, err, &state)
	case errors.Is(err, domain.ErrInvalidInput):
		require.ErrorAs(t, err, &input)
	case errors.Is(err, domain.ErrPreconditionFailed):
		require.ErrorAs(t, err, &stale)
	case errors.Is(err, domain.ErrNotFound):
		require.ErrorAs(t, err, &absent)
	default:
		require.ErrorIs(t, err, domain.ErrAlreadyExists)
		require.ErrorAs(t, err, &exists)
	}
}

func requireConsistent(t require.TestingT, account *laws, model domain.Model) {
	require.Equal(t, account.status(), model.Status())
	require.Equal(t, number(account.versions), model.LatestVersion())
	require.Len(t, model.DeployedTargets(), len(account.deployed))
	for _, target := range model.DeployedTargets() {
		require.Equal(t, account.deployed[target], model.Champion(target))
		_, known := model.Version(model.Champion(target))
		require.True(t, known)
	}
	require.Equal(t, account.aliases, aliasesOf(model))
	require.Len(t, model.Rollouts, len(account.running))
	for target, id := range account.running {
		require.Equal(t, id, model.Rollouts[target].ID)
	}
	running := 0
	for _, state := range account.jobs {
		if state == "running" {
			running++
		}
	}
	require.Len(t, model.ActiveTrainings(), running)
}

func aliasesOf(model domain.Model) map[domain.Alias]domain.Version {
	if model.Aliases == nil {
		return map[domain.Alias]domain.Version{}
	}
	return model.Aliases
}

// commandsOf draws a sequence that mostly begins with a model and two versions, so that it gets far.
func commandsOf(t *rapid.T) iter.Seq[domain.Command] {
	return func(yield func(domain.Command) bool) {
		var begin []domain.Command
		if rapid.IntRange(0, 9).Draw(t, "begin") > 0 {
			version := domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: domain.Digest(full('a', "1"))}
			begin = []domain.Command{
				domain.CreateModel{ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp"}, version, version,
			}
		}
		for _, cmd := range begin {
			if !yield(cmd) {
				return
			}
		}
		for range 150 { // a drawn length would mostly be short, and short stories reach little
			if !yield(anyCommand().Draw(t, "command")) {
				return
			}
		}
	}
}

// anyCommand draws from a world so small that commands meet: two jobs, two rollouts, two targets.
func anyCommand() *rapid.Generator[domain.Command] {
	return rapid.Custom(func(t *rapid.T) domain.Command {
		draw := drawer{t}
		switch kind := rapid.IntRange(0, 30).Draw(t, "kind"); kind {
		case 0, 1:
			if draw.number(4) == 0 {
				return domain.ArchiveModel{ModelID: "digits", Reason: "old"}
			}
			return domain.CreateModel{ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp", InitialConfig: draw.config()}
		case 2:
			return domain.UpdateModelConfiguration{ModelID: "digits", NewConfig: draw.config(), ChangeReason: "try"}
		case 3:
			return domain.UpdateModelMetadata{ModelID: "digits", Tags: map[string]*string{"team": draw.tag()}}
		case 4:
			return draw.approval(domain.Subject{TrainingJobID: draw.job()})
		case 5:
			return domain.DeleteModel{ModelID: "digits", Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain}}
		case 6, 7, 8, 9, 10, 11, 12, 13:
			return draw.training(kind)
		case 14, 15:
			return domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: draw.digest(), TrainingJobID: draw.maybeJob()}
		case 16, 17:
			return domain.DeployModel{ModelID: "digits", Version: draw.version(), DeploymentTarget: draw.target(), DeploymentConfig: draw.config()}
		case 18:
			return domain.UndeployModel{ModelID: "digits", DeploymentTarget: draw.target()}
		case 28, 29, 30:
			return draw.aliasing()
		default:
			return draw.rollout(kind)
		}
	})
}

type drawer struct{ t *rapid.T }

func (d drawer) training(kind int) domain.Command {
	switch kind {
	case 6, 7:
		return domain.StartTraining{
			ModelID: "digits", TrainingJobID: d.job(), Concurrent: d.coin(), DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv"}},
			TrainingConfig: domain.TrainingConfig{
				Trainer: "embedded", Algorithm: "mlp", Params: d.config(),
				Gates: []domain.Gate{{Metric: "accuracy", Op: ">=", Threshold: 0.5}},
			},
		}
	case 8, 10:
		return domain.RecordTrainingProgress{
			ModelID: "digits", TrainingJobID: d.job(), Epoch: d.number(3), Step: int64(d.number(3)), ProgressPercentage: float64(d.number(100)),
		}
	case 9:
		return domain.CompleteTraining{ModelID: "digits", TrainingJobID: d.job(), ArtifactsLocation: d.digest()}
	case 11:
		return domain.FailTraining{ModelID: "digits", TrainingJobID: d.job(), FailureReason: domain.FailureFailed}
	case 12:
		return domain.EvaluateCandidate{ModelID: "digits", TrainingJobID: d.job(), Metrics: map[string]float64{"accuracy": float64(d.number(1))}}
	default:
		return d.approval(domain.Subject{TrainingJobID: d.job()})
	}
}

func (d drawer) rollout(kind int) domain.Command {
	switch kind {
	case 19, 20:
		return domain.StartRollout{ModelID: "digits", RolloutID: d.rolloutID(), Version: d.version(), Target: d.target(), Strategy: d.config(), ObserveAfter: int64(d.number(9))}
	case 21:
		return domain.PromoteRollout{ModelID: "digits", RolloutID: d.rolloutID(), DeploymentConfig: d.config()}
	case 22:
		return domain.RollBackRollout{ModelID: "digits", RolloutID: d.rolloutID(), Reason: "worse"}
	case 23, 24:
		weight := d.number(110)
		weights := domain.Traffic{d.version(): weight}
		weights[d.version()] += 100 + d.number(1) - weight
		return domain.ShiftTraffic{ModelID: "digits", RolloutID: d.rolloutID(), Weights: weights}
	case 25, 26:
		return d.approval(domain.Subject{RolloutID: d.rolloutID()})
	default:
		return domain.AssessRollout{ModelID: "digits", RolloutID: d.rolloutID(), Step: d.number(2), Verdict: domain.VerdictPassed}
	}
}

func (d drawer) approval(subject domain.Subject) domain.Command {
	by := domain.Actor{Subject: rapid.SampledFrom([]string{"ann", "bob"}).Draw(d.t, "by"), Auth: domain.AuthLocal}
	if d.coin() {
		return domain.RequestApproval{
			ModelID: "digits", Subject: subject, RequestedBy: by, ForbidRequester: d.coin(),
			ExpiresAt: time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("CET", 3600)),
		}
	}
	decision := rapid.SampledFrom([]domain.Decision{domain.Approved, domain.Rejected}).Draw(d.t, "decision")
	return domain.DecideApproval{ModelID: "digits", Subject: subject, Decision: decision, By: by}
}

func (d drawer) aliasing() domain.Command {
	alias := rapid.SampledFrom([]domain.Alias{"champion", "challenger"}).Draw(d.t, "alias")
	var expected *domain.Version
	if d.coin() {
		expected = new(rapid.SampledFrom([]domain.Version{"", "1", "2"}).Draw(d.t, "expected"))
	}
	if d.number(2) == 0 {
		return domain.RemoveAlias{ModelID: "digits", Alias: alias, Expected: expected}
	}
	version := rapid.SampledFrom([]domain.VersionRef{"1", "2", "3", "latest", "@champion"}).Draw(d.t, "version")
	return domain.AssignAlias{ModelID: "digits", Alias: alias, Version: version, Expected: expected}
}

func (d drawer) number(most int) int { return rapid.IntRange(0, most).Draw(d.t, "number") }
func (d drawer) coin() bool          { return rapid.Bool().Draw(d.t, "coin") }

func (d drawer) job() domain.JobID { return domain.JobID(full('j', string(rune('1'+d.number(1))))) }

func (d drawer) maybeJob() domain.JobID {
	if d.coin() {
		return ""
	}
	return d.job()
}

func (d drawer) rolloutID() domain.RolloutID {
	return domain.RolloutID(full('r', string(rune('1'+d.number(1)))))
}
func (d drawer) digest() domain.Digest   { return domain.Digest(full('a', "1")) }
func (d drawer) version() domain.Version { return domain.Version(string(rune('1' + d.number(2)))) }

func (d drawer) target() domain.Target {
	return rapid.SampledFrom([]domain.Target{"local", "prod"}).Draw(d.t, "target")
}

func (d drawer) config() json.RawMessage {
	return json.RawMessage(rapid.SampledFrom([]string{``, `{}`, `{"b":1, "a":2}`, `{"a":2,"b":1}`, `null`}).Draw(d.t, "config"))
}

func (d drawer) tag() *string {
	if d.coin() {
		return nil
	}
	return new(rapid.SampledFrom([]string{"vision", "forms"}).Draw(d.t, "tag"))
}
