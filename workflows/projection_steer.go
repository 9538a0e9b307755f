package workflows

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// ProjectionPause is the payload of a ProjectionRunner's pause: of all tenants.
type ProjectionPause struct {
	Reason string `json:"reason,omitempty"`
}

// ProjectionRetry is the payload of retry.
type ProjectionRetry struct {
	Tenant domain.Tenant `json:"tenant,omitempty"` // "default"
}

// ProjectionRewind is the payload of rewind.
type ProjectionRewind struct {
	Tenant   domain.Tenant `json:"tenant,omitempty"` // "default"
	Position int64         `json:"position"`
}

// ProjectionRebuild is the payload of rebuild: of all tenants.
type ProjectionRebuild struct {
	Throttle *int `json:"throttle,omitempty"` // events a second at most; of a rebuild that is under way, too
	Back     bool `json:"back,omitempty"`     // make the former generation live again
	Drop     bool `json:"drop,omitempty"`     // give up the rebuild that is under way, or else the former generation
}

// projectionUpdate is something that a ProjectionRunner can be told.
type projectionUpdate struct{ what, description string }

func projectionUpdates() []projectionUpdate {
	return []projectionUpdate{
		{"pause", `Stop the projection, of all tenants: {"reason": "…"}.`},
		{"resume", "Let it go on: {}."},
		{"rewind", `Apply again what came after a position of a tenant's log: {"tenant": "default", "position": 7}.`},
		{"rebuild", `Fill a new generation, which goes live: {"throttle": 5000}, or {"back": true}, or {"drop": true}.`},
		{"retry", `Apply a tenant's parked events in order: {"tenant": "default"}.`},
	}
}

// steerProjection accepts the updates. Each is one activity, which writes down what every runner then finds.
func (s *saga) steerProjection(ctx workflow.Context, name string) error {
	for _, update := range projectionUpdates() {
		options := workflow.UpdateHandlerOptions{
			Description: update.description,
			Validator: func(_ workflow.Context, raw converter.RawValue) error {
				_, err := readSteering(name, update.what, raw)
				return activities.Refusal(err)
			},
		}
		handler := func(ctx workflow.Context, raw converter.RawValue) (activities.ProjectionStatus, error) {
			return s.steer(ctx, name, update.what, raw)
		}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, update.what, handler, options); err != nil {
			return err
		}
	}
	return nil
}

func (s *saga) steer(ctx workflow.Context, name, what string, raw converter.RawValue) (activities.ProjectionStatus, error) {
	var seen activities.ProjectionStatus
	in, err := readSteering(name, what, raw)
	if err != nil {
		return seen, activities.Refusal(err)
	}
	attempts := s.settings.Attempts
	if what == "rebuild" {
		attempts = 1 // told twice, a drop takes the next generation, and the way back leads forth again
	}
	options := activityOptions(steering, s.settings.Queues.Projection, what+" "+name, attempts)
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), (*activities.Projection)(nil).SteerProjection, in).Get(ctx, &seen)
	if err != nil {
		return seen, applicationError(err)
	}
	s.progress = projectionProgress(seen)
	s.render(ctx)
	return seen, nil
}

// readSteering decodes an update's payload strictly.
func readSteering(name, what string, raw converter.RawValue) (activities.ProjectionSteering, error) {
	in := activities.ProjectionSteering{Name: name, What: what}
	text, err := payloadJSON(raw)
	if err != nil {
		return in, err
	}
	switch what {
	case "pause":
		var p ProjectionPause
		err = decode(text, &p)
		in.Reason = p.Reason
	case "rewind":
		var p ProjectionRewind
		err = decode(text, &p)
		in.Tenant, in.Position = p.Tenant, p.Position
	case "rebuild":
		var p ProjectionRebuild
		err = decode(text, &p)
		in.Throttle, in.Back, in.Drop = p.Throttle, p.Back, p.Drop
	case "retry":
		var p ProjectionRetry
		err = decode(text, &p)
		in.Tenant = p.Tenant
	default:
		err = decode(text, &struct{}{})
	}
	if in.Tenant == "" {
		in.Tenant = domain.DefaultTenant
	}
	if err == nil && !in.Tenant.Valid() {
		err = &domain.InvalidInput{Field: "tenant", Reason: "is not of the form [a-z0-9][a-z0-9-]{0,62}"}
	}
	return in, err
}
