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

// in makes what follows a saga's.
func (w *world) in(saga string) *world {
	w.saga = saga
	return w
}

func TestSagasAreKnownByTheirEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", nil)
	trained, failed, gated := domain.JobID(uuid.NewString()), domain.JobID(uuid.NewString()), domain.JobID(uuid.NewString())
	w.in("train:acme:digits:a").start("digits", trained)
	w.do(domain.CompleteTraining{ModelID: "digits", TrainingJobID: trained, ArtifactsLocation: artifact("a")})
	w.do(domain.CreateModelVersion{ModelID: "digits", TrainingJobID: trained, ArtifactsLocation: artifact("a")})
	w.in("train:acme:digits:b").start("digits", failed)
	w.do(domain.FailTraining{ModelID: "digits", TrainingJobID: failed, FailureReason: domain.FailureCancelled})
	w.in("train:acme:digits:c").start("digits", gated)
	w.do(domain.CompleteTraining{ModelID: "digits", TrainingJobID: gated, ArtifactsLocation: artifact("a")})
	w.do(domain.EvaluateCandidate{ModelID: "digits", TrainingJobID: gated, Rows: 3, Gates: []domain.GateResult{{Gate: domain.Gate{Metric: "accuracy", Op: ">=", Threshold: 2}}}})
	w.in("my-own-id").do(domain.StartRollout{ModelID: "digits", RolloutID: domain.RolloutID(uuid.NewString()), Version: "1", Target: "prod"})
	h.catchUp(1, 1)
	h.catchUp(2, 100)
	require.Equal(t, h.rows("acme", 1)["saga"], h.rows("acme", 2)["saga"])

	list := func(f readmodel.SagaFilter) []string {
		var ids []string
		for _, s := range all(t, 1, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Saga], error) {
			return w.reader.ListSagas(ctx, "acme", f, p)
		}) {
			ids = append(ids, s.SagaID+" "+s.Kind+" "+string(s.State)+" "+s.Outcome)
		}
		return ids
	}
	rollout := "my-own-id DeployModel running "
	gate := "train:acme:digits:c TrainModel completed gate_not_met"
	canceled := "train:acme:digits:b TrainModel canceled cancelled"
	registered := "train:acme:digits:a TrainModel completed registered"
	require.Equal(t, []string{rollout, gate, canceled, registered}, list(readmodel.SagaFilter{}))
	require.Equal(t, []string{gate, registered}, list(readmodel.SagaFilter{State: "completed"}))
	require.Equal(t, []string{rollout}, list(readmodel.SagaFilter{State: "running", ModelID: "digits"}))
	require.Empty(t, list(readmodel.SagaFilter{Kind: "UndeployModel"}))
	require.Empty(t, list(readmodel.SagaFilter{ModelID: "other"}))

	fresh := readmodel.Saga{SagaID: "train:acme:digits:new", RunID: "r", Kind: "TrainModel", ModelID: "digits", StartedAt: time.Now().Add(time.Hour)}
	live := readmodel.SagaFilter{Live: []readmodel.Saga{fresh}}
	require.Equal(t, []string{"train:acme:digits:new TrainModel running ", rollout, gate, canceled, registered}, list(live))
	live.State = "running"
	require.Equal(t, []string{"train:acme:digits:new TrainModel running "}, list(live))
	live.State = "terminated"
	require.Equal(t, []string{rollout}, list(live), "what no event has ended, and does not run")

	saga, err := w.reader.GetSaga(t.Context(), "acme", "train:acme:digits:a")
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), *saga.Version)
	_, err = w.reader.GetSaga(t.Context(), "other", "train:acme:digits:a")
	require.ErrorIs(t, err, domain.ErrNotFound)
}
