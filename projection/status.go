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
	Projection  string         `json:"projection"`
	Log         eventstore.Log `json:"log"`
	PausedAt    *time.Time     `json:"paused_at"`
	PauseReason string         `json:"pause_reason"`
	Generation  int            `json:"generation"` // the live one
	Generations []Generation   `json:"generations"`
	Tenants     []TenantStatus `json:"tenants"` // by name
	// Lag is the number of positions that are not applied yet, of all tenants.
	Lag            int64      `json:"lag"`
	Parked         int64      `json:"parked"`     // events that wait for a retry
	LastError      string     `json:"last_error"` // the latest that still stands; empty when all is well
	LastProgressAt *time.Time `json:"last_progress_at"`
}

// Generation is how far one generation of a projection is, over all tenants.
type Generation struct {
	Generation int        `json:"generation"`
	State      BuildState `json:"state"`
	Percentage float64    `json:"percentage"` // of the positions in the logs
	// Rate is how many positions a second it has passed since it was made; while it is filled.
	Rate *float64 `json:"rate"`
	// ETASeconds is how long the rest takes at that rate; while it is filled, and once a rate is known.
	ETASeconds *float64  `json:"eta_seconds"`
	Throttle   *int      `json:"throttle"` // events a second at most
	MadeAt     time.Time `json:"made_at"`
	// Hidden is how many events it parks and the live one shows: it does not go live before they are retried. Rate and Hidden
	// tell of other tenants; who may not see them sees nil.
	Hidden *int64 `json:"hidden"`
}

// TenantStatus is where a projection stands in one tenant's log.
type TenantStatus struct {
	Tenant    string     `json:"tenant"`
	Position  int64      `json:"position"`
	Head      int64      `json:"head"`
	Lag       int64      `json:"lag"`
	Parked    int64      `json:"parked"`
	Error     string     `json:"error"`
	StoppedAt *int64     `json:"stopped_at"` // the position of the event that cannot be applied
	FailedAt  *time.Time `json:"failed_at"`
	UpdatedAt *time.Time `json:"updated_at"`
}

// Status tells where a projection stands, for every tenant. It is for operators: Of narrows it to what a
// tenant may see.
func (r *Runner) Status(ctx context.Context, name string) (Status, error) {
	if _, err := r.track(name); err != nil {
		return Status{}, err
	}
	all, err := r.statuses(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return all[0], nil
}

// Statuses is the Status of every projection, in the order in which they were given. It asks for the heads of a log once.
func (r *Runner) Statuses(ctx context.Context) ([]Status, error) {
	return r.statuses(ctx, r.Names()...)
}

func (r *Runner) statuses(ctx context.Context, names ...string) ([]Status, error) {
	heads := map[eventstore.Log]map[string]int64{}
	all := make([]Status, 0, len(names))
	for _, name := range names {
		t := r.tracks[name]
		log := t.projection.Log()
		if err := register(ctx, r.params.Pool, t.projection); err != nil {
			return nil, err
		}
		if heads[log] == nil {
			var err error
			if heads[log], err = r.params.Feed.Heads(ctx, log); err != nil {
				return nil, fmt.Errorf("status of projection %s: heads of the log: %w", name, err)
			}
		}
		status, err := r.status(ctx, t, heads[log])
		if err != nil {
			return nil, err
		}
		all = append(all, status)
	}
	return all, nil
}

func (r *Runner) status(ctx context.Context, t *track, heads map[string]int64) (Status, error) {
	name := t.projection.Name()
	builds, err := r.builds(ctx, name)
	if err != nil {
		return Status{}, err
	}
	now, _ := in(builds, Live)
	status := Status{
		Projection: name, Log: t.projection.Log(), Generation: now.Generation, PausedAt: now.PausedAt, PauseReason: now.Reason,
		Generations: []Generation{},
	}
	tenants := make([]TenantStatus, 0, len(heads))
	for _, b := range builds {
		places, err := r.places(ctx, b.identity(t))
		if err != nil {
			return Status{}, err
		}
		g := generationStatus(b, places, heads)
		g.Hidden = new(int64)
		if b.State != Live {
			d, err := between(ctx, r.params.Pool, name, now.Generation, b.Generation)
			if err != nil {
				return Status{}, err
			}
			g.Hidden = &d.Beyond
		}
		for tenant, head := range heads {
			if b.State == Live {
				tenants = append(tenants, tenantStatus(tenant, head, places[tenant]))
			}
		}
		status.Generations = append(status.Generations, g)
	}
	return status.with(tenants), nil
}

func (r *Runner) places(ctx context.Context, id identity) (map[string]place, error) {
	found, err := id.readAll(ctx, r.params.Pool)
	known := make(map[string]place, len(found))
	for _, at := range found {
		known[at.Tenant] = at
	}
	return known, err
}

func generationStatus(b build, places map[string]place, heads map[string]int64) Generation {
	var applied, total int64
	for tenant, head := range heads {
		applied += places[tenant].Position
		total += head
	}
	g := Generation{
		Generation: b.Generation, State: b.State, Percentage: 100, Throttle: b.PerSecond, MadeAt: b.MadeAt.UTC(),
	}
	if total > 0 {
		g.Percentage = min(100, 100*float64(applied)/float64(total))
	}
	if b.State == Filling && b.Age > 0 {
		per := float64(applied) / b.Age
		g.Rate = &per
		if per > 0 {
			left := float64(max(0, total-applied)) / per
			g.ETASeconds = &left
		}
	}
	return g
}

func tenantStatus(tenant string, head int64, at place) TenantStatus {
	head = max(head, at.Position) // the place was read later
	status := TenantStatus{
		Tenant: tenant, Position: at.Position, Head: head, Lag: head - at.Position,
		Parked: at.Parked, StoppedAt: at.ErrorPosition, FailedAt: at.FailedAt,
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
	s.Tenants, s.Lag, s.Parked, s.LastError, s.LastProgressAt = tenants, 0, 0, "", nil
	var failed *time.Time
	for _, t := range tenants {
		s.Lag += t.Lag
		s.Parked += t.Parked
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
