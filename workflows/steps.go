package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// StepState is how far a step is.
type StepState string

// The states of a step.
const (
	StepPending     StepState = "pending"
	StepRunning     StepState = "running"
	StepDone        StepState = "done"
	StepSkipped     StepState = "skipped" // was not asked for, or not reached
	StepFailed      StepState = "failed"  // refused, or parked
	StepCompensated StepState = "compensated"
)

// Step is one line of a saga's status.
type Step struct {
	Name      string     `json:"name"`
	State     StepState  `json:"state"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Attempt   int        `json:"attempt"` // 1, and one more for each retry_step; 0 before it began
	Detail    string     `json:"detail"`
}

// begin marks a step as running, and makes it the saga's stage.
func (s *saga) begin(ctx workflow.Context, name string) {
	step, now := s.step(name), workflow.Now(ctx)
	step.State, step.EndedAt = StepRunning, nil
	if step.StartedAt == nil {
		step.StartedAt = &now
	}
	step.Attempt = max(step.Attempt, 1)
	s.enter(ctx, name)
}

// done ends a step that did what it is for.
func (s *saga) done(ctx workflow.Context, name, detail string) { s.end(ctx, name, StepDone, detail) }

// skip marks a step that is not needed.
func (s *saga) skip(ctx workflow.Context, name, detail string) { s.end(ctx, name, StepSkipped, detail) }

func (s *saga) end(ctx workflow.Context, name string, state StepState, detail string) {
	step, now := s.step(name), workflow.Now(ctx)
	step.State, step.Detail = state, detail
	if step.StartedAt != nil {
		step.EndedAt = &now
	}
	s.render(ctx)
}

// step finds a step by its name; a name that the saga did not declare is added at the end.
func (s *saga) step(name string) *Step {
	for _, step := range s.steps {
		if step.Name == name {
			return step
		}
	}
	step := &Step{Name: name, State: StepPending}
	s.steps = append(s.steps, step)
	return step
}
