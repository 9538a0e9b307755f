package e2e_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What `make test-api` sets.
var (
	schemathesis = flag.String("schemathesis", "", "the schemathesis program; without it the API is not held against its description") //nolint:gochecknoglobals // a flag
	fuzzSeed     = flag.Uint64("schemathesis.seed", 1, "what is drawn")                                                                //nolint:gochecknoglobals // a flag
	fuzzCases    = flag.Int("schemathesis.cases", 15, "the most requests of a kind for each operation")                                //nolint:gochecknoglobals // a flag
)

// fuzzLimit bounds the whole of schemathesis's run.
const fuzzLimit = 3 * time.Minute

// The description of the API is what it does: schemathesis makes requests of it, good ones and bad ones, about models,
// jobs, rollouts and sagas that are there and that are not. Whatever is sent, nothing is a server's error, and each answer
// has a status, a type, headers and a body that are described.
func TestTheAPIMeetsItsDescription(t *testing.T) {
	t.Parallel()
	if *schemathesis == "" {
		t.Skip("make test-api installs schemathesis and runs this")
	}
	p := start(t)
	p.createModel()
	p.champion()
	settings := filepath.Join(p.folder, "schemathesis.toml")
	require.NoError(t, os.WriteFile(settings, []byte(p.fuzzSettings()), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), fuzzLimit)
	defer cancel()
	run := exec.CommandContext(ctx, *schemathesis, "--config-file", settings, "run", p.api.URL+"/openapi.json", "--no-color",
		"--seed", strconv.FormatUint(*fuzzSeed, 10), "--max-examples", strconv.Itoa(*fuzzCases))
	run.Dir = p.folder
	output, err := run.CombinedOutput()
	t.Logf("%s", output)
	require.NoError(t, err, "to see it again: make test-api SEED=%d", *fuzzSeed)
	p.stillServes()
}

// fuzzSettings names things that are there, so that requests get further than "not found".
//
// Phantom-Min-Position asks to wait for what nobody will write, which ends after ten seconds with the 503 that is
// described: it is not drawn. A saga that trains or deploys for real is not drawn either, since a valid body names a data set
// or a version, which no chance finds: what is started ends at once, with its reason.
func (p *phantom) fuzzSettings() string {
	var jobs, rollouts struct {
		Items []struct {
			Job     string `json:"training_job_id"`
			Rollout string `json:"rollout_id"`
		} `json:"items"`
	}
	var sagas struct {
		Items []saga `json:"items"`
	}
	require.NoError(p.t, p.get("/api/v1/trainings", &jobs))
	require.NoError(p.t, p.get("/api/v1/rollouts", &rollouts))
	require.NoError(p.t, p.get("/api/v1/sagas", &sagas))
	var s strings.Builder
	s.WriteString(`
[phases.coverage]
unexpected-methods = ["DELETE", "PATCH"]
[phases.stateful]
enabled = false # the description has no links
[generation]
database = "none"
[checks]
enabled = false
not_a_server_error.enabled = true
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_headers_conformance.enabled = true
response_schema_conformance.enabled = true
`)
	known := map[string]any{
		"model_id": []string{model}, "target": []string{"local"}, "version": []string{"1"}, "job": []string{jobs.Items[0].Job},
		"rollout": []string{rollouts.Items[0].Rollout}, "saga_id": []string{sagas.Items[0].SagaID, sagas.Items[1].SagaID},
	}
	for name, values := range known {
		text, err := json.Marshal(values)
		require.NoError(p.t, err)
		fmt.Fprintf(&s, "[dictionaries.%s]\nvalues = %s\n", name, text)
	}
	s.WriteString("[parameters]\n\"header.Phantom-Min-Position\" = \"0\"\n")
	for name := range known {
		fmt.Fprintf(&s, "\"path.%s\" = { dictionary = %q, probability = 0.7 }\n", name, name)
	}
	return s.String()
}

// stillServes checks that whatever was sent left a worker that does its work.
func (p *phantom) stillServes() {
	p.t.Helper()
	var answer struct {
		Name string `json:"name"`
	}
	require.NoError(p.t, p.get("/api/v1/models/"+model, &answer))
	require.Equal(p.t, "Digits", answer.Name)
	history := p.events(model)
	require.NotEmpty(p.t, history)
}
