package activities_test

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"phantom/activities"
	"phantom/domain"
	"phantom/training"
)

func TestRunTrainerRecordsEachEpochOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, epoch(training.Running, 3, 1, 0.9), epoch(training.Running, 3, 2, 0.8),
		epoch(training.Succeeded, 3, 3, 0.7)).running()
	ran, err := s.run(origin("saga/run/train/1"))
	require.NoError(t, err)
	require.Equal(t, 3, ran.Epochs)
	require.Equal(t, int64(5), ran.Position)
	require.Equal(t, map[int]float64{1: 0.9, 2: 0.8, 3: 0.7}, s.progress())
}

// The job went back to a checkpoint and learned the second epoch anew, with other numbers: what the log
// has stays.
func TestRunTrainerGoesOnAfterWhatIsRecorded(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"the next attempt": "saga/run/train/1", "after retry_step": "saga/run/train/2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, epoch(training.Running, 2, 1, 0.9), epoch(training.Failed, 2, 2, 0.8)).running()
			_, err := s.run(origin("saga/run/train/1"))
			require.Equal(t, activities.TypeTrainingFailed, activities.ErrorType(err))
			s.trainer.says = []training.Observation{epoch(training.Running, 3, 2, 0.85), epoch(training.Succeeded, 3, 3, 0.7)}
			_, err = s.run(origin(id))
			require.NoError(t, err)
			require.Equal(t, map[int]float64{1: 0.9, 2: 0.8, 3: 0.7}, s.progress())
		})
	}
}

// Two attempts can overlap: the other one records the epoch, with other numbers, after this one looked.
func TestRunTrainerGivesWayToAnOverlappingAttempt(t *testing.T) {
	t.Parallel()
	s := newStage(t, epoch(training.Running, 2, 1, 0.9), epoch(training.Succeeded, 2, 2, 0.8)).running()
	first := true
	s.trainer.onObserve = func() {
		if first {
			first = false
			s.handle("saga/run/train/1/1", domain.RecordTrainingProgress{
				ModelID: "digits", TrainingJobID: job, Epoch: 1, Step: 1, ProgressPercentage: 50,
				Metrics: map[string]float64{"loss": 0.95},
			})
		}
	}
	_, err := s.run(origin("saga/run/train/1"))
	require.NoError(t, err)
	require.Equal(t, map[int]float64{1: 0.95, 2: 0.8}, s.progress())
}

func TestRunTrainerRefusesWhenTheJobIsOver(t *testing.T) {
	t.Parallel()
	s := newStage(t, epoch(training.Running, 2, 1, 0.9)).running()
	s.handle("fail", domain.FailTraining{ModelID: "digits", TrainingJobID: job, FailureReason: domain.FailureFailed})
	_, err := s.run(origin("saga/run/train/1"))
	require.Equal(t, activities.TypeInvalidState, activities.ErrorType(err))
}

// Unknown is neither dead nor alive: the job is looked for again, and goes on.
func TestRunTrainerOutlivesAnUnknownState(t *testing.T) {
	t.Parallel()
	s := newStage(t, training.Observation{State: training.Unknown}, epoch(training.Succeeded, 1, 1, 0.9)).running()
	_, err := s.run(origin("saga/run/train/1"))
	require.NoError(t, err)
	require.Equal(t, 2, s.trainer.submitted)
	require.Empty(t, s.trainer.orders)
}

// A trainer that is slow to answer is one that nothing is known of.
func TestRunTrainerOutlivesASlowAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, epoch(training.Succeeded, 1, 1, 0.9)).running()
		s.trainer.slow = 2
		_, err := s.run(origin("saga/run/train/1"))
		require.NoError(t, err)
		require.Equal(t, 3, s.trainer.submitted)
	})
}

func TestRunTrainerRetriesAJobThatStandsStill(t *testing.T) {
	t.Parallel()
	s := newStage(t, training.Observation{State: training.Stopped}).running()
	_, err := s.run(origin("saga/run/train/1"))
	require.ErrorContains(t, err, "stands still")
	require.False(t, activities.Refused(err))
}

func TestRunTrainerHandsOverWhenItsWorkerStops(t *testing.T) {
	t.Parallel()
	s := newStage(t, training.Observation{State: training.Running}).running()
	stops := make(chan struct{})
	close(stops)
	s.env.SetWorkerStopChannel(stops)
	_, err := s.run(origin("saga/run/train/1"))
	require.ErrorContains(t, err, "the worker stops")
	require.False(t, activities.Refused(err), "another worker takes over")
	require.Equal(t, []training.Order{training.Checkpoint}, s.trainer.orders)
}

func TestRunTrainerKeepsWhatIsNoNumberOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, epoch(training.Succeeded, 1, 1, math.NaN())).running()
	s.trainer.outcome = training.Outcome{
		Metrics: map[string]float64{"loss": math.Inf(1), "accuracy": 0.5},
		Evaluation: training.Evaluation{
			Metrics: map[string]float64{"f1": math.NaN(), "accuracy": 0.5}, Labels: manyLabels(300),
			ConfusionMatrix: make([][]int64, 300),
		},
	}
	ran, err := s.run(origin("saga/run/train/1"))
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"accuracy": 0.5}, ran.Outcome.Metrics)
	require.Equal(t, map[string]float64{"accuracy": 0.5}, ran.Outcome.Evaluation.Metrics)
	require.Empty(t, ran.Outcome.Evaluation.ConfusionMatrix, "too large for a payload")
	require.Empty(t, ran.Outcome.Evaluation.Labels)
	require.Equal(t, map[int]float64{1: 0}, s.progress(), "recorded, without the loss")
}

func manyLabels(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = strconv.Itoa(i)
	}
	return labels
}

func TestRunTrainerNamesTheBadFieldsOfASpec(t *testing.T) {
	t.Parallel()
	s := newStage(t).running()
	s.trainer.invalid = errors.Join(training.ErrInvalidSpec,
		&domain.InvalidInput{Field: "params.hidden", Reason: "must be positive"},
		&domain.InvalidInput{Field: "train.label", Reason: "there is no such column"})
	_, err := s.run(origin("saga/run/train/1"))
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	var fields []activities.FieldError
	require.NoError(t, app.Details(&fields))
	require.Equal(t, []activities.FieldError{
		{"params.hidden", "must be positive"}, {"data.train.label", "there is no such column"},
	}, fields)
}

func TestRunTrainerSignalsAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	var says []training.Observation
	for number := range 100 {
		says = append(says, epoch(training.Running, 101, number+1, 0.5))
	}
	s := newStage(t, append(says, epoch(training.Succeeded, 101, 101, 0.4))...).running()
	_, err := s.run(origin("saga/run/train/1"))
	require.NoError(t, err)
	require.Len(t, s.progress(), 101, "every epoch stands in the log")
	require.NotEmpty(t, s.signals)
	require.Less(t, len(s.signals), 10)
	require.Equal(t, 101, s.signals[0].Epochs)
}

func TestStopTrainer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, err := s.env.ExecuteActivity("StopTrainer", trainerRun(origin("x")))
	require.NoError(t, err)
	require.Equal(t, []training.Order{training.Kill}, s.trainer.orders)
	s.trainer.signalErr = &domain.NotFound{Kind: "job", ID: string(job)}
	_, err = s.env.ExecuteActivity("StopTrainer", trainerRun(origin("x")))
	require.NoError(t, err, "a job that never ran is stopped")
	s.trainer.signalErr = errors.New("the backend cannot be reached")
	_, err = s.env.ExecuteActivity("StopTrainer", trainerRun(origin("x")))
	require.ErrorContains(t, err, "cannot be reached", "no proof, no end")
}

func TestSnapshotDataNamesEveryBadChannel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.datasets = map[string]error{
		"bad.csv":  &domain.InvalidInput{Field: "label", Reason: "there is no such column"},
		"gone.csv": &domain.InvalidInput{Field: "uri", Reason: "cannot be read"},
	}
	_, err := s.env.ExecuteActivity("SnapshotData", activities.SnapshotRequest{Channels: []domain.DatasetInfo{
		{URI: "bad.csv", Label: "digit"}, {URI: "gone.csv", Label: "digit"},
	}})
	require.ErrorContains(t, err, "data.train.label: there is no such column; data.test.uri: cannot be read")

	value, err := s.env.ExecuteActivity("SnapshotData", activities.SnapshotRequest{Channels: []domain.DatasetInfo{
		{URI: "a.csv", Label: "digit"},
	}})
	require.NoError(t, err)
	var stored []domain.DatasetInfo
	require.NoError(t, value.Get(&stored))
	require.Equal(t, []domain.DatasetInfo{{
		URI: "a.csv", Digest: digest, Format: "csv", Rows: 10, Split: training.SplitRowHash, Label: "digit",
	}}, stored)
}
