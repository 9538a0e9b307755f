package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/workflows"
)

func TestAMessageThatMakesNoSenseNowIsRefusedWithWhatDoes(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	var early, retry, nameless, unknown, verified *answer
	st.trainer.onSubmit = func() { early = st.update("approve", input{"by": "eager"}) }
	st.after(time.Hour, func() {
		retry = st.update("retry_step", nil)
		nameless = st.update("approve", input{})
		unknown = st.update("approve", input{"by": "on-call", "comment": "good"})
		verified = st.update("approve", input{"actor": input{"subject": "x", "auth": "api_key", "verified": true}})
		require.Equal(t, "approval", st.status().Stage, "nothing was decided by a refused message")
		st.update("approve", input{"by": "on-call"})
	})
	result, err := st.play(trainDigits(input{"approval": input{}}))
	require.NoError(t, err)
	require.Equal(t, "registered", result.Outcome)
	require.ErrorContains(t, early.rejected, `approve is not allowed now (the saga is at "train"); allowed: cancel`)
	require.ErrorContains(t, retry.rejected, `allowed: approve, reject, cancel`)
	require.ErrorContains(t, nameless.rejected, "by: is required")
	require.ErrorContains(t, unknown.rejected, "comment: is not a field; the fields are by, note, actor")
	require.ErrorContains(t, verified.rejected, "actor: is not available yet")
}

// A signal that nothing waits for must not approve what comes later.
func TestAnEarlySignalApprovesNothing(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.trainer.onSubmit = func() { st.env.SignalWorkflow("approve", input{"by": "eager"}) }
	result, err := st.play(trainDigits(input{"approval": input{"timeout": "1h"}}))
	require.NoError(t, err)
	require.Equal(t, "expired", result.Reason)
}

func TestTheFirstOfTwoAnswersCounts(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	var second *answer
	st.after(time.Hour, func() {
		st.env.SignalWorkflow("reject", input{"by": "first", "reason": "no"})
		second = st.update("approve", input{"by": "second"})
	})
	result, err := st.play(trainDigits(input{"approval": input{}}))
	require.NoError(t, err)
	require.Equal(t, "no", result.Reason)
	require.Error(t, second.rejected)
	_, decided := last[domain.ApprovalDecided](st.books)
	require.Equal(t, "first", decided.By.Subject)
}

func TestProgressFollowsTheTrainer(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.trainer.onSubmit = func() {
		st.env.SignalWorkflow("progress", input{"percentage": 33.3, "epoch": 1, "epochs": 3, "message": "epoch 1 of 3"})
	}
	st.books.fails("CompleteTraining", unreachable, 15)
	st.after(time.Hour, func() {
		require.InDelta(t, 100, st.progress().Percentage, 0)
		require.Equal(t, 3, st.progress().Epoch)
		st.update("retry_step", nil)
	})
	_, err := st.play(trainDigits(nil))
	require.NoError(t, err)
	require.NotEmpty(t, st.signals.sent, "the activity signals while it trains")
}

// An answer that cannot be recorded parks the step. It is no word to try again, and its sender hears of it
// only when it stands in the log.
func TestAnAnswerThatCannotBeRecordedWaitsForRetryStep(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.books.fails("DecideApproval", unreachable, 15)
	var approved, retried *answer
	st.after(time.Hour, func() { approved = st.update("approve", input{"by": "on-call"}) })
	st.after(2*time.Hour, func() {
		require.False(t, approved.done, "nothing is recorded yet")
		require.Equal(t, workflows.WaitingRetryStep, *st.status().WaitingFor)
		retried = st.update("retry_step", input{"by": "second"})
	})
	result, err := st.play(trainDigits(input{"approval": input{}}))
	require.NoError(t, err)
	require.Equal(t, "registered", result.Outcome)
	require.NoError(t, retried.rejected)
	require.True(t, retried.done)
	require.NoError(t, approved.failed)
	recorded, decided := last[domain.ApprovalDecided](st.books)
	require.Equal(t, "on-call", decided.By.Subject)
	require.Equal(t, recorded.Position, approved.receipt.Position)
	require.Equal(t, sagaID+"/default-test-run-id/approval-decide-1/2", recorded.Metadata.CommandID)
}

// A question that could only be asked after its time is answered by its expiry: the saga does not wait
// for ever.
func TestAQuestionAskedTooLateExpires(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.books.fails("RequestApproval", unreachable, 15)
	st.after(2*time.Hour, func() { st.update("retry_step", input{}) })
	st.after(48*time.Hour, st.env.CancelWorkflow) // so that a saga without an end fails the test at once
	result, err := st.play(trainDigits(input{"approval": input{"timeout": "1h"}}))
	require.NoError(t, err)
	require.Equal(t, "rejected", result.Outcome)
	require.Equal(t, "expired", result.Reason)
}
