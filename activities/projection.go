package activities

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/domain"
)

// Projections tells how the worker's projection loops are.
type Projections interface {
	// Status is an ErrNotFound for a projection that this worker does not run.
	Status(ctx context.Context, name string) (ProjectionStatus, error)
	// Steer tells a projection what to do. *domain.InvalidState when it cannot do that now.
	Steer(ctx context.Context, s ProjectionSteering) error
}

// ProjectionSteering is what a projection is told, by whoever has the right to start workflows.
type ProjectionSteering struct {
	Name string `json:"name"`
	What string `json:"what"` // pause, resume, rewind, rebuild, retry

	Reason   string        `json:"reason,omitempty"`
	Tenant   domain.Tenant `json:"tenant,omitempty"` // of rewind and retry
	Position int64         `json:"position,omitempty"`
	Throttle *int          `json:"throttle,omitempty"`
	Back     bool          `json:"back,omitempty"`
	Drop     bool          `json:"drop,omitempty"`
}

// ProjectionStatus is how far a projection is, summed over all tenants.
type ProjectionStatus struct {
	Applied int64  `json:"applied"`           // positions that the checkpoints have passed
	Head    int64  `json:"head"`              // positions in the logs
	Parked  int64  `json:"parked"`            // events that wait for a retry
	Failure string `json:"failure,omitempty"` // that still stands, in one line
	Paused  bool   `json:"paused,omitempty"`
	// Rebuild is how far a rebuild is that is under way.
	Rebuild *ProjectionRebuild `json:"rebuild,omitempty"`
}

// ProjectionRebuild is how far a new generation is filled.
type ProjectionRebuild struct {
	Generation int     `json:"generation"`
	Percentage float64 `json:"percentage"`
	Rate       float64 `json:"rate"` // positions a second
	ETASeconds float64 `json:"eta_seconds"`
}

// Projection attaches to projection loops.
type Projection struct {
	Projections Projections
	Signals     Signals
}

// ProjectionAttach is the input of AttachProjection.
type ProjectionAttach struct {
	Name string `json:"name"`
}

// The pace of an attached activity. It ends after so many reports that its workflow's history stays short.
const (
	attachEvery       = time.Second
	attachReportEvery = 10 * time.Second
	attachReports     = 50
	stalledAfter      = time.Minute
)

// AttachProjection watches a projection's loop: it heartbeats, signals changes to its workflow, and
// returns the last status when it has reported often enough. A loop that stands still is an error, which
// the heartbeat alone would hide.
func (p *Projection) AttachProjection(ctx context.Context, in ProjectionAttach) (ProjectionStatus, error) {
	var told ProjectionStatus
	var toldAt time.Time
	moves := moving{at: time.Now()}
	for reports := 0; reports < attachReports; {
		seen, err := p.Projections.Status(ctx, in.Name)
		if err != nil {
			return seen, Refusal(err)
		}
		if err := moves.look(in.Name, seen); err != nil {
			return seen, err
		}
		if changed(told, seen) && time.Since(toldAt) >= attachReportEvery {
			told, toldAt = seen, time.Now()
			reports++
			p.tell(ctx, seen)
		}
		activity.RecordHeartbeat(ctx, seen)
		if err := p.wait(ctx); err != nil {
			return seen, err
		}
	}
	return told, nil
}

// SteerProjection tells a projection what to do, through PostgreSQL, and answers with how it is then.
func (p *Projection) SteerProjection(ctx context.Context, in ProjectionSteering) (ProjectionStatus, error) {
	if err := p.Projections.Steer(ctx, in); err != nil {
		return ProjectionStatus{}, Refusal(err)
	}
	seen, err := p.Projections.Status(ctx, in.Name)
	if err != nil {
		err = fmt.Errorf("projection %s has been told to %s, but how it is now cannot be read: %w", in.Name, in.What, err)
	}
	return seen, Refusal(err)
}

// moving tells whether a projection that has something to do does it.
type moving struct {
	applied int64
	at      time.Time
}

func (m *moving) look(name string, seen ProjectionStatus) error {
	if seen.Applied != m.applied || seen.Applied >= seen.Head || seen.Paused {
		m.applied, m.at = seen.Applied, time.Now()
	}
	if silent := time.Since(m.at); silent > stalledAfter {
		return fmt.Errorf("projection %s stands at %d of %d for %s: %s", name, seen.Applied, seen.Head,
			silent.Round(time.Second), cmp.Or(seen.Failure, "its worker's log says why"))
	}
	return nil
}

func changed(a, b ProjectionStatus) bool {
	return a.Applied != b.Applied || a.Head != b.Head || a.Parked != b.Parked || a.Failure != b.Failure || a.Paused != b.Paused ||
		(a.Rebuild == nil) != (b.Rebuild == nil) || a.Rebuild != nil && *a.Rebuild != *b.Rebuild
}

func (p *Projection) wait(ctx context.Context) error {
	timer := time.NewTimer(attachEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		return errWorkerStops
	case <-timer.C:
		return nil
	}
}

func (p *Projection) tell(ctx context.Context, seen ProjectionStatus) {
	execution := activity.GetInfo(ctx).WorkflowExecution
	limited, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	if err := p.Signals.SignalWorkflow(limited, execution.ID, execution.RunID, SignalProgress, seen); err != nil {
		activity.GetLogger(ctx).Warn("progress not signalled", "error", err.Error())
	}
}
