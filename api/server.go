package api

import (
	"context"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"phantom/access"
	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
	"phantom/rollout"
)

// Params is what the API stands on.
type Params struct {
	Registry *registry.Registry
	Reader   *readmodel.Reader
	// WaitFor waits until a projection has seen a position of the tenant's log.
	WaitFor func(ctx context.Context, projection, tenant string, position int64) error
	// Projections are steered where they run, through PostgreSQL; this runner need not run.
	Projections *projection.Runner
	// Feed and Tail are those that the followers of this process share, of the lifecycle log.
	Feed     *eventstore.Reader
	Tail     *eventstore.Tail
	Temporal client.Client
	// Queue is the task queue of the sagas.
	Queue string
	// Keys are what the operations on keys work with.
	Keys *access.Keys
	// Verifier tells whose key a request carries; nil: authentication is off, and every caller is an admin.
	Verifier *access.Verifier
	// Operators are the tenants whose admins may do what concerns all tenants; of account with a Verifier alone.
	Operators []domain.Tenant
	// Targets are the places to serve from.
	Targets []domain.Target
	// Artifacts keeps model files; MaxArtifact is the largest that is taken, in bytes.
	Artifacts   *artifact.Store
	MaxArtifact int64
	Version     string
	Log         *zap.Logger
	// Stopping ends what follows without end, when the process is to end; may be nil.
	Stopping <-chan struct{}
}

type server struct {
	Params

	log   *zap.Logger
	roles map[string]access.Role // that each operation needs
	own   ownWrites
}

// The bounds of a request, in bytes, and how long its work may take.
const (
	maxBody      = 1 << 20
	maxFeedback  = 8 << 20
	maxURL       = 8 << 10
	requestLimit = 30 * time.Second
)

// New makes the handler of the whole API.
func New(params Params) http.Handler {
	mux := http.NewServeMux()
	api := register(mux, params)
	mux.HandleFunc("GET /openapi.json", describedPage(api))
	mux.HandleFunc("GET /docs", docsPage(api))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		write(w, problem(http.StatusNotFound, CodeNotFound, "there is no "+r.Method+" "+r.URL.Path+"; /docs lists what there is"))
	})
	return compressed(protect(params, mux))
}

// register puts every operation into the mux, and returns the API that describes them.
func register(mux *http.ServeMux, params Params) huma.API {
	s := &server{Params: params, log: params.Log, roles: operationRoles()}
	api := humago.New(mux, configuration(params.Version))
	api.UseMiddleware(s.authorise, wantJSON, wantPresent)
	s.models(api)
	s.search(api)
	s.retirement(api)
	s.versions(api)
	s.lineage(api)
	s.aliases(api)
	s.artifactStore(api)
	s.trainings(api)
	s.deployments(api)
	s.rollouts(api)
	s.analytics(api)
	s.events(api)
	s.sagas(api)
	s.feedback(api)
	nullable(api.OpenAPI().Components.Schemas)
	s.keys(api)
	s.projections(api)
	for _, name := range []string{"ErrorModel", "ErrorDetail"} { // huma's own; ours is Problem
		delete(api.OpenAPI().Components.Schemas.Map(), name)
	}
	return api
}

func configuration(version string) huma.Config {
	config := huma.DefaultConfig("Phantom", version)
	config.Info.Description = "Carries machine-learning models through their life: train, evaluate, approve, version, deploy with a canary, roll back."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // ours are in New
	config.CreateHooks = nil                                             // no $schema links in the answers
	config.Transformers = []huma.Transformer{ourWords}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"api_key": {Type: "http", Scheme: "bearer", BearerFormat: "phk_<id>_<secret>", Description: "Where the server runs with PHANTOM_AUTH=keys"},
	}
	config.Security = []map[string][]string{{"api_key": {}}}
	config.RejectUnknownQueryParameters = true
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	return config
}

// schemaName names a type in the description. Both a saga and a canary have a Step.
func schemaName(t reflect.Type, hint string) string {
	if t == typeOf[rollout.Step]() {
		return "CanaryStep"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// wantJSON refuses a body in another format than the operation takes.
func wantJSON(ctx huma.Context, next func(huma.Context)) {
	said := ctx.Header("Content-Type")
	if body := ctx.Operation().RequestBody; body != nil && said != "" {
		kind, _, err := mime.ParseMediaType(said)
		if _, taken := body.Content[kind]; err != nil || !taken {
			_, w := humago.Unwrap(ctx)
			takes := strings.Join(slices.Sorted(maps.Keys(body.Content)), " or ")
			write(w, problem(http.StatusBadRequest, CodeMalformed, "Content-Type: must be "+takes, ProblemField{Pointer: "Content-Type", Detail: "must be " + takes}))
			return
		}
	}
	next(ctx)
}

// operation is what all operations share.
func operation(id, method, path, summary, tag string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: maxBody + 1, // huma refuses the limit itself
	}
}

// handle registers an operation whose errors become problems.
func handle[I, O any](s *server, api huma.API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	handleFor(s, api, requestLimit, op, do)
}

// handleFor is handle for work that may take another time; 0 is without a limit.
func handleFor[I, O any](s *server, api huma.API, limit time.Duration, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Extensions = map[string]any{"x-phantom-role": s.roleOf(op.OperationID)}
	if operatorsOnly(op.OperationID) {
		op.Extensions["x-phantom-operators"] = true
		op.Description = strings.TrimSpace("Concerns all tenants: where the server runs with PHANTOM_AUTH=keys, only an admin of an operator tenant may (403 otherwise). " + op.Description)
	}
	op.Responses["default"] = &huma.Response{
		Description: "A problem (RFC 9457)", Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: api.OpenAPI().Components.Schemas.Schema(typeOf[Problem](), true, "")},
		},
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		limited := ctx
		if limit > 0 {
			var cancel context.CancelFunc
			limited, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		s.catchUp(limited, op.Method)
		out, err := do(limited, in)
		if err != nil {
			p := s.answer(ctx, err)
			if op.Method == http.MethodGet || op.Method == http.MethodDelete { // there is no body to point into
				p = unpointed(p)
			}
			return nil, p
		}
		return out, nil
	})
}

// unpointed is a problem whose fields are parameters.
func unpointed(p *Problem) *Problem {
	for i := range p.Errors {
		p.Errors[i].Pointer = strings.TrimPrefix(p.Errors[i].Pointer, "/")
	}
	return p
}

// write answers a problem outside of huma.
func write(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	maps.Copy(w.Header(), p.GetHeaders())
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller who left hears nothing
}
