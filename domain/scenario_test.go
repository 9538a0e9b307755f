package domain_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// TestScenarios plays the stories of testdata/*.txt. A story has blocks of two kinds:
//
//	given   lines of events: the history from which the story goes on, whatever went before
//	when    lines of commands: each shows its events and where the model stands then, or its refusal
//
// A line is a name and fields, key=value. j1, r1, a1, i1 stand for a job, a rollout, an artifact and an
// inference. `go test ./domain -run TestScenarios -rewrite` writes what happens now into the files.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			story := newHistory()
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				switch d.Cmd {
				case "given":
					story = newHistory()
					return story.given(t, strings.TrimSpace(d.Input))
				case "when":
					return story.when(t, strings.TrimSpace(d.Input))
				default:
					d.Fatalf(t, "unknown block %q: it is given or when", d.Cmd)
					return ""
				}
			})
		})
	}
}

// history is a world in memory: streams of events, folded on demand.
type history struct {
	streams  map[domain.StreamID][]domain.Recorded
	position int64
}

func newHistory() *history {
	return &history{streams: make(map[domain.StreamID][]domain.Recorded)}
}

func (h *history) record(stream domain.StreamID, event domain.Event) domain.Recorded {
	h.position++
	recorded := domain.Recorded{
		Event: event, Stream: stream, Revision: int64(len(h.streams[stream])) + 1, Position: h.position,
		OccurredAt: time.Date(2026, 11, 23, 10, 0, int(h.position), 0, time.UTC),
	}
	h.streams[stream] = append(h.streams[stream], recorded)
	return recorded
}

// load folds what a command reads, as the registry does.
func (h *history) load(cmd domain.Command) domain.Aggregates {
	var states domain.Aggregates
	for _, stream := range append([]domain.StreamID{cmd.Writes()}, cmd.Guards()...) {
		for _, recorded := range h.streams[stream] {
			states.Evolve(recorded)
		}
	}
	return states
}

func (h *history) model(id domain.ModelID) domain.Model {
	var model domain.Model
	for _, recorded := range h.streams[domain.ModelStream(id)] {
		model.Evolve(recorded)
	}
	return model
}

func (h *history) given(t *testing.T, input string) string {
	t.Helper()
	for line := range strings.Lines(input) {
		stream, event := parseEvent(t, strings.TrimSpace(line))
		h.record(stream, event)
	}
	return aliased(h.standing()) + "\n"
}

func (h *history) when(t *testing.T, input string) string {
	t.Helper()
	var told strings.Builder
	for line := range strings.Lines(input) {
		cmd := parseCommand(t, strings.TrimSpace(line))
		events, err := domain.Decide(h.load(cmd), cmd)
		if err != nil {
			fmt.Fprintln(&told, aliased(refusal(t, err)))
			continue
		}
		if len(events) == 0 {
			fmt.Fprintln(&told, "nothing changes")
		}
		for _, event := range events {
			h.record(cmd.Writes(), event)
			fmt.Fprintln(&told, aliased(formatEvent(t, event)))
		}
		if cmd.Writes().Type != domain.TypeInferenceLog {
			fmt.Fprintln(&told, aliased(h.standing()))
		}
	}
	return told.String()
}

// refusal tells the fact that callers can ask for, and the text.
func refusal(t *testing.T, err error) string {
	t.Helper()
	text := strings.ReplaceAll(err.Error(), "\n", "\n  ")
	switch {
	case errors.Is(err, domain.ErrInvalidState):
		return "refused: " + text
	case errors.Is(err, domain.ErrPreconditionFailed):
		return "stale: " + text
	case errors.Is(err, domain.ErrNotFound), errors.Is(err, domain.ErrAlreadyExists):
		return "refused: " + text
	case errors.Is(err, domain.ErrInvalidInput):
		return "invalid input:\n  " + text
	}
	t.Fatalf("a refusal of no known kind: %v", err)
	return ""
}

// standing is where the model is: "deployed, serving 1 at prod".
func (h *history) standing() string {
	model := h.model("digits")
	if !model.Exists() {
		return "no model"
	}
	words := []string{string(model.Status())}
	for _, target := range model.DeployedTargets() {
		words = append(words, fmt.Sprintf("serving %s at %s", model.Champion(target), target))
	}
	var rollouts []string
	for target, rollout := range model.Rollouts {
		rollouts = append(rollouts, fmt.Sprintf("%s rolls out %s at %s", rollout.ID, rollout.Version, target))
	}
	slices.Sort(rollouts)
	words = append(words, rollouts...)
	for _, alias := range slices.Sorted(maps.Keys(model.Aliases)) {
		words = append(words, fmt.Sprintf("@%s is %s", alias, model.Aliases[alias]))
	}
	return strings.Join(words, ", ")
}
