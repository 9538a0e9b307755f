package modelserver

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"phantom/serving/oip"
)

// onlyVersion is the version of every model here: Phantom's versions are models of their own.
const onlyVersion = "1"

// Handler serves the protocol. It can be used before Recover: it then says that it lives and is not ready.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", s.getServer)
	mux.HandleFunc("GET /v2/{$}", s.getServer)
	mux.HandleFunc("GET /v2/health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /v2/health/ready", s.getReady)
	for _, base := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+base, s.withModel(s.getModel))
		mux.HandleFunc("GET "+base+"/ready", s.withModel(s.getModelReady))
		mux.HandleFunc("POST "+base+"/infer", s.withModel(s.postInfer))
	}
	mux.HandleFunc("POST /v2/repository/index", s.postIndex)
	mux.HandleFunc("POST /v2/repository/models/{model}/load", s.postLoad)
	mux.HandleFunc("POST /v2/repository/models/{model}/unload", s.postUnload)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		oip.WriteError(w, oip.Errorf(http.StatusNotFound, "%s %.200s is not part of this server", r.Method, r.URL.Path))
	})
	return oip.Guard(mux, func(cause any) { s.params.Log.Error("a request panicked", zap.Any("cause", cause)) })
}

func (s *Server) getServer(w http.ResponseWriter, _ *http.Request) {
	oip.WriteJSON(w, http.StatusOK, oip.ServerMetadata{
		Name: "phantom-modelserver", Version: "1", Extensions: []string{"model_repository"},
	})
}

func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.available(); err != nil {
		oip.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

type modelHandler func(w http.ResponseWriter, r *http.Request, model *instance) error

// withModel finds the model of the path, holds it while the request runs and writes the error, if any.
func (s *Server) withModel(next modelHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		model, err := s.acquire(r.PathValue("model"))
		if err != nil {
			oip.WriteError(w, err)
			return
		}
		defer model.release()
		if version := r.PathValue("version"); version != "" && version != onlyVersion {
			oip.WriteError(w, oip.Errorf(http.StatusNotFound, "model %s has no version %.20s", model.name, version))
			return
		}
		if err := next(w, r, model); err != nil {
			oip.WriteError(w, err)
		}
	}
}

func (s *Server) getModel(w http.ResponseWriter, _ *http.Request, model *instance) error {
	oip.WriteJSON(w, http.StatusOK, model.meta)
	return nil
}

func (s *Server) getModelReady(w http.ResponseWriter, _ *http.Request, model *instance) error {
	if model.overdue.Load() >= maxOverdue {
		return oip.Errorf(http.StatusServiceUnavailable, "model %s hangs", model.name)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) postInfer(w http.ResponseWriter, r *http.Request, model *instance) error {
	body, err := oip.ReadBody(w, r, s.params.MaxBody)
	if err != nil {
		return err
	}
	request, err := oip.DecodeRequest(body)
	if err != nil {
		return err
	}
	response, err := s.infer(r.Context(), model, request)
	if err != nil {
		return err
	}
	oip.WriteJSON(w, http.StatusOK, response)
	return nil
}

// postIndex lists what is loaded, what should be, and what lies in the repository unloaded.
func (s *Server) postIndex(w http.ResponseWriter, r *http.Request) {
	var query struct {
		Ready bool `json:"ready"`
	}
	body, err := oip.ReadBody(w, r, 1<<16)
	if err == nil && len(body) > 0 && json.Unmarshal(body, &query) != nil {
		err = oip.Errorf(http.StatusBadRequest, "the request is not JSON")
	}
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	folders, err := s.folders()
	if err != nil {
		s.params.Log.Error("the repository cannot be read", zap.Error(err))
		oip.WriteError(w, err)
		return
	}
	oip.WriteJSON(w, http.StatusOK, s.index(folders, query.Ready))
}

func (s *Server) index(folders []string, readyOnly bool) []oip.RepositoryModel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	models := make([]oip.RepositoryModel, 0, len(folders))
	for name := range s.loaded {
		models = append(models, oip.RepositoryModel{Name: name, Version: onlyVersion, State: oip.StateReady})
	}
	if readyOnly {
		folders = nil
	} else {
		for name, reason := range s.failed {
			models = append(models, oip.RepositoryModel{Name: name, State: oip.StateUnavailable, Reason: reason})
		}
	}
	for _, name := range folders {
		if s.loaded[name] == nil && s.failed[name] == "" {
			models = append(models, oip.RepositoryModel{Name: name, State: oip.StateUnavailable, Reason: "not loaded"})
		}
	}
	slices.SortFunc(models, func(a, b oip.RepositoryModel) int { return strings.Compare(a.Name, b.Name) })
	return models
}

func (s *Server) postLoad(w http.ResponseWriter, r *http.Request) {
	s.answer(w, s.load(r.Context(), r.PathValue("model")))
}

func (s *Server) postUnload(w http.ResponseWriter, r *http.Request) {
	s.answer(w, s.unload(r.PathValue("model")))
}

func (s *Server) answer(w http.ResponseWriter, err error) {
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}
