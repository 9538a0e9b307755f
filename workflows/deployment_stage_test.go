package workflows_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"phantom/activities"
	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/registry"
	"phantom/serving/target"
	"phantom/workflows"
)

const deploySagaID = "deploy:default:digits:local"

// town is the world of deployments: the registry over the store in memory, a server, gateways, and people
// who send requests as soon as a version has a share of them.
type town struct {
	*books
	server *fakeServer
	crowd  func(domain.Version, int) // called when a version gets a share of the traffic, in percent

	mu      sync.Mutex
	lagging []string // gateways that are stuck
	logAway bool     // the inference log cannot be read
	broken  error    // of the artifact
	ended   []string // deployments that a rollback ended
	onEnd   func()
}

// fakeServer is a model server.
type fakeServer struct {
	mu     sync.Mutex
	loaded map[string]bool
	calls  []string
	away   bool
	refuse error
}

func newTown(t *testing.T, versions int) *town {
	t.Helper()
	w := &town{books: newBooks(), server: &fakeServer{loaded: map[string]bool{}}}
	w.must(t, domain.CreateModel{
		ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp", Tags: map[string]string{"team": "vision"},
	})
	for range versions {
		w.must(t, domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest, Modification: "imported"})
	}
	return w
}

// serving makes a version the champion.
func (w *town) serving(t *testing.T, version domain.Version) {
	t.Helper()
	w.must(t, domain.DeployModel{ModelID: "digits", Version: version, DeploymentTarget: "local"})
	w.server.loaded["default.digits.v"+string(version)] = true
}

func (w *town) must(t *testing.T, cmd domain.Command) {
	t.Helper()
	require.NoError(t, w.handle(cmd))
}

func (w *town) handle(cmd domain.Command) error {
	_, err := w.Registry.Handle(context.Background(), "default", cmd, domain.Meta{
		CommandID: uuid.NewString(), Actor: domain.Actor{Subject: "stage", Auth: domain.AuthLocal},
	})
	return err
}

func (w *town) Handle(ctx context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (domain.Result, error) {
	result, err := w.books.Handle(ctx, tenant, cmd, meta)
	if shift, ok := cmd.(domain.ShiftTraffic); ok && err == nil && w.crowd != nil {
		for _, version := range slices.Sorted(maps.Keys(shift.Weights)) {
			w.crowd(version, shift.Weights[version])
		}
	}
	return result, err
}

// sends records requests of a version, some of them failed and some answered wrongly, with their labels. Who
// observes the version sees both or neither: requests alone are a look without a verdict.
func (w *town) sends(version domain.Version, requests, failed, wrong int) {
	day := time.Now().UTC().Format(time.DateOnly)
	var made []domain.InferenceMade
	var labels []domain.FeedbackRecorded
	for i := range requests {
		id := domain.NewInferenceID("digits", "local", day, uuid.New())
		one := domain.InferenceMade{
			InferenceID: id, ModelID: "digits", Version: version, Target: "local", InferenceTimeMS: 2, Outcome: "ok",
			SampleRate: 1, Prediction: domain.InClear(json.RawMessage("7")),
		}
		label := `"7"`
		switch {
		case i >= requests-failed:
			one.Outcome, one.Prediction = "internal", domain.Content{}
		case i >= requests-failed-wrong:
			label = `"1"`
		}
		made = append(made, one)
		labels = append(labels, domain.FeedbackRecorded{
			InferenceID: id, Label: json.RawMessage(label), LabelledAt: time.Now(), Source: "people",
		})
	}
	if requests == 0 {
		return
	}
	w.now(func() {
		if err := errors.Join(w.handle(domain.RecordInferences{Inferences: made}), w.handle(domain.RecordFeedback{Feedback: labels})); err != nil {
			panic(err) // a mistake of the test
		}
	})
}

// answers makes a crowd that sends the version so many requests at each of its shares.
func (w *town) answers(version domain.Version, requests, failed, wrong int) {
	w.crowd = func(shifted domain.Version, weight int) {
		if shifted == version && weight < 100 {
			w.sends(version, requests, failed, wrong)
		}
	}
}

// story is what happened to the model and its rollouts since the champion was there; of several looks at
// a candidate only those with another verdict.
func (w *town) story(after int64) []string {
	var lines []string
	for _, recorded := range w.recorded() {
		if recorded.Position <= after {
			continue
		}
		if text := deployLine(recorded.Event); len(lines) == 0 || lines[len(lines)-1] != text {
			lines = append(lines, text)
		}
	}
	return lines
}

func deployLine(event domain.Event) string {
	name := reflect.TypeOf(event).Name()
	switch e := event.(type) {
	case domain.TrafficShifted:
		var parts []string
		for _, version := range slices.Sorted(maps.Keys(e.Weights)) {
			parts = append(parts, fmt.Sprintf("%s:%d", version, e.Weights[version]))
		}
		return name + " " + strings.Join(parts, " ")
	case domain.RolloutAssessed:
		return fmt.Sprintf("%s %d %s", name, e.Step, e.Verdict)
	case domain.ModelDeployed:
		return name + " " + string(e.Version)
	case domain.ModelUndeployed:
		return name + " " + string(e.Version)
	case domain.RolloutRolledBack:
		return name + " to " + cmp.Or(string(e.RestoredVersion), "nothing")
	case domain.ApprovalDecided:
		return strings.TrimSpace(fmt.Sprintf("%s %s by %s %s", name, e.Decision, e.By.Subject, e.Note))
	default:
		return name
	}
}

func (w *town) Names() []domain.Target { return []domain.Target{"local", "prod"} }

func (w *town) Target(name domain.Target) (activities.ServingTarget, bool) {
	return w.server, name == "local" || name == "prod"
}

func (w *town) Sharing(domain.Target) []domain.Target { return []domain.Target{"local", "prod"} }

func (w *town) CheckConfig(config json.RawMessage) error {
	if strings.Contains(string(config), "sometimes") {
		return &domain.InvalidInput{Field: "config.logging", Reason: "is not off, async or durable"}
	}
	return nil
}

func (w *town) GetBundle(context.Context, domain.Digest) ([]artifact.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []artifact.File{
		{Name: artifact.SignatureFile, Body: []byte(`{"inputs":[],"outputs":[]}`)},
		{Name: artifact.GoldenFile, Body: []byte(`{"inputs":[[1]],"outputs":[[1]],"tolerance":0.001}`)},
	}, w.broken
}

func (w *town) Lagging(context.Context, domain.Tenant, int64) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lagging, nil
}

func (w *town) CancelAndWait(_ context.Context, workflowID string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, workflowID)
	if w.onEnd == nil {
		return false, nil
	}
	w.onEnd()
	return true, nil
}

func (w *town) blind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logAway
}

// now changes the world while a saga plays.
func (w *town) now(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// routes and inferences tell the two logs' heads apart.
type (
	routes     struct{ *town }
	inferences struct{ *town }
)

func (r routes) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	return r.store.Head(ctx, string(tenant), eventstore.Lifecycle)
}

func (l inferences) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store.Head(ctx, string(tenant), eventstore.Inference)
}

func (l inferences) Events(ctx context.Context, tenant domain.Tenant, stream domain.StreamID, from int64, limit int) ([]domain.Recorded, error) {
	if l.blind() {
		return nil, errors.New("the inference log cannot be read")
	}
	events, err := l.store.Load(ctx, string(tenant), eventstore.Inference,
		eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, eventstore.Range{From: from, Limit: limit})
	if err != nil {
		return nil, err
	}
	recorded := make([]domain.Recorded, len(events))
	for i, event := range events {
		if recorded[i], err = registry.Decode(event); err != nil {
			return nil, err
		}
	}
	return recorded, nil
}

func (s *fakeServer) call(what, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return fmt.Errorf("%w: connection refused", target.ErrUnavailable)
	}
	s.calls = append(s.calls, what+" "+name)
	return nil
}

func (s *fakeServer) Load(_ context.Context, name string, _ []artifact.File) error {
	if err := s.call("load", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded[name] = true
	return nil
}

func (s *fakeServer) Ready(_ context.Context, name string) error { return s.call("ready", name) }

func (s *fakeServer) CheckSignature(_ context.Context, name string, _ domain.Signature) error {
	return s.call("signature", name)
}

func (s *fakeServer) Golden(_ context.Context, name string, _ artifact.Golden) error {
	return errors.Join(s.refuse, s.call("golden", name))
}

func (s *fakeServer) Unload(_ context.Context, name string) error {
	if err := s.call("unload", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.loaded, name)
	return nil
}

// goes takes the server away, or brings it back.
func (s *fakeServer) goes(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// serves lists the loaded models.
func (s *fakeServer) serves() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.loaded))
}

// enact registers the activities of deployments with a worker or an environment.
func (w *town) enact(r interface{ RegisterActivity(a any) }, progress activities.Signals) {
	r.RegisterActivity(&activities.Approvals{Commands: w})
	w.enactDeployments(r, progress)
}

func (w *town) enactDeployments(r interface{ RegisterActivity(a any) }, progress activities.Signals) {
	r.RegisterActivity(&activities.Deployment{Models: w, Targets: w, Bundles: w, Log: inferences{w}, Routes: routes{w}})
	r.RegisterActivity(&activities.Serving{Models: w, Targets: w, Bundles: w, Routes: routes{w}})
	r.RegisterActivity(&activities.Routing{Commands: w, Routes: routes{w}})
	r.RegisterActivity(&activities.Canary{Commands: w, Rollouts: w, Log: inferences{w}, Signals: progress})
	r.RegisterActivity(&activities.Takeover{Sagas: w})
}

var _ interface{ RegisterActivity(a any) } = worker.Worker(nil)

// deployStage plays one deployment saga in Temporal's time-skipping environment.
type deployStage struct {
	*stage
	town *town
	from int64 // position before the saga
}

func newDeployStage(t *testing.T, w *town) *deployStage {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet())
	st := &stage{t: t, env: suite.NewTestWorkflowEnvironment(), books: w.books}
	workflows.New(workflows.Settings{Queues: workflows.DefaultQueues()}).Register(st.env)
	w.enact(st.env, &st.signals)
	st.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: deploySagaID, TaskQueue: "ml-orchestration"})
	st.env.SetTestTimeout(20 * time.Second)
	all := w.recorded()
	return &deployStage{stage: st, town: w, from: all[len(all)-1].Position}
}

// deployDigits is a DeployModel input with a canary that is quick to hold.
func deployDigits(version string, more input) input {
	in := input{"model_id": "digits", "version": version, "target": "local", "strategy": quick(nil)}
	maps.Copy(in, more)
	return in
}

// quick is a strategy of two short steps, with what the test adds.
func quick(more input) input {
	canary := input{
		"steps":    []input{{"weight": 10, "hold": "10ms"}, {"weight": 50, "hold": "10ms"}},
		"max_hold": "1m",
		"analysis": []input{
			{"metric": "error_rate", "op": "<=", "threshold": 0.05, "required": true},
			{"metric": "accuracy", "op": ">=", "threshold": 0.9, "required": true},
		},
	}
	maps.Copy(canary, more)
	return input{"canary": canary}
}

// tell runs a saga to its end and reads its result.
func tell[R any](st *deployStage, kind string, in input) (R, error) {
	st.t.Helper()
	var result R
	st.env.ExecuteWorkflow(kind, in)
	require.True(st.t, st.env.IsWorkflowCompleted(), "the saga hangs")
	if err := st.env.GetWorkflowError(); err != nil {
		return result, err
	}
	return result, st.env.GetWorkflowResult(&result)
}

func (st *deployStage) deploy(in input) (workflows.DeployModelResult, error) {
	st.t.Helper()
	return tell[workflows.DeployModelResult](st, workflows.KindDeployModel, in)
}

func (st *deployStage) story() []string { return st.town.story(st.from) }
