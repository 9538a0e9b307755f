package activities_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"phantom/activities"
)

// ticking is a loop that is as far as its clock says.
type ticking struct {
	status func() activities.ProjectionStatus
	told   []time.Time
}

func (l *ticking) Status(context.Context, string) (activities.ProjectionStatus, error) {
	return l.status(), nil
}

func (l *ticking) Steer(context.Context, activities.ProjectionSteering) error { return nil }

func (l *ticking) SignalWorkflow(context.Context, string, string, string, any) error {
	l.told = append(l.told, time.Now())
	return nil
}

func (l *ticking) attach(t *testing.T) (activities.ProjectionStatus, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(24 * time.Hour)
	env.RegisterActivity(&activities.Projection{Projections: l, Signals: l})
	var seen activities.ProjectionStatus
	value, err := env.ExecuteActivity("AttachProjection", activities.ProjectionAttach{Name: "catalogue"})
	if err != nil {
		return seen, err
	}
	return seen, value.Get(&seen)
}

func TestAttachProjectionEndsAfterManyReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := &ticking{status: func() activities.ProjectionStatus {
			applied := int64(time.Since(began).Seconds())
			return activities.ProjectionStatus{Applied: applied, Head: applied + 5}
		}}
		seen, err := l.attach(t)
		require.NoError(t, err)
		require.Positive(t, seen.Applied)
		require.Len(t, l.told, 50)
		for i := 1; i < len(l.told); i++ {
			require.GreaterOrEqual(t, l.told[i].Sub(l.told[i-1]), 10*time.Second)
		}
	})
}

func TestAttachProjectionTellsALoopThatStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := &ticking{status: func() activities.ProjectionStatus {
			if time.Since(began) < 5*time.Minute { // nothing to do is no standstill
				return activities.ProjectionStatus{Applied: 7, Head: 7}
			}
			return activities.ProjectionStatus{Applied: 7, Head: 8, Failure: "column is missing"}
		}}
		_, err := l.attach(t)
		require.ErrorContains(t, err, "projection catalogue stands at 7 of 8")
		require.ErrorContains(t, err, "column is missing")
		require.Greater(t, time.Since(began), 5*time.Minute)
	})
}
