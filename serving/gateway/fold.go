package gateway

import (
	"maps"

	"phantom/domain"
)

// routeEvents are the types that change a route.
func routeEvents() []string {
	return []string{"TrafficShifted", "ModelDeployed", "ModelUndeployed", "RolloutRolledBack"}
}

// fold returns the table after the pages, and whether a route changed. The old table stays as it is:
// requests read it meanwhile.
func (t *table) fold(pages []Page) (next *table, changed bool) {
	next = &table{cursors: maps.Clone(t.cursors), routes: maps.Clone(t.routes)}
	for _, page := range pages {
		for _, recorded := range page.Events {
			if recorded.Position > t.cursors[page.Tenant] && next.apply(page.Tenant, recorded) {
				changed = true
			}
		}
		next.cursors[page.Tenant] = max(next.cursors[page.Tenant], page.Through)
	}
	if !changed {
		next.models = t.models
		return next, false
	}
	next.arrange()
	return next, true
}

func (t *table) apply(tenant domain.Tenant, recorded domain.Recorded) bool {
	model := recorded.Stream.Model()
	switch event := recorded.Event.(type) {
	case domain.TrafficShifted:
		t.set(tenant, model, event.Target, recorded.Position, func(r *Route) { r.Weights = event.Weights })
	case domain.ModelDeployed:
		t.set(tenant, model, event.DeploymentTarget, recorded.Position, func(r *Route) {
			r.Weights = domain.Traffic{event.Version: 100}
			r.Config = event.DeploymentConfig
		})
	case domain.RolloutRolledBack:
		if event.RestoredVersion == "" {
			delete(t.routes, routeKey{tenant, model, event.Target})
			break
		}
		t.set(tenant, model, event.Target, recorded.Position, func(r *Route) {
			r.Weights = domain.Traffic{event.RestoredVersion: 100}
		})
	case domain.ModelUndeployed:
		delete(t.routes, routeKey{tenant, model, event.DeploymentTarget})
	default:
		return false
	}
	return true
}

func (t *table) set(tenant domain.Tenant, model domain.ModelID, target domain.Target, position int64, change func(*Route)) {
	key := routeKey{tenant, model, target}
	route := &Route{Tenant: tenant, Model: model, Target: target}
	if old := t.routes[key]; old != nil {
		route.Config = old.Config
	}
	change(route)
	route.Position = position
	route.prepare()
	t.routes[key] = route
}

// behind are the cursors of the tenants whose log goes on after them.
func (t *table) behind(heads map[domain.Tenant]int64) map[domain.Tenant]int64 {
	cursors := map[domain.Tenant]int64{}
	for tenant, head := range heads {
		if cursor := t.cursors[tenant]; head > cursor {
			cursors[tenant] = cursor
		}
	}
	return cursors
}

// forget drops what is known of tenants whose log ends before their cursor: it is the log of another
// database, or of an older backup, and is folded from its beginning.
func (t *table) forget(heads map[domain.Tenant]int64) (next *table, forgotten []domain.Tenant) {
	for tenant, cursor := range t.cursors {
		if heads[tenant] < cursor {
			forgotten = append(forgotten, tenant)
		}
	}
	if len(forgotten) == 0 {
		return t, nil
	}
	next = &table{cursors: maps.Clone(t.cursors), routes: maps.Clone(t.routes)}
	for _, tenant := range forgotten {
		delete(next.cursors, tenant)
		maps.DeleteFunc(next.routes, func(key routeKey, _ *Route) bool { return key.tenant == tenant })
	}
	next.arrange()
	return next, forgotten
}
