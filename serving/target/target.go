// Package target drives a server of the Open Inference Protocol v2 with the model repository extension:
// it brings a version's files there, loads, proves and unloads it.
//
// What it promises: every call can be repeated; after Load the server serves exactly the given files, and
// after Unload neither model nor files are left. Files appear in the repository whole or not at all, also
// after a crash. An error says whether trying again can help: ErrRefused never will by itself,
// ErrUnavailable may.
//
// What it does not: it retries nothing, it shifts no traffic, and it trusts no index: MLServer's says
// READY of what is broken, so only a model's own ready counts.
package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"phantom/artifact"
	"phantom/domain"
	"phantom/serving/oip"
)

var (
	// ErrRefused says that the server or a check refuses the model as it is; another try gives the same.
	ErrRefused = errors.New("the target refuses the model")
	// ErrUnavailable says that the server or its repository could not be reached or is not ready.
	ErrUnavailable = errors.New("the target is not available")
)

// Layout is how a server wants its repository.
type Layout string

// Phantom is the embedded model server's layout, the only one available yet.
const Phantom Layout = "phantom"

// callTimeout bounds a call of the server besides the caller's context; loading compiles the model.
const callTimeout = 2 * time.Minute

// Config describes a target.
type Config struct {
	Name       domain.Target
	URL        string // http://host:port of the server
	Repository string // a folder that the server reads; file:///… or a path
	Layout     Layout // empty means Phantom
	Token      string // shown to the server as a bearer token, unless empty
	// Client makes the calls; nil means one of the target's own.
	Client *http.Client
}

// Target is a server to deploy to. It is safe for concurrent use.
type Target struct {
	name       domain.Target
	base       string
	repository string
	client     *http.Client
	token      string
}

// New checks the configuration; what is wrong is a *domain.InvalidInput that names the field.
func New(config Config) (*Target, error) {
	if !config.Name.Valid() {
		return nil, &domain.InvalidInput{Field: "name", Reason: fmt.Sprintf("%q is not a target name", config.Name)}
	}
	field := func(name string) string { return "targets." + string(config.Name) + "." + name }
	if config.Layout != "" && config.Layout != Phantom {
		return nil, &domain.InvalidInput{Field: field("layout"), Reason: fmt.Sprintf("%q is not available yet; use phantom", config.Layout)}
	}
	address, err := url.Parse(config.URL)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return nil, &domain.InvalidInput{Field: field("url"), Reason: fmt.Sprintf("%q is not an http or https URL", config.URL)}
	}
	folder := strings.TrimPrefix(config.Repository, "file://")
	if strings.Contains(folder, "://") {
		return nil, &domain.InvalidInput{Field: field("repository"), Reason: "a repository that is no folder is not available yet"}
	}
	if !filepath.IsAbs(folder) {
		return nil, &domain.InvalidInput{Field: field("repository"), Reason: fmt.Sprintf("%q is not an absolute folder", config.Repository)}
	}
	client := config.Client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}}
	}
	return &Target{config.Name, strings.TrimSuffix(config.URL, "/"), filepath.Clean(folder), client, config.Token}, nil
}

// Name is the target's name.
func (t *Target) Name() domain.Target { return t.name }

// Close gives idle connections back.
func (t *Target) Close() { t.client.CloseIdleConnections() }

// Load brings the files into the repository and the model into the server, and returns when the server
// says that it serves it. The files of a served name never change: other files than those there replace
// them whole.
func (t *Target) Load(ctx context.Context, name string, files []artifact.File) error {
	if err := t.place(name, files); err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodPost, "/v2/repository/models/"+url.PathEscape(name)+"/load", nil, nil); err != nil {
		return fmt.Errorf("load %s at %s: %w", name, t.name, err)
	}
	return t.Ready(ctx, name)
}

// Ready asks the model itself.
func (t *Target) Ready(ctx context.Context, name string) error {
	if err := t.call(ctx, http.MethodGet, "/v2/models/"+url.PathEscape(name)+"/ready", nil, nil); err != nil {
		return fmt.Errorf("%s is not ready at %s: %w", name, t.name, err)
	}
	return nil
}

// CheckSignature holds what the server says of the model against the version's signature: the same
// inputs, and at least its outputs. A difference is ErrRefused.
func (t *Target) CheckSignature(ctx context.Context, name string, want domain.Signature) error {
	got, err := t.Metadata(ctx, name)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(got.Inputs, want.Inputs, equal) {
		return fmt.Errorf("%w: %s takes %v at %s, its signature says %v", ErrRefused, name, got.Inputs, t.name, want.Inputs)
	}
	for _, output := range want.Outputs {
		if !slices.ContainsFunc(got.Outputs, func(other domain.Tensor) bool { return equal(other, output) }) {
			return fmt.Errorf("%w: %s gives %v at %s, its signature says %v", ErrRefused, name, got.Outputs, t.name, want.Outputs)
		}
	}
	return nil
}

func equal(a, b domain.Tensor) bool {
	return a.Name == b.Name && a.Datatype == b.Datatype && slices.Equal(a.Shape, b.Shape)
}

// Metadata describes the loaded model.
func (t *Target) Metadata(ctx context.Context, name string) (oip.ModelMetadata, error) {
	var meta oip.ModelMetadata
	if err := t.call(ctx, http.MethodGet, "/v2/models/"+url.PathEscape(name), nil, &meta); err != nil {
		return meta, fmt.Errorf("ask %s at %s for its signature: %w", name, t.name, err)
	}
	return meta, nil
}

// Infer sends a request to the model.
func (t *Target) Infer(ctx context.Context, name string, request oip.InferRequest) (oip.InferResponse, error) {
	var response oip.InferResponse
	if err := t.call(ctx, http.MethodPost, "/v2/models/"+url.PathEscape(name)+"/infer", request, &response); err != nil {
		return response, fmt.Errorf("infer with %s at %s: %w", name, t.name, err)
	}
	return response, nil
}

// Unload takes the model out of the server and its files out of the repository.
func (t *Target) Unload(ctx context.Context, name string) error {
	err := t.call(ctx, http.MethodPost, "/v2/repository/models/"+url.PathEscape(name)+"/unload", nil, nil)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		err = nil // it is not loaded, which was asked for
	}
	if err != nil {
		return fmt.Errorf("unload %s at %s: %w", name, t.name, err)
	}
	return t.clear(name)
}
