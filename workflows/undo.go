package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"phantom/activities"
)

// undo is what takes back a step. It is registered before its step is tried, because a step whose answer
// was lost may have worked.
type undo struct {
	step, what string
	act        func(ctx workflow.Context, cause error) error
	retired    bool
}

// retire makes the undo pointless: what it would take back never happened, or is final now.
func (u *undo) retire() { u.retired = true }

// rearm takes a retirement back. An undo that must run after the others is registered first, retired, and
// rearmed when its own step comes.
func (u *undo) rearm() { u.retired = false }

// onUndo registers how a step is taken back. What act is given is why: a cancellation, or the error that
// ended the story. It runs on a context that cancellation does not reach, and its activities are of the
// class compensate.
func (s *saga) onUndo(step, what string, act func(ctx workflow.Context, cause error) error) *undo {
	u := &undo{step: step, what: what, act: act}
	s.undos = append(s.undos, u)
	return u
}

// compensate takes back, last step first, whatever was registered and not retired. A compensation that
// is refused for good is recorded in its step, and the ones below it still run.
func (s *saga) compensate(ctx workflow.Context, cause error) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if s.idle() {
		return
	}
	s.enter(ctx, StageCompensating)
	for _, u := range slices.Backward(s.undos) {
		if u.retired {
			continue
		}
		u.retired = true
		switch err := u.act(ctx, cause); {
		case err == nil:
			s.end(ctx, u.step, StepCompensated, u.what)
		case activities.Refused(err):
			s.end(ctx, u.step, s.step(u.step).State, "nothing to undo ("+u.what+"): "+errorText(err))
		default:
			s.lastError = "could not " + u.what + ": " + errorText(err)
			s.end(ctx, u.step, StepFailed, s.lastError)
			workflow.GetLogger(ctx).Error("compensation gave up", "step", u.step, "undo", u.what, "error", err.Error())
		}
	}
}

// idle reports whether nothing is left to undo.
func (s *saga) idle() bool {
	for _, u := range s.undos {
		if !u.retired {
			return false
		}
	}
	return true
}
