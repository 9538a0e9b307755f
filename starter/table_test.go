package main_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// recorded is a Phantom that says what a real one said, with a model that was trained and deployed.
func recorded(t *testing.T) *server {
	t.Helper()
	const digits = "GET /api/v1/models/digits"
	s := newServer(t)
	for key, file := range map[string]string{
		"GET /api/v1/models":         "models.json",
		"GET /api/v1/models?limit=1": "models_limit_1.json",
		digits:                       "model.json",
		digits + "?at_revision=24":   "model.json",
		digits + "/versions":         "versions.json",
		digits + "/deployments":      "deployments.json",
		digits + "/analytics":        "analytics.json",
		digits + "/analytics?bucket=5m&from=2026-11-23T16%3A30%3A00Z": "analytics_none.json",
		digits + "/trainings/" + job + "/metrics?max_points=60":       "training_metrics.json",
		digits + "/events":                             "events.json",
		digits + "/trainings":                          "trainings.json",
		digits + "/trainings?limit=1":                  "trainings_limit_1.json",
		digits + "/trainings?limit=200":                "trainings.json",
		digits + "/trainings/" + job + "/metrics":      "training_metrics.json",
		digits + "/aliases":                            "aliases.json",
		digits + "/aliases/champion":                   "alias.json",
		digits + "/rollouts":                           "rollouts.json",
		digits + "/rollouts?limit=1":                   "rollouts_limit_1.json",
		digits + "/rollouts?limit=200":                 "rollouts.json",
		digits + "/trainings/" + job + "/logs":         "training_logs.txt",
		"GET /api/v1/trainings":                        "trainings.json",
		"GET /api/v1/rollouts":                         "rollouts.json",
		"GET /api/v1/trainings/" + job:                 "training.json",
		"GET /api/v1/rollouts/" + rolloutID:            "rollout.json",
		"GET /api/v1/models/letters/trainings":         "trainings_none.json",
		"GET /api/v1/models/letters/trainings?limit=1": "trainings_none.json",
		"GET /api/v1/sagas?waiting_for=approval":       "sagas_approval.json",
		"GET /api/v1/sagas/" + train:                   "saga_train_completed.json",
		"GET /api/v1/sagas/" + deploy:                  "saga_deploy_rolled_back.json",
		"GET /api/v1/search?q=team+vision":             "search.json",
		"GET /api/v1/search?limit=1&q=handwritten":     "search_limit_1.json",
		"GET /api/v1/search?q=nothing":                 "search_none.json",
		digits + "/versions/latest/lineage":            "lineage.json",
		digits + "/versions/1/lineage?as_of=15":        "lineage_past.json",
		"GET /api/v1/events?after=25":                  "stream.txt",
		"POST /v2/models/digits/infer":                 "infer.json",
		"POST /v2/models/digits/versions/2/infer":      "infer_three.json",
	} {
		s.says(key, http.StatusOK, file)
	}
	s.says("GET /api/v1/models/nope", http.StatusNotFound, "model_missing.json")
	s.says("GET /api/v1/models/nope/events", http.StatusNotFound, "model_missing.json")
	s.says("GET /api/v1/models/nope/versions/latest/lineage", http.StatusNotFound, "lineage_missing.json")
	s.says("GET /api/v1/models/letters/versions/latest/lineage", http.StatusNotFound, "lineage_none.json")
	s.says("GET /api/v1/search?q=%26", http.StatusUnprocessableEntity, "search_bad.json")
	s.says("POST /api/v1/models", http.StatusConflict, "model_exists.json")
	s.says("POST /api/v1/models/digits/trainings", http.StatusUnprocessableEntity, "training_invalid.json")
	s.says("POST /api/v1/sagas/"+deploy+"/approve", http.StatusConflict, "saga_not_allowed.json")
	s.says("POST /v2/models/nope/infer", http.StatusNotFound, "infer_missing.json")
	return s
}

// TestWhatPeopleSee plays the commands in testdata/*.txt; `go test ./starter -rewrite` writes what they
// print anew.
func TestWhatPeopleSee(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("testdata holds no commands", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s := recorded(t)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				c := command{environ: []string{"PHANTOM_GATEWAY_ADDR=" + strings.TrimPrefix(s.url, "http://")}, in: "{}", live: d.HasArg("terminal")}
				return c.run(s.during(t.Context()), t, s.url, strings.Fields(d.Input)...).String()
			})
		})
	}
}
