package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"phantom/activities"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/registry"
)

// books is the registry over the event store in memory, with faults on the way to it.
type books struct {
	*registry.Registry
	store  *eventstoretest.Memory
	mu     sync.Mutex
	faults map[string][]fault // what becomes of the next commands of a type
}

// fault is what can happen to a command on its way.
type fault int

const (
	unreachable fault = iota // the command never arrives
	answerLost               // the command works, and nobody hears of it
)

func newBooks() *books {
	store := eventstoretest.NewMemory()
	return &books{Registry: registry.New(store), store: store, faults: map[string][]fault{}}
}

func (b *books) Handle(
	ctx context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta,
) (domain.Result, error) {
	name := reflect.TypeOf(cmd).Name()
	switch b.next(name) {
	case unreachable:
		return domain.Result{}, fmt.Errorf("handle %s: the database cannot be reached", name)
	case answerLost:
		if _, err := b.Registry.Handle(ctx, tenant, cmd, meta); err != nil {
			return domain.Result{}, err
		}
		return domain.Result{}, fmt.Errorf("handle %s: the answer was lost", name)
	default:
		return b.Registry.Handle(ctx, tenant, cmd, meta)
	}
}

func (b *books) next(command string) fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := b.faults[command]
	if len(faults) == 0 {
		return -1
	}
	b.faults[command] = faults[1:]
	return faults[0]
}

// recorded is the tenant's log, in order.
func (b *books) recorded() []domain.Recorded {
	events, err := b.store.ReadLog(context.Background(), "default", eventstore.Lifecycle, 0, nil, 10_000)
	if err != nil {
		panic(err) // memory has no other reason than a wrong call
	}
	log := make([]domain.Recorded, len(events))
	for i, event := range events {
		if log[i], err = registry.Decode(event); err != nil {
			panic(err)
		}
	}
	return log
}

// history is the events in order, one a line: the name, and what tells them apart.
func (b *books) history() []string {
	log := b.recorded()
	lines := make([]string, len(log))
	for i, recorded := range log {
		lines[i] = line(recorded.Event)
	}
	return lines
}

func line(event domain.Event) string {
	name := reflect.TypeOf(event).Name()
	switch e := event.(type) {
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
	for _, recorded := range slices.Backward(b.recorded()) {
		if event, ok := recorded.Event.(E); ok {
			return recorded, event
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
	refusal error  // of the data
	away    bool   // nothing can be reached
	missing bool   // the artifact
	onHold  func() // where it is given, snapshots hang after they called it
}

const digest = domain.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

func (f *files) Exists(context.Context, domain.Digest) (bool, error) { return !f.missing, nil }

func (f *files) Snapshot(ctx context.Context, uri, label string) (domain.DatasetInfo, error) {
	if f.onHold != nil {
		f.onHold()
		<-ctx.Done()
		return domain.DatasetInfo{}, ctx.Err()
	}
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
