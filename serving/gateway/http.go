package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"phantom/domain"
	"phantom/serving/oip"
)

// The headers of an inference.
const (
	headerTarget      = "Phantom-Target"
	headerRouteKey    = "Phantom-Route-Key"
	headerSubject     = "Phantom-Subject"
	headerInferenceID = "Phantom-Inference-Id"
)

// Handler serves the protocol, without what changes a repository.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", g.getServer)
	mux.HandleFunc("GET /v2/{$}", g.getServer)
	mux.HandleFunc("GET /v2/health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /v2/health/ready", g.getReady)
	for _, base := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+base, g.withRoute(g.getModel))
		mux.HandleFunc("GET "+base+"/ready", g.withRoute(g.getModelReady))
		mux.HandleFunc("POST "+base+"/infer", g.withRoute(g.postInfer))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		oip.WriteError(w, oip.Errorf(http.StatusNotFound, "%s %.200s is not part of this server", r.Method, r.URL.Path))
	})
	return oip.Guard(mux, func(cause any) { g.params.Log.Error("a request panicked", zap.Any("cause", cause)) })
}

func (g *Gateway) getServer(w http.ResponseWriter, _ *http.Request) {
	oip.WriteJSON(w, http.StatusOK, oip.ServerMetadata{Name: "phantom-gateway", Version: "1", Extensions: []string{}})
}

func (g *Gateway) getReady(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-g.ready:
		w.WriteHeader(http.StatusOK)
	default:
		oip.WriteError(w, oip.Errorf(http.StatusServiceUnavailable, "the gateway starts: it does not know the latest routes yet"))
	}
}

// call is a request on its way: whose it is, and which version answers.
type call struct {
	tenant  domain.Tenant
	actor   domain.Actor
	route   *Route
	version domain.Version
	served  string // the version's name at the target
	address string // of the served model at the target
}

type routed func(w http.ResponseWriter, r *http.Request, c *call) error

// withRoute finds out who asks and who answers, and writes the error, if any.
func (g *Gateway) withRoute(next routed) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := g.route(r)
		if err == nil {
			err = next(w, r, c)
		}
		if err != nil {
			oip.WriteError(w, err)
		}
	}
}

func (g *Gateway) route(r *http.Request) (*call, error) {
	tenant, actor, err := g.params.Identify(r)
	if refused, ok := errors.AsType[*oip.StatusError](err); ok {
		return nil, refused
	}
	if err != nil {
		return nil, oip.Errorf(http.StatusUnauthorized, "%s", err)
	}
	model := domain.ModelID(r.PathValue("model"))
	route, err := g.find(tenant, model, domain.Target(r.Header.Get(headerTarget)))
	if err != nil {
		return nil, err
	}
	c := &call{tenant: tenant, actor: actor, route: route, version: domain.Version(r.PathValue("version"))}
	if c.version == "" {
		chosen, ok := route.choose(r.Header.Get(headerRouteKey))
		if !ok {
			return nil, oip.Errorf(http.StatusServiceUnavailable, "no version of %s takes requests at %s", model, route.Target)
		}
		c.version = chosen
	} else if alias := string(c.version); alias == "latest" || strings.HasPrefix(alias, "@") {
		return nil, oip.Errorf(http.StatusNotFound, "a gateway knows versions by their numbers alone: GET /api/v1/models/%s/versions/%.64s of the API says which one %.64s is",
			model, alias, alias)
	} else if _, ok := route.Weights[c.version]; !ok {
		return nil, oip.Errorf(http.StatusNotFound, "version %.20s of %s is not deployed at %s; deployed: %s",
			c.version, model, route.Target, strings.Join(texts(route.versions()), ", "))
	}
	base, ok := g.params.Targets[route.Target]
	if !ok {
		return nil, oip.Errorf(http.StatusServiceUnavailable, "this gateway knows no target %s", route.Target)
	}
	c.served = oip.ServedName(tenant, model, c.version)
	c.address = strings.TrimSuffix(base, "/") + "/v2/models/" + url.PathEscape(c.served)
	return c, nil
}

// find picks the route of a model: at the named target, the only one, or the default one.
func (g *Gateway) find(tenant domain.Tenant, model domain.ModelID, target domain.Target) (*Route, error) {
	routes := g.routes.Load().models[modelKey{tenant, model}]
	if len(routes) == 0 {
		if !g.known.Load() {
			return nil, oip.Errorf(http.StatusServiceUnavailable, "the routes are not known yet")
		}
		return nil, oip.Errorf(http.StatusNotFound, "model %.63s is not deployed", model)
	}
	names := make([]string, len(routes))
	for i, route := range routes {
		names[i] = string(route.Target)
	}
	at := func(name domain.Target) int { return slices.Index(names, string(name)) }
	switch {
	case target != "" && at(target) < 0:
		return nil, oip.Errorf(http.StatusNotFound, "model %s is not deployed at %.63s; it is at: %s",
			model, target, strings.Join(names, ", "))
	case target != "":
		return routes[at(target)], nil
	case len(routes) == 1:
		return routes[0], nil
	case at(g.params.DefaultTarget) >= 0:
		return routes[at(g.params.DefaultTarget)], nil
	}
	return nil, oip.Errorf(http.StatusBadRequest, "model %s is at several targets; name one in the header %s: %s",
		model, headerTarget, strings.Join(names, ", "))
}

func texts[T ~string](values []T) []string {
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = string(value)
	}
	return list
}

// getModel describes the model as its version does, under the model's own name.
func (g *Gateway) getModel(w http.ResponseWriter, r *http.Request, c *call) error {
	ctx, cancel := context.WithTimeout(r.Context(), g.params.Timeout)
	defer cancel()
	status, body, err := g.targets.send(ctx, http.MethodGet, c.address, nil)
	var meta oip.ModelMetadata
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &meta) != nil {
		return oip.Errorf(http.StatusServiceUnavailable, "version %s of %s does not answer at %s",
			c.version, c.route.Model, c.route.Target)
	}
	meta.Name, meta.Versions = string(c.route.Model), texts(c.route.versions())
	oip.WriteJSON(w, http.StatusOK, meta)
	return nil
}

// getModelReady asks the named version, or every version that gets requests.
func (g *Gateway) getModelReady(w http.ResponseWriter, r *http.Request, c *call) error {
	ctx, cancel := context.WithTimeout(r.Context(), g.params.Timeout)
	defer cancel()
	asked := []domain.Version{c.version}
	if r.PathValue("version") == "" {
		asked = slices.DeleteFunc(c.route.versions(), func(v domain.Version) bool { return c.route.Weights[v] == 0 })
	}
	base := strings.TrimSuffix(c.address, url.PathEscape(c.served))
	for _, version := range asked {
		address := base + url.PathEscape(oip.ServedName(c.tenant, c.route.Model, version)) + "/ready"
		if status, _, err := g.targets.send(ctx, http.MethodGet, address, nil); err != nil || status != http.StatusOK {
			return oip.Errorf(http.StatusServiceUnavailable, "version %s of %s is not ready at %s",
				version, c.route.Model, c.route.Target)
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
