package registry

import (
	"context"

	"phantom/domain"
)

// Model loads a model's present state; one that does not exist is the zero value.
func (r *Registry) Model(ctx context.Context, tenant domain.Tenant, id domain.ModelID) (domain.Model, error) {
	states, err := r.states(ctx, tenant, domain.ModelStream(id))
	return states.Model, err
}

// Training loads the present state of a training job's stream; one without events is the zero value.
func (r *Registry) Training(ctx context.Context, tenant domain.Tenant, model domain.ModelID, job domain.JobID) (domain.TrainingJob, error) {
	states, err := r.states(ctx, tenant, domain.TrainingStream(model, job))
	return states.Training, err
}

// Rollout loads the present state of a rollout's stream; one without events is the zero value.
func (r *Registry) Rollout(ctx context.Context, tenant domain.Tenant, model domain.ModelID, rollout domain.RolloutID) (domain.Rollout, error) {
	states, err := r.states(ctx, tenant, domain.RolloutStream(model, rollout))
	return states.Rollout, err
}

// Recorded reads a whole stream; one that does not exist has no events.
func (r *Registry) Recorded(ctx context.Context, tenant domain.Tenant, stream domain.StreamID) ([]domain.Recorded, error) {
	loaded, _, err := r.store.Fetch(ctx, string(tenant), logOf(stream), storeStreams([]domain.StreamID{stream}), "")
	if err != nil {
		return nil, err
	}
	return decodeAll(loaded[0])
}

func (r *Registry) states(ctx context.Context, tenant domain.Tenant, stream domain.StreamID) (domain.Aggregates, error) {
	var states domain.Aggregates
	history, err := r.Recorded(ctx, tenant, stream)
	if err != nil {
		return states, err
	}
	for _, recorded := range history {
		states.Evolve(recorded)
	}
	return states, nil
}
