package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"phantom/domain"
)

// Route is how a model's requests at a target are split.
type Route struct {
	Tenant   domain.Tenant   `json:"tenant"`
	Model    domain.ModelID  `json:"model"`
	Target   domain.Target   `json:"target"`
	Weights  domain.Traffic  `json:"weights"`          // percent; a version with 0 answers when it is named
	Config   json.RawMessage `json:"config,omitempty"` // of the last deployment
	Position int64           `json:"position"`         // of the event that made it so

	settings Settings  // of Config
	order    []portion // newest version first
}

// portion ends where the next version's begins, in percent.
type portion struct {
	version domain.Version
	end     uint64
}

// prepare works out what every request needs. The newest version comes first, so that a candidate whose
// weight grows keeps the route keys that it has and takes more.
func (r *Route) prepare() {
	settings, err := ParseSettings(r.Config)
	if err != nil { // refused before it got into the log; served as if nothing were said
		settings = defaults()
	}
	r.settings = settings
	var end uint64
	for _, version := range r.versions() {
		end += uint64(max(0, r.Weights[version]))
		r.order = append(r.order, portion{version, end})
	}
}

// versions lists what is routed, newest first.
func (r *Route) versions() []domain.Version {
	number := func(v domain.Version) int {
		n, err := strconv.Atoi(string(v))
		if err != nil {
			return 0
		}
		return n
	}
	return slices.SortedFunc(maps.Keys(r.Weights), func(a, b domain.Version) int {
		return cmp.Or(cmp.Compare(number(b), number(a)), cmp.Compare(a, b))
	})
}

// choose picks the version for a route key; the same key gets the same version while the weights stand.
// Without a key it draws. False when no version has any weight.
func (r *Route) choose(key string) (domain.Version, bool) {
	if len(r.order) == 0 || r.order[len(r.order)-1].end == 0 {
		return "", false
	}
	const grain = 1 << 20 // parts of a percent, so that keys spread evenly over odd weights too
	total := r.order[len(r.order)-1].end * grain
	point := rand.Uint64N(total)
	if key != "" {
		sum := sha256.Sum256([]byte(string(r.Tenant) + "/" + string(r.Model) + "/" + string(r.Target) + "/" + key))
		point = binary.BigEndian.Uint64(sum[:8]) % total
	}
	for _, portion := range r.order {
		if point < portion.end*grain {
			return portion.version, true
		}
	}
	return "", false
}

type routeKey struct {
	tenant domain.Tenant
	model  domain.ModelID
	target domain.Target
}

type modelKey struct {
	tenant domain.Tenant
	model  domain.ModelID
}

// snapshot is what the file of routes holds.
type snapshot struct {
	Cursors map[domain.Tenant]int64 `json:"cursors"`
	Routes  []Route                 `json:"routes"`
}

// table is all routes as of the cursors. It is built once and then only read.
type table struct {
	cursors map[domain.Tenant]int64
	routes  map[routeKey]*Route
	models  map[modelKey][]*Route // by target
}

func newTable(saved snapshot) *table {
	fresh := &table{cursors: maps.Clone(saved.Cursors), routes: map[routeKey]*Route{}}
	if fresh.cursors == nil {
		fresh.cursors = map[domain.Tenant]int64{}
	}
	for _, route := range saved.Routes {
		route.prepare()
		fresh.routes[routeKey{route.Tenant, route.Model, route.Target}] = &route
	}
	fresh.arrange()
	return fresh
}

func (t *table) arrange() {
	t.models = make(map[modelKey][]*Route, len(t.routes))
	for key, route := range t.routes {
		model := modelKey{key.tenant, key.model}
		t.models[model] = append(t.models[model], route)
	}
	for _, routes := range t.models {
		slices.SortFunc(routes, func(a, b *Route) int { return cmp.Compare(a.Target, b.Target) })
	}
}

func (t *table) snapshot() snapshot {
	saved := snapshot{Cursors: t.cursors, Routes: make([]Route, 0, len(t.routes))}
	for _, route := range t.routes {
		saved.Routes = append(saved.Routes, *route)
	}
	slices.SortFunc(saved.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Target, b.Target))
	})
	return saved
}
