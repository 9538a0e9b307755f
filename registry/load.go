package registry

import (
	"context"
	"fmt"
	"time"

	"phantom/domain"
	"phantom/eventstore"
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
	events, err := r.store.Load(ctx, string(tenant), logOf(stream), storeStream(stream), eventstore.Range{})
	if err != nil {
		return nil, err
	}
	return decodeAll(events)
}

// PositionOf is the position in its log of one revision of a stream; 0 when the stream does not have it.
func (r *Registry) PositionOf(ctx context.Context, tenant domain.Tenant, stream domain.StreamID, revision int64) (int64, error) {
	found, err := r.store.Load(ctx, string(tenant), logOf(stream), storeStream(stream), eventstore.Range{From: revision, To: revision})
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].Position, nil
}

// PositionAt resolves an instant to a position of the tenant's lifecycle log, once: who wants the same answer again asks
// by the position. See eventstore.Store.
func (r *Registry) PositionAt(ctx context.Context, tenant domain.Tenant, at time.Time) (int64, error) {
	return r.store.PositionAt(ctx, string(tenant), eventstore.Lifecycle, at)
}

func (r *Registry) states(ctx context.Context, tenant domain.Tenant, stream domain.StreamID) (domain.Aggregates, error) {
	loaded, err := r.load(ctx, tenant, []domain.StreamID{stream}, "")
	return loaded.states, err
}

// loaded is what was read of streams.
type loaded struct {
	histories []eventstore.History // in the order asked for
	states    domain.Aggregates
	known     *eventstore.CommandRecord // then the histories are not folded
}

// load reads streams, each from its newest snapshot on, and what is known of a command.
func (r *Registry) load(ctx context.Context, tenant domain.Tenant, streams []domain.StreamID, commandID string) (loaded, error) {
	wants := make([]eventstore.Want, len(streams))
	for i, stream := range streams {
		wants[i] = eventstore.Want{Stream: storeStream(stream), Fingerprint: r.fingerprints[stream.Type]}
	}
	for {
		var l loaded
		var err error
		begun := time.Now()
		l.histories, l.known, err = r.store.Fetch(ctx, string(tenant), logOf(streams[0]), wants, commandID)
		if err != nil || l.known != nil {
			return l, err
		}
		took := time.Since(begun)
		unreadable := false
		for i, history := range l.histories {
			if l.states, err = folded(l.states, streams[i], history); err == nil {
				r.snapshots.consider(tenant, streams[i], history, took)
				continue
			}
			if history.Snapshot == nil {
				return loaded{}, err
			}
			wants[i].Fingerprint = "" // whatever is wrong with the snapshot, the events are the truth
			unreadable = true
		}
		if !unreadable {
			return l, nil
		}
	}
}

// folded adds a stream to the states.
func folded(states domain.Aggregates, stream domain.StreamID, history eventstore.History) (domain.Aggregates, error) {
	if history.Snapshot != nil {
		if err := states.UnmarshalState(stream.Type, history.Snapshot.State); err != nil {
			return states, fmt.Errorf("stream %s %s, snapshot at revision %d: %w", stream.Type, stream.ID, history.Snapshot.Revision, err)
		}
	}
	return states, fold(history.Events, states.Evolve)
}
