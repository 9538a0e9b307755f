package projection

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"phantom/eventstore"
)

// Status is where a projection stands.
type Status struct {
	Projection string         `json:"projection"`
	Log        eventstore.Log `json:"log"`
	Generation int            `json:"generation"` // the live one
	Tenants    []TenantStatus `json:"tenants"`    // by name
	// Lag is the number of positions that are not applied yet, of all tenants.
	Lag            int64      `json:"lag"`
	LastError      string     `json:"last_error"` // the latest that still stands; empty when all is well
	LastProgressAt *time.Time `json:"last_progress_at"`
}

// TenantStatus is where a projection stands in one tenant's log.
type TenantStatus struct {
	Tenant    string     `json:"tenant"`
	Position  int64      `json:"position"`
	Head      int64      `json:"head"`
	Lag       int64      `json:"lag"`
	Error     string     `json:"error"`
	StoppedAt *int64     `json:"stopped_at"` // the position of the event that cannot be applied
	FailedAt  *time.Time `json:"failed_at"`
	UpdatedAt *time.Time `json:"updated_at"`
}

// Status tells where a projection stands, for every tenant. It is for operators: Of narrows it to what a
// tenant may see.
func (r *Runner) Status(ctx context.Context, name string) (Status, error) {
	t, err := r.track(name)
	if err != nil {
		return Status{}, err
	}
	id, err := live(ctx, r.params.Pool, t.projection)
	if err != nil {
		return Status{}, err
	}
	places, err := id.readAll(ctx, r.params.Pool)
	if err != nil {
		return Status{}, err
	}
	// Read after the places, so that a head is never behind its place.
	heads, err := r.params.Feed.Heads(ctx, id.Log)
	if err != nil {
		return Status{}, fmt.Errorf("status of projection %s: heads of the log: %w", name, err)
	}
	known := make(map[string]place, len(places))
	for _, at := range places {
		known[at.Tenant] = at
	}
	tenants := make([]TenantStatus, 0, len(heads))
	for tenant, head := range heads {
		tenants = append(tenants, tenantStatus(tenant, head, known[tenant]))
	}
	status := Status{Projection: name, Log: id.Log, Generation: id.Generation}
	return status.with(tenants), nil
}

func tenantStatus(tenant string, head int64, at place) TenantStatus {
	status := TenantStatus{
		Tenant: tenant, Position: at.Position, Head: head, Lag: head - at.Position,
		StoppedAt: at.ErrorPosition, FailedAt: at.FailedAt,
	}
	if at.Error != nil {
		status.Error = *at.Error
	}
	if !at.UpdatedAt.IsZero() && at.Position > 0 {
		status.UpdatedAt = &at.UpdatedAt
	}
	return status
}

// Of is the status of one tenant alone.
func (s Status) Of(tenant string) Status {
	return s.with(slices.DeleteFunc(slices.Clone(s.Tenants), func(t TenantStatus) bool {
		return t.Tenant != tenant
	}))
}

// with sums up the tenants.
func (s Status) with(tenants []TenantStatus) Status {
	slices.SortFunc(tenants, func(a, b TenantStatus) int { return cmp.Compare(a.Tenant, b.Tenant) })
	s.Tenants, s.Lag, s.LastError, s.LastProgressAt = tenants, 0, "", nil
	var failed *time.Time
	for _, t := range tenants {
		s.Lag += t.Lag
		if later(t.UpdatedAt, s.LastProgressAt) {
			s.LastProgressAt = t.UpdatedAt
		}
		if later(t.FailedAt, failed) {
			failed, s.LastError = t.FailedAt, t.Error
		}
	}
	return s
}

func later(a, b *time.Time) bool {
	return a != nil && (b == nil || a.After(*b))
}
