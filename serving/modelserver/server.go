// Package modelserver serves ONNX models over the Open Inference Protocol v2 (REST) with the model
// repository extension, in pure Go.
//
// What it promises: a model is READY only after it was admitted, compiled for every batch size that it
// will ever run, and gave its golden answers at each of them. What was loaded is loaded again after a
// restart before the server says READY. A broken model harms no other: it is refused at load, panics are
// caught, and every inference has a deadline. A model that is replaced or unloaded finishes its running
// inferences first.
//
// What it does not: it authenticates nobody (it stands behind the gateway, on loopback), keeps no history
// of versions (each version is a model with a name of its own) and runs no operator outside the list in
// admission.go. Deadlines for reading and writing belong to the http.Server around Handler.
//
// A repository is a folder with one folder a model: model.onnx, signature.json, golden.json and, for a
// classifier, labels.json. The file .loaded.json beside them lists what is loaded.
package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"phantom/serving/durable"
	"phantom/serving/oip"
)

// listFile names the durable list of loaded models in the repository.
const listFile = ".loaded.json"

// Params are the limits of a server. Zero values are replaced by the defaults named here.
type Params struct {
	MaxBatch     int           // rows that run at once, a power of two; default 64
	MaxRows      int           // rows of one request, run in pieces of MaxBatch; default 4096
	MaxBody      int64         // bytes of one request; default 16 MiB
	InferTimeout time.Duration // default 5 s
	LoadTimeout  time.Duration // default 60 s
	Log          *zap.Logger   // default none
}

func (p Params) withDefaults() Params {
	if p.MaxBatch == 0 {
		p.MaxBatch = 64
	}
	if p.MaxRows == 0 {
		p.MaxRows = 4096
	}
	if p.MaxBody == 0 {
		p.MaxBody = 16 << 20
	}
	if p.InferTimeout == 0 {
		p.InferTimeout = 5 * time.Second
	}
	if p.LoadTimeout == 0 {
		p.LoadTimeout = time.Minute
	}
	if p.Log == nil {
		p.Log = zap.NewNop()
	}
	return p
}

// Server holds the loaded models.
type Server struct {
	dir    string
	params Params
	work   work

	loading sync.Mutex // one load or unload at a time; taken before mu

	mu     sync.RWMutex
	ready  bool
	loaded map[string]*instance
	failed map[string]string // why a model that was asked for is not loaded
}

// New makes a server of the repository at dir, which is created when it is not there. It serves nothing
// before Recover. Close must be called in the end.
func New(dir string, params Params) (*Server, error) {
	params = params.withDefaults()
	if params.MaxBatch&(params.MaxBatch-1) != 0 || params.MaxBatch < 1 || params.MaxBatch > 1<<16 {
		return nil, fmt.Errorf("model server: MaxBatch %d is not a power of two up to 65536", params.MaxBatch)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("model server: make the repository: %w", err)
	}
	return &Server{dir: dir, params: params, loaded: map[string]*instance{}, failed: map[string]string{}}, nil
}

// Recover loads what was loaded when the server stopped, and then says READY. A model that cannot be
// loaded any more is shown as UNAVAILABLE with its reason and does not keep the others from serving. When
// the list itself is damaged, everything in the repository is loaded: unloading removes the files.
func (s *Server) Recover(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	names, err := s.listed()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("model server: recover: %w", err)
		}
		loaded, err := s.build(ctx, name)
		s.mu.Lock()
		if err == nil {
			s.loaded[name] = loaded
		} else {
			s.failed[name] = err.Error()
			s.params.Log.Error("a model is not served after the restart", zap.String("model", name), zap.Error(err))
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
	return nil
}

func (s *Server) listed() ([]string, error) {
	var names []string
	err := durable.Load(filepath.Join(s.dir, listFile), &names)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return names, nil
	case errors.Is(err, durable.ErrDamaged):
		s.params.Log.Error("the list of loaded models is damaged, loading all in the repository", zap.Error(err))
		return s.folders()
	}
	return nil, fmt.Errorf("model server: read the list of loaded models: %w", err)
}

// folders names the models in the repository, sorted.
func (s *Server) folders() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("model server: read the repository: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && validName(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// load makes the model READY; a model that is loaded from the same files already stays as it is.
func (s *Server) load(ctx context.Context, name string) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	if err := s.available(); err != nil {
		return err
	}
	fresh, err := s.build(ctx, name)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, serving := s.loaded[name]; !serving && !isNotFound(err) {
			s.failed[name] = err.Error()
		}
		return err
	}
	return s.swap(name, fresh)
}

// unload forgets the model; it is a 404 when it neither is loaded nor should be.
func (s *Server) unload(name string) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	if err := s.available(); err != nil {
		return err
	}
	s.mu.RLock()
	_, loaded := s.loaded[name]
	_, failed := s.failed[name]
	s.mu.RUnlock()
	if !loaded && !failed {
		return oip.Errorf(http.StatusNotFound, "model %s is not loaded", name)
	}
	return s.swap(name, nil)
}

// swap makes the list durable first and then changes what is served. The caller holds loading.
func (s *Server) swap(name string, fresh *instance) error {
	s.mu.RLock()
	old := s.loaded[name]
	names := make([]string, 0, len(s.loaded)+1)
	for other := range s.loaded {
		names = append(names, other)
	}
	for other := range s.failed { // what should be loaded stays on the list until it is unloaded
		names = append(names, other)
	}
	s.mu.RUnlock()
	if old != nil && old == fresh {
		return nil
	}
	names = slices.DeleteFunc(names, func(other string) bool { return other == name })
	if fresh != nil {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := durable.Save(filepath.Join(s.dir, listFile), names); err != nil {
		fresh.release()
		s.params.Log.Error("the list of loaded models cannot be written", zap.Error(err))
		return oip.Errorf(http.StatusInternalServerError, "the list of loaded models cannot be written")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, name)
	delete(s.loaded, name)
	if fresh != nil {
		s.loaded[name] = fresh
	}
	old.release()
	return nil
}

// acquire returns the model with a reference that the caller releases.
func (s *Server) acquire(name string) (*instance, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if model := s.loaded[name]; model != nil {
		model.refs.Add(1)
		return model, nil
	}
	if reason, failed := s.failed[name]; failed {
		return nil, oip.Errorf(http.StatusServiceUnavailable, "model %s is not ready: %s", name, reason)
	}
	if !s.ready {
		return nil, oip.Errorf(http.StatusServiceUnavailable, "the server is not ready")
	}
	return nil, oip.Errorf(http.StatusNotFound, "model %s not found", name)
}

func (s *Server) available() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.ready {
		return oip.Errorf(http.StatusServiceUnavailable, "the server is not ready")
	}
	return nil
}

// Close refuses new work, waits until ctx ends for what runs, and frees the models. What is loaded stays
// on the durable list.
func (s *Server) Close(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	s.mu.Lock()
	s.ready = false
	for name, model := range s.loaded {
		delete(s.loaded, name)
		model.release()
	}
	s.mu.Unlock()
	return s.work.stop(ctx)
}

func slots() int { return max(4, 2*runtime.GOMAXPROCS(0)) }

func isNotFound(err error) bool {
	var status *oip.StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}
