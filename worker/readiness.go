package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"phantom/internal/config"
)

// readiness knows which roles do not serve yet.
type readiness struct {
	mu      sync.Mutex
	waiting map[config.Role]string // why
}

func newReadiness(roles config.Roles) *readiness {
	r := &readiness{waiting: map[config.Role]string{}}
	for _, role := range roles {
		r.waiting[role] = "starts"
	}
	return r
}

// is says that a role serves.
func (r *readiness) is(role config.Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, role)
}

// not says why a role does not serve.
func (r *readiness) not(role config.Role, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[role] = why
}

// missing lists the roles that do not serve, each with its reason.
func (r *readiness) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for role, why := range r.waiting {
		lines = append(lines, fmt.Sprintf("%s: %s", role, why))
	}
	slices.Sort(lines)
	return lines
}

// operations serves what operators and their machines ask: health, metrics, profiles.
func operations(r *readiness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := r.missing(); len(missing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, strings.Join(missing, "\n"))
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
