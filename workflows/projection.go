package workflows

import (
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// ProjectionRunnerInput names the projection to attach to.
type ProjectionRunnerInput struct {
	Name string `json:"name"`
	// Seen is what the run before this one saw last.
	Seen *activities.ProjectionStatus `json:"seen,omitempty"`
}

const stepApply = "apply"

// ProjectionRunner makes a projection visible in Temporal: one heartbeating activity attaches to the loop
// that a worker runs, and reports how far it is. The loop itself belongs to the worker, so projections
// keep applying while Temporal is away; cancelling this workflow stops the watching, not the loop. It runs
// until it is cancelled, and continues as new whenever its activity has reported enough. The updates pause, resume, rewind,
// rebuild and retry write down in PostgreSQL what the API writes, where every loop finds it.
func (w *Sagas) ProjectionRunner(ctx workflow.Context, raw converter.RawValue) error {
	s, err := w.open(ctx, KindProjectionRunner, []string{stepApply})
	if err != nil {
		return err
	}
	input, err := readProjectionRunner(raw)
	if err != nil {
		return s.close(ctx, "", activities.Refusal(err))
	}
	s.title = "projection " + input.Name
	s.note(ctx, keyKind().ValueSet(s.kind))
	if input.Seen != nil {
		s.progress = projectionProgress(*input.Seen)
	}
	s.followProjection(ctx)
	if err := s.steerProjection(ctx, input.Name); err != nil {
		return err
	}
	seen := activities.ProjectionStatus{}
	attach := effect{
		step: stepApply, class: attached, queue: s.settings.Queues.Projection,
		summary: "attach to projection " + input.Name, out: &seen,
	}
	err = s.perform(ctx, attach, (*activities.Projection)(nil).AttachProjection, func(activities.Origin) any {
		return activities.ProjectionAttach{Name: input.Name}
	})
	if err != nil {
		return s.close(ctx, "", err)
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return s.close(ctx, "", err)
	}
	if err := ctx.Err(); err != nil { // the next run would not know that it is cancelled
		return s.close(ctx, "", err)
	}
	return workflow.NewContinueAsNewError(ctx, KindProjectionRunner, ProjectionRunnerInput{Name: input.Name, Seen: &seen})
}

func readProjectionRunner(raw converter.RawValue) (ProjectionRunnerInput, error) {
	var input ProjectionRunnerInput
	text, err := payloadJSON(raw)
	if err != nil {
		return input, err
	}
	if err := decode(text, &input); err != nil {
		return input, err
	}
	if input.Name == "" {
		return input, &domain.InvalidInput{Field: "name", Reason: "is required: which projection?"}
	}
	return input, nil
}

// followProjection keeps what the attached activity signals.
func (s *saga) followProjection(ctx workflow.Context) {
	signals := workflow.GetSignalChannelWithOptions(ctx, activities.SignalProgress,
		workflow.SignalChannelOptions{Description: "How far the projection is; sent by its activity."})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var seen activities.ProjectionStatus
			signals.Receive(ctx, &seen)
			s.progress = projectionProgress(seen)
			s.position = seen.Applied
			s.step(stepApply).Detail = s.progress.Message
			s.render(ctx)
		}
	})
}

// projectionProgress puts a projection's status into the words of the query progress.
func projectionProgress(seen activities.ProjectionStatus) Progress {
	p := Progress{
		Percentage: 100, Message: fmt.Sprintf("%d of %d events applied, %d parked", seen.Applied, seen.Head, seen.Parked),
		Metrics: map[string]float64{"lag": float64(max(0, seen.Head-seen.Applied)), "parked": float64(seen.Parked)},
	}
	if seen.Head > 0 {
		p.Percentage = min(100, 100*float64(seen.Applied)/float64(seen.Head))
	}
	if seen.Paused {
		p.Message += "; paused"
	}
	if r := seen.Rebuild; r != nil {
		p.Message += fmt.Sprintf("; generation %d is filled to %.0f %%, %.0f/s", r.Generation, r.Percentage, r.Rate)
		p.Metrics["rebuild_percentage"], p.Metrics["rebuild_rate"], p.Metrics["rebuild_eta_seconds"] = r.Percentage, r.Rate, r.ETASeconds
	}
	if seen.Failure != "" {
		p.Message += "; last error: " + seen.Failure
	}
	return p
}
