package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	apiclient "phantom/api/client"
)

// Data that cannot be learned from fails the training with one line that names the field; what began is
// recorded as failed, and nothing else stands there.
func TestBadDataIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	folder := filepath.Join(p.folder, "locked")
	require.NoError(t, os.Mkdir(folder, 0o700))
	for _, c := range []struct {
		name, file, content, label, says string
	}{
		{"a label column that is not there", "a.csv", "x,y\n1,2\n", "label", "data.train.label"},
		{"a value that is no number", "b.csv", "x,label\n1,a\nNaN,b\n", "label", "data.train: row 2, column x"},
		{"an empty file", "c.csv", "", "label", "data.train"},
		{"a header without rows", "d.csv", "x,label\n", "label", "data.train"},
		{"a ragged row", "e.csv", "x,label\n1,a\n2\n", "label", "data.train: row 2"},
		{"a folder", "locked", "", "label", "data.train.uri"},
		{"no such file", "none.csv", "", "label", "data.train.uri"},
		{"a file outside of the roots", "../../../etc/passwd", "", "label", "data.train.uri"},
	} {
		if c.content != "" || c.name == "an empty file" {
			require.NoError(t, os.WriteFile(filepath.Join(p.folder, c.file), []byte(c.content), 0o600))
		}
		history := p.events(model)
		s := p.ended(p.train(with(quick(1), map[string]any{
			"data": map[string]any{"train": map[string]any{"uri": c.file, "label": c.label}},
		})))
		require.Equal(t, "failed", s.State, c.name)
		require.Contains(t, s.Error, c.says, c.name)
		require.NotContains(t, s.Error, "\n", c.name)
		own := p.events(model)[len(history):]
		require.Len(t, own, 2, c.name)
		require.Equal(t, "TrainingStarted", own[0].EventType, c.name)
		require.Equal(t, "TrainingFailed", own[1].EventType, c.name)
		require.Equal(t, "created", p.state().Status, c.name)
	}
}

// What can be seen to be wrong before anything starts is refused over HTTP with its field, and leaves no
// event.
func TestBadRequestsLeaveNothing(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	version := p.registered(1)
	history := p.events(model)
	const trainings, deployments = "/api/v1/models/digits/trainings", "/api/v1/models/digits/deployments"
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		pointer    string
	}{
		{"an unknown field", trainings, with(quick(1), map[string]any{"dta": 1}), 422, "/dta"},
		{"a wrong type", trainings, with(quick(1), map[string]any{"seed": "one"}), 422, "/seed"},
		{"a missing model", strings.Replace(trainings, "digits", "nope", 1), quick(1), 404, ""},
		{"an unknown target", deployments, map[string]any{"version": version, "target": "moon"}, 422, "/target"},
		{"an unknown version", deployments, map[string]any{"version": "99", "target": "local"}, 404, ""},
		{"a weight beyond 100", deployments, map[string]any{
			"version": version, "target": "local", "strategy": canary(step(110, "1s")),
		}, 422, "/strategy/canary/steps/0/weight"},
	} {
		err := p.send(http.MethodPost, c.path, c.body, nil)
		var problem *apiclient.Problem
		require.ErrorAs(t, err, &problem, c.name)
		require.Equal(t, c.status, problem.Status, c.name)
		if c.pointer != "" {
			require.Len(t, problem.Errors, 1, c.name)
			require.Equal(t, c.pointer, problem.Errors[0].Pointer, c.name)
		}
	}
	require.Equal(t, history, p.events(model))
}
