package readmodel_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

func TestAModelFromItsCreationToItsEnd(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.saga = "train:acme:digits:a"
	w.create("digits", map[string]string{"team": "vision"})
	created, createdAt := w.head, w.now
	first := w.train("digits", 0.9)
	trained := w.head
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"})
	w.do(domain.PromoteRollout{ModelID: "digits", RolloutID: rollout, Reason: "initial"})
	deployed := w.head
	running := domain.JobID(uuid.NewString())
	w.start("digits", running)
	w.catchUp(1, 500)

	m := w.getModel("digits", 0)
	require.Equal(t, w.head, m.Position)
	require.Equal(t, domain.StatusTraining, m.Status)
	require.Equal(t, 1, m.ActiveTrainings)
	require.Equal(t, []domain.Target{"prod"}, m.DeployedTargets)
	require.Equal(t, domain.Version("1"), *m.CurrentVersion)
	require.InDelta(t, 0.9, *m.Accuracy, 0)
	require.InDelta(t, 0.7, *m.Precision, 0)
	require.InDelta(t, 0.6, *m.Recall, 0)
	require.InDelta(t, 0.65, *m.F1, 0)
	require.Equal(t, readmodel.ModelCounts{Versions: 1, Trainings: 2, Deployments: 1, Inferences: new(int64)}, m.Counts)
	require.Equal(t, map[string]string{"team": "vision"}, m.Tags)
	require.JSONEq(t, `{"hidden":32}`, string(m.Config))
	require.Equal(t, createdAt, m.CreatedAt)
	require.Equal(t, w.now, m.UpdatedAt)
	require.Equal(t, w.by, m.CreatedBy)
	require.Nil(t, m.LastInferenceAt)

	was := w.getModel("digits", created)
	require.Equal(t, domain.StatusCreated, was.Status)
	require.Nil(t, was.CurrentVersion)
	require.Nil(t, was.Accuracy)
	require.EqualValues(t, 1, was.Revision)
	require.Equal(t, domain.StatusTrained, w.getModel("digits", trained).Status)
	require.Equal(t, domain.StatusDeployed, w.getModel("digits", deployed).Status)

	v, err := w.reader.GetVersion(t.Context(), "acme", "digits", "1", 0)
	require.NoError(t, err)
	require.Equal(t, []domain.Target{"prod"}, v.DeployedTargets)
	require.Equal(t, first, *v.TrainingJobID)
	require.Nil(t, v.PreviousVersion)
	before, err := w.reader.GetVersion(t.Context(), "acme", "digits", "1", trained)
	require.NoError(t, err)
	require.Equal(t, []domain.Target{}, before.DeployedTargets)

	done, err := w.reader.GetTraining(t.Context(), "acme", first, 0)
	require.NoError(t, err)
	require.Equal(t, readmodel.TrainingCompleted, done.State)
	require.Equal(t, "train:acme:digits:a", done.SagaID)
	require.InDelta(t, 100, done.Progress, 0)
	require.Equal(t, map[string]float64{"loss": 0.25, "accuracy": 0.9, "precision": 0.7, "recall": 0.6, "f1": 0.65}, done.Metrics)
	require.Equal(t, domain.Version("1"), *done.Version)
	require.Equal(t, [][]int64{{5, 1}, {0, 4}}, done.Evaluation.ConfusionMatrix)
	require.True(t, done.Evaluation.Passed)
	require.EqualValues(t, 1500, *done.DurationMS)

	w.do(domain.FailTraining{ModelID: "digits", TrainingJobID: running, FailureReason: domain.FailureCancelled, ErrorDetails: "asked to"})
	w.do(domain.UndeployModel{ModelID: "digits", DeploymentTarget: "prod", Reason: "retired"})
	w.do(domain.ArchiveModel{ModelID: "digits", Reason: "old"})
	archived := w.head
	w.do(domain.DeleteModel{ModelID: "digits", Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain}})
	w.catchUp(1, 500)
	require.Equal(t, domain.StatusDeleted, w.getModel("digits", 0).Status)
	require.Equal(t, domain.StatusArchived, w.getModel("digits", archived).Status)
	gone, err := w.reader.GetTraining(t.Context(), "acme", running, 0)
	require.NoError(t, err)
	require.Equal(t, readmodel.TrainingCancelled, gone.State)
	require.Equal(t, "asked to", gone.ErrorDetails)
	require.NotNil(t, gone.EndedAt)
}

// A canary that is rolled back: the traffic is told at each of its positions.
func TestTheTrafficOfACanary(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.train("digits", 0.9)
	w.train("digits", 0.95)
	w.do(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "prod"})
	rollout := domain.RolloutID(uuid.NewString())
	w.saga = "deploy:acme:digits:prod"
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "2", Target: "prod", ObserveAfter: 4})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 90, "2": 10}})
	atTen := w.head
	estimate := 0.5
	w.do(domain.AssessRollout{
		ModelID: "digits", RolloutID: rollout, Step: 1, Verdict: domain.VerdictFailed, Reason: "accuracy",
		Metrics: []domain.MetricAssessment{{
			Metric: "accuracy", Op: ">=", Threshold: 0.9, Test: "sprt", Samples: 40, Failures: 20,
			Estimate: &estimate, Verdict: domain.VerdictFailed,
		}}, InferencePosition: 77,
	})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 100}})
	w.do(domain.RollBackRollout{ModelID: "digits", RolloutID: rollout, Reason: "accuracy fell"})
	w.catchUp(1, 3)

	type share struct {
		version domain.Version
		state   readmodel.DeploymentState
		weight  int
	}
	shares := func(asOf int64, current bool) []share {
		var found []share
		for _, d := range all(t, 1, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Deployment], error) {
			return w.reader.ListDeployments(ctx, "acme", readmodel.DeploymentFilter{ModelID: "digits", AsOf: asOf, Current: current}, p)
		}) {
			found = append(found, share{d.Version, d.State, d.Weight})
		}
		return found
	}
	require.Equal(t, []share{{"2", readmodel.DeploymentCanary, 10}, {"1", readmodel.DeploymentDeployed, 90}}, shares(atTen, true))
	require.Equal(t, []share{{"1", readmodel.DeploymentDeployed, 100}}, shares(0, true))
	require.Equal(t, []share{{"2", readmodel.DeploymentEnded, 0}, {"1", readmodel.DeploymentDeployed, 100}}, shares(0, false))

	r, err := w.reader.GetRollout(t.Context(), "acme", rollout, 0)
	require.NoError(t, err)
	require.Equal(t, readmodel.RolloutRolledBack, r.State)
	require.Equal(t, "accuracy fell", r.Reason)
	require.Equal(t, "deploy:acme:digits:prod", r.SagaID)
	require.Equal(t, domain.Version("1"), *r.PreviousVersion)
	require.EqualValues(t, 4, r.ObserveAfter)
	require.Equal(t, []int64{1, 2}, []int64{r.Traffic[0].RouteGeneration, r.Traffic[1].RouteGeneration})
	require.Equal(t, domain.Traffic{"1": 90, "2": 10}, r.Traffic[0].Weights)
	require.Equal(t, atTen, r.Traffic[0].Position)
	require.Len(t, r.Verdicts, 1)
	require.Equal(t, domain.VerdictFailed, r.Verdicts[0].Verdict)
	require.InDelta(t, 0.5, *r.Verdicts[0].Metrics[0].Estimate, 0)
	require.EqualValues(t, 77, r.Verdicts[0].InferencePosition)

	was, err := w.reader.GetRollout(t.Context(), "acme", rollout, atTen)
	require.NoError(t, err)
	require.Equal(t, readmodel.RolloutRunning, was.State)
	require.Len(t, was.Traffic, 1)
	require.Empty(t, was.Verdicts)

	list, err := w.reader.ListRollouts(t.Context(), "acme", readmodel.RolloutFilter{Target: "prod", State: readmodel.RolloutRolledBack}, readmodel.Paging{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Equal(t, domain.Traffic{"1": 100}, list.Items[0].Traffic[0].Weights, "a list shows the last shift")
	require.Len(t, list.Items[0].Traffic, 1)
}

func TestAPromotedCanaryReplacesTheChampion(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.train("digits", 0.9)
	w.train("digits", 0.95)
	w.do(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "prod"})
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "2", Target: "prod"})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 50, "2": 50}})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"2": 100}})
	w.do(domain.PromoteRollout{ModelID: "digits", RolloutID: rollout, Reason: "canary"})
	promoted := w.now
	w.catchUp(1, 500)
	page, err := w.reader.ListDeployments(t.Context(), "acme", readmodel.DeploymentFilter{ModelID: "digits"}, readmodel.Paging{})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	candidate, champion := page.Items[0], page.Items[1]
	require.Equal(t, readmodel.DeploymentDeployed, candidate.State)
	require.Equal(t, 100, candidate.Weight)
	require.Equal(t, promoted, candidate.DeployedAt)
	require.Equal(t, rollout, *candidate.RolloutID)
	require.Nil(t, candidate.EndedAt)
	require.Equal(t, readmodel.DeploymentEnded, champion.State)
	require.Equal(t, promoted, *champion.EndedAt)
	require.Equal(t, "replaced by version 2", champion.EndReason)
	old, err := w.reader.GetVersion(t.Context(), "acme", "digits", "1", 0)
	require.NoError(t, err)
	require.Empty(t, old.DeployedTargets)
}

func TestCurvesKeepBothEndsWhenThinned(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	job := domain.JobID(uuid.NewString())
	w.start("digits", job)
	w.catchUp(1, 500)
	none, err := w.reader.TrainingCurves(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Empty(t, none)
	for epoch := 1; epoch <= 100; epoch++ {
		spiky := map[bool]float64{true: 50}[epoch == 42]
		w.do(domain.RecordTrainingProgress{
			ModelID: "digits", TrainingJobID: job, Epoch: epoch, Step: int64(10 * epoch), ProgressPercentage: float64(epoch) / 2,
			Metrics: map[string]float64{"loss": 1 / float64(epoch), "accuracy": float64(epoch) / 100, "norm": spiky},
		})
	}
	lastAt := w.now
	w.catchUp(1, 7)
	full, err := w.reader.TrainingCurves(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"accuracy", "loss", "norm"}, []string{full[0].Metric, full[1].Metric, full[2].Metric})
	require.Len(t, full[1].Points, 100)
	require.Equal(t, readmodel.Point{Epoch: 100, Step: 1000, Value: 0.01, At: lastAt}, full[1].Points[99])
	for _, most := range []int{2, 3, 10, 99, 100, 1000} {
		thin, err := w.reader.TrainingCurves(t.Context(), "acme", job, most)
		require.NoError(t, err)
		points := thin[0].Points
		require.Len(t, points, min(most, 100))
		require.Equal(t, 1, points[0].Epoch)
		require.Equal(t, 100, points[len(points)-1].Epoch)
	}
	thin, err := w.reader.TrainingCurves(t.Context(), "acme", job, 7)
	require.NoError(t, err)
	require.Contains(t, thin[2].Points, full[2].Points[41], "a spike is not lost")
	_, err = w.reader.TrainingCurves(t.Context(), "acme", job, 1)
	require.ErrorIs(t, err, domain.ErrInvalidInput)
	_, err = w.reader.TrainingCurves(t.Context(), "acme", domain.JobID(uuid.NewString()), 0)
	require.ErrorIs(t, err, domain.ErrNotFound)

	now, err := w.reader.GetTraining(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Equal(t, 100, now.Epoch)
	require.InDelta(t, 50, now.Progress, 0)
	require.InDelta(t, 0.01, now.Metrics["loss"], 0)
	was, err := w.reader.GetTraining(t.Context(), "acme", job, w.head-90)
	require.NoError(t, err)
	require.Equal(t, 10, was.Epoch, "progress as of a position")
}

func TestApprovalsThatWait(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.train("digits", 0.9)
	w.saga = "train:acme:digits:b"
	job := domain.JobID(uuid.NewString())
	w.start("digits", job)
	w.do(domain.CompleteTraining{ModelID: "digits", TrainingJobID: job, ArtifactsLocation: artifact("b")})
	w.do(domain.EvaluateCandidate{ModelID: "digits", TrainingJobID: job, Metrics: map[string]float64{"accuracy": 1}})
	expires := w.now.Add(time.Hour)
	w.do(domain.RequestApproval{ModelID: "digits", Subject: domain.Subject{TrainingJobID: job}, RequestedBy: w.by, ExpiresAt: expires})
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"})
	w.do(domain.RequestApproval{ModelID: "digits", Subject: domain.Subject{RolloutID: rollout}, RequestedBy: w.by, ExpiresAt: expires})
	w.catchUp(1, 500)
	waiting := func() []readmodel.WaitingApproval {
		return all(t, 1, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.WaitingApproval], error) {
			return w.reader.ApprovalsWaiting(ctx, "acme", p)
		})
	}
	found := waiting()
	require.Len(t, found, 2)
	require.Equal(t, job, *found[0].TrainingJobID)
	require.Equal(t, "train:acme:digits:b", found[0].SagaID)
	require.Equal(t, expires, found[0].Approval.ExpiresAt)
	require.Equal(t, rollout, *found[1].RolloutID)
	require.Equal(t, domain.Target("prod"), *found[1].Target)

	w.do(domain.DecideApproval{ModelID: "digits", Subject: domain.Subject{TrainingJobID: job}, Decision: domain.Rejected, By: w.by, Note: "too early"})
	w.do(domain.RollBackRollout{ModelID: "digits", RolloutID: rollout, Reason: "cancelled"})
	w.catchUp(1, 500)
	require.Empty(t, waiting())
	decided, err := w.reader.GetTraining(t.Context(), "acme", job, 0)
	require.NoError(t, err)
	require.Equal(t, readmodel.ApprovalRejected, decided.Approval.State)
	require.Equal(t, "too early", decided.Approval.Note)
	moot, err := w.reader.GetRollout(t.Context(), "acme", rollout, 0)
	require.NoError(t, err)
	require.Equal(t, readmodel.ApprovalMoot, moot.Approval.State)
}

func TestInferencesAreCounted(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	day := w.now.Format(time.DateOnly)
	for i := range 5 {
		id := domain.NewInferenceID("digits", "prod", day, uuid.New())
		outcome := "ok"
		if i == 4 {
			outcome = "timeout"
		}
		w.now = w.now.Add(time.Second)
		w.record(domain.InferenceStream("digits", "prod", day), []domain.Event{
			domain.InferenceMade{InferenceID: id, ModelID: "digits", Version: "1", Target: "prod", Outcome: outcome, SampleRate: 1},
			domain.FeedbackRecorded{InferenceID: id, Label: []byte(`"7"`), LabelledAt: w.now, Source: "human"},
		})
	}
	w.catchUp(1, 3)
	m := w.getModel("digits", 0)
	require.EqualValues(t, 5, *m.Counts.Inferences)
	require.Equal(t, w.now, *m.LastInferenceAt)
	then := w.getModel("digits", w.head)
	require.Nil(t, then.Counts.Inferences, "else the past would change with each inference")
	require.Nil(t, then.LastInferenceAt)
}
