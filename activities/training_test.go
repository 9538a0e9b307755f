package activities_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/activities"
	"phantom/domain"
)

func (s *stage) start(in activities.TrainingStart) (activities.TrainingStarted, error) {
	s.t.Helper()
	var started activities.TrainingStarted
	value, err := s.env.ExecuteActivity("StartTraining", in)
	if err != nil {
		return started, err
	}
	return started, value.Get(&started)
}

func TestStartTrainingCreatesTheModelOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	create := createDigits()
	in := activities.TrainingStart{Origin: origin("a"), Create: &create, Start: startDigits(), Target: "local"}
	started, err := s.start(in)
	require.NoError(t, err)
	require.Equal(t, domain.Result{Revision: 2, Position: 2}, started.Result)
	require.Equal(t, "vision", started.Team)
	again, err := s.start(in)
	require.NoError(t, err, "an attempt can be repeated")
	require.Equal(t, started, again)

	in.Origin, in.Start.TrainingJobID = origin("b"), "0e9d8f3e-44b4-4a52-9d6c-0e5d5a3c1c11"
	busy, err := s.start(in)
	require.NoError(t, err)
	require.Contains(t, busy.Busy, "runs already")
}

func TestStartTrainingNamesTheBadFieldsOfTheModel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	create := createDigits()
	create.Name = ""
	_, err := s.start(activities.TrainingStart{Origin: origin("a"), Create: &create, Start: startDigits()})
	require.ErrorContains(t, err, "create.name: is required")
}

// A try worked and its answer was lost; the next one, under an id of its own, gives the first result.
func TestAnEarlierTryIsFoundAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t).running()
	first, err := s.start(activities.TrainingStart{Origin: origin("retried", "start"), Start: startDigits()})
	require.NoError(t, err)
	require.Equal(t, domain.Result{Revision: 2, Position: 2}, first.Result)
	_, err = s.start(activities.TrainingStart{Origin: origin("retried", "unheard of"), Start: startDigits()})
	require.Equal(t, activities.TypeAlreadyExists, activities.ErrorType(err), "and what nobody did is refused")
}
