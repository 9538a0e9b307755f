package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"phantom/activities"
	"phantom/domain"
)

// books is the smallest registry that keeps the registry's promises to a saga: the domain decides, a
// command id gives its first result again, and the same id for something else is refused.
type books struct {
	mu       sync.Mutex
	events   []domain.Recorded
	commands map[string]handled
	faults   map[string][]fault // what becomes of the next commands of a type
}

// fault is what can happen to a command on its way.
type fault int

const (
	unreachable fault = iota // the command never arrives
	answerLost               // the command works, and nobody hears of it
)

type handled struct {
	hash   string
	result domain.Result
}

func newBooks() *books {
	return &books{commands: map[string]handled{}, faults: map[string][]fault{}}
}

func (b *books) Handle(
	_ context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta,
) (domain.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := reflect.TypeOf(cmd).Name()
	var lost bool
	if faults := b.faults[name]; len(faults) > 0 {
		b.faults[name] = faults[1:]
		if faults[0] == unreachable {
			return domain.Result{}, fmt.Errorf("handle %s: the database cannot be reached", name)
		}
		lost = true
	}
	text, err := json.Marshal(cmd)
	if err != nil {
		return domain.Result{}, err
	}
	hash := string(tenant) + name + string(text)
	if known, has := b.commands[meta.CommandID]; has {
		if known.hash != hash {
			return domain.Result{}, domain.ErrIdempotencyMismatch
		}
		return known.result, nil
	}
	result, err := b.decide(cmd, meta)
	if err != nil {
		return domain.Result{}, err
	}
	b.commands[meta.CommandID] = handled{hash: hash, result: result}
	if lost {
		return domain.Result{}, fmt.Errorf("handle %s: the answer was lost", name)
	}
	return result, nil
}

func (b *books) decide(cmd domain.Command, meta domain.Meta) (domain.Result, error) {
	var state domain.Aggregates
	for _, stream := range append(cmd.Guards(), cmd.Writes()) {
		for _, recorded := range b.stream(stream) {
			state.Evolve(recorded)
		}
	}
	decided, err := domain.Decide(state, cmd)
	if err != nil {
		return domain.Result{}, err
	}
	result := domain.Result{Revision: int64(len(b.stream(cmd.Writes()))), Position: int64(len(b.events))}
	for _, event := range decided {
		result.Revision++
		result.Position++
		recorded := domain.Recorded{
			Event: event, Stream: cmd.Writes(), Revision: result.Revision, Position: result.Position,
			OccurredAt: time.Unix(result.Position, 0), RecordedAt: time.Unix(result.Position, 0),
			Metadata: domain.EventMetadata{Actor: meta.Actor, CommandID: meta.CommandID, WorkflowID: meta.WorkflowID},
		}
		b.events = append(b.events, recorded)
		result.Events = append(result.Events, recorded)
	}
	return result, nil
}

func (b *books) stream(id domain.StreamID) []domain.Recorded {
	var found []domain.Recorded
	for _, recorded := range b.events {
		if recorded.Stream == id {
			found = append(found, recorded)
		}
	}
	return found
}

func (b *books) Model(_ context.Context, _ domain.Tenant, id domain.ModelID) (domain.Model, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var state domain.Aggregates
	for _, recorded := range b.stream(domain.ModelStream(id)) {
		state.Evolve(recorded)
	}
	return state.Model, nil
}

func (b *books) TrainingJob(
	_ context.Context, _ domain.Tenant, model domain.ModelID, id domain.JobID,
) (domain.TrainingJob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var state domain.Aggregates
	for _, recorded := range b.stream(domain.TrainingStream(model, id)) {
		state.Evolve(recorded)
	}
	return state.Training, nil
}

// history is the events in order, one a line: the name, and what tells them apart.
func (b *books) history() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := make([]string, len(b.events))
	for i, recorded := range b.events {
		lines[i] = line(recorded.Event)
	}
	return lines
}

func line(event domain.Event) string {
	name := reflect.TypeOf(event).Name()
	switch e := event.(type) { //nolint:exhaustive,gochecksumtype // the others say enough by their name
	case domain.TrainingFailed:
		return name + " " + string(e.FailureReason)
	case domain.TrainingProgressUpdated:
		return fmt.Sprintf("%s %d", name, e.Epoch)
	case domain.CandidateEvaluated:
		return fmt.Sprintf("%s passed=%t", name, e.Passed)
	case domain.ApprovalDecided:
		return strings.TrimSpace(fmt.Sprintf("%s %s by %s %s", name, e.Decision, e.By.Subject, e.Note))
	case domain.ModelVersionCreated:
		return name + " " + string(e.Version)
	default:
		return name
	}
}

// last is the newest event of a type.
func last[E domain.Event](b *books) (domain.Recorded, E) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.events) - 1; i >= 0; i-- {
		if event, ok := b.events[i].Event.(E); ok {
			return b.events[i], event
		}
	}
	var none E
	return domain.Recorded{}, none
}

// fails makes the next commands of a type meet a fault.
func (b *books) fails(command string, how fault, times int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range times {
		b.faults[command] = append(b.faults[command], how)
	}
}

// files is what the sagas see of artifacts, data and targets.
type files struct {
	refusal error // of the data
	away    bool  // nothing can be reached
	missing bool  // the artifact
}

const digest = domain.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

func (f *files) Exists(context.Context, domain.Digest) (bool, error) { return !f.missing, nil }

func (f *files) Snapshot(_ context.Context, uri, label string) (domain.DatasetInfo, error) {
	if f.away {
		return domain.DatasetInfo{}, errors.New("snapshot: the disk cannot be read")
	}
	if f.refusal != nil {
		return domain.DatasetInfo{}, f.refusal
	}
	return domain.DatasetInfo{URI: uri, Label: label, Digest: digest, Format: "csv", Rows: 1797}, nil
}

func (f *files) Names() []domain.Target { return []domain.Target{"local"} }

var (
	_ activities.Commands   = (*books)(nil)
	_ activities.Aggregates = (*books)(nil)
	_ activities.Artifacts  = (*files)(nil)
	_ activities.Datasets   = (*files)(nil)
	_ activities.Targets    = (*files)(nil)
)
