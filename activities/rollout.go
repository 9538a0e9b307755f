package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/domain"
)

// Routes tells how far the gateways are.
type Routes interface {
	// Head is the position of the last event in the tenant's lifecycle log.
	Head(ctx context.Context, tenant domain.Tenant) (int64, error)
	// Lagging lists the living gateways that have not taken in the tenant's lifecycle log up to a position.
	Lagging(ctx context.Context, tenant domain.Tenant, position int64) ([]string, error)
}

// Routing records what changes a target's traffic. Each change is complete when every living gateway
// routes by it, and only then the activity ends.
type Routing struct {
	Commands Commands
	Routes   Routes
}

// RolloutStart is the input of StartRollout.
type RolloutStart struct {
	Origin
	Command domain.StartRollout `json:"command"`
}

// TrafficShift is the input of ShiftTraffic.
type TrafficShift struct {
	Origin
	Command domain.ShiftTraffic `json:"command"`
}

// RolloutPromotion is the input of PromoteRollout.
type RolloutPromotion struct {
	Origin
	Command domain.PromoteRollout `json:"command"`
}

// RolloutReturn is the input of RollBackRollout.
type RolloutReturn struct {
	Origin
	Command domain.RollBackRollout `json:"command"`
}

// VersionDeployment is the input of DeployVersion.
type VersionDeployment struct {
	Origin
	Command domain.DeployModel `json:"command"`
}

// VersionUndeployment is the input of UndeployVersion.
type VersionUndeployment struct {
	Origin
	Command domain.UndeployModel `json:"command"`
}

// StartRollout records that the rollout began; it changes no traffic yet.
func (r *Routing) StartRollout(ctx context.Context, in RolloutStart) (domain.Result, error) {
	result, err := in.Do(ctx, r.Commands, in.Command)
	return result, Refusal(err)
}

// ShiftTraffic splits the target's traffic.
func (r *Routing) ShiftTraffic(ctx context.Context, in TrafficShift) (domain.Result, error) {
	return r.route(ctx, in.Origin, in.Command)
}

// PromoteRollout gives the candidate all traffic.
func (r *Routing) PromoteRollout(ctx context.Context, in RolloutPromotion) (domain.Result, error) {
	return r.route(ctx, in.Origin, in.Command)
}

// RollBackRollout gives the champion all traffic, or nobody when there is none.
func (r *Routing) RollBackRollout(ctx context.Context, in RolloutReturn) (domain.Result, error) {
	return r.route(ctx, in.Origin, in.Command)
}

// DeployVersion gives a version all traffic without a rollout.
func (r *Routing) DeployVersion(ctx context.Context, in VersionDeployment) (domain.Result, error) {
	return r.route(ctx, in.Origin, in.Command)
}

// UndeployVersion takes the model's traffic away from the target.
func (r *Routing) UndeployVersion(ctx context.Context, in VersionUndeployment) (domain.Result, error) {
	return r.route(ctx, in.Origin, in.Command)
}

func (r *Routing) route(ctx context.Context, origin Origin, cmd domain.Command) (domain.Result, error) {
	result, err := origin.Do(ctx, r.Commands, cmd)
	if err != nil {
		return result, Refusal(err)
	}
	return result, acknowledged(ctx, r.Routes, origin.Tenant, result.Position)
}

// The pace at which gateways are asked, and how long an attempt waits for them.
const (
	askEvery = 50 * time.Millisecond
	askLimit = 30 * time.Second
)

// acknowledged returns when no living gateway lags behind the position.
func acknowledged(ctx context.Context, routes Routes, tenant domain.Tenant, position int64) error {
	limit := time.Now().Add(askLimit)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-time.Second).Before(limit) {
		limit = deadline.Add(-time.Second)
	}
	for {
		names, err := routes.Lagging(ctx, tenant, position)
		if err != nil || len(names) == 0 {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("gateways %s do not route by position %d of tenant %s yet; are they stuck?",
				strings.Join(names, ", "), position, tenant)
		}
		activity.RecordHeartbeat(ctx, names)
		pause(ctx, askEvery)
		if err := attemptEnds(ctx); err != nil {
			return err
		}
	}
}

// attemptEnds tells why an attempt has to end: its context has, or its worker stops.
func attemptEnds(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		return errWorkerStops
	default:
		return nil
	}
}
