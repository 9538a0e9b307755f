package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"phantom/activities"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/registry"
	"phantom/rollout"
)

const rolloutID = domain.RolloutID("8d6b3b1e-8d5c-4b0a-9d0a-5a9f3f0f8a22")

// canary is version 2 of digits on its way to local, over the registry and the store in memory.
type canary struct {
	t        *testing.T
	store    *eventstoretest.Memory
	registry *registry.Registry
	signals  []activities.Progress
	after    int64 // observe_after
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	store := eventstoretest.NewMemory()
	c := &canary{t: t, store: store, registry: registry.New(store)}
	c.handle(createDigits())
	for range 2 {
		c.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest, Modification: "imported"})
	}
	c.handle(domain.DeployModel{ModelID: "digits", Version: "1", DeploymentTarget: "local"})
	return c
}

// begin starts the rollout; what stands in the inference log now is not of it.
func (c *canary) begin() *canary {
	c.t.Helper()
	head, err := c.store.Head(c.t.Context(), "default", eventstore.Inference)
	require.NoError(c.t, err)
	c.after = head
	c.handle(domain.StartRollout{ModelID: "digits", RolloutID: rolloutID, Version: "2", Target: "local", ObserveAfter: head})
	return c
}

func (c *canary) handle(cmd domain.Command) {
	c.t.Helper()
	_, err := c.registry.Handle(c.t.Context(), "default", cmd, domain.Meta{CommandID: uuid.NewString(), Actor: actor()})
	require.NoError(c.t, err)
}

// request is one inference; the day is counted from today.
type request struct {
	version    domain.Version
	day        int
	outcome    string
	prediction string
	took       float64
}

func (c *canary) infers(r request) domain.InferenceID {
	c.t.Helper()
	day := time.Now().UTC().AddDate(0, 0, r.day).Format(time.DateOnly)
	id := domain.NewInferenceID("digits", "local", day, uuid.New())
	made := domain.InferenceMade{
		InferenceID: id, ModelID: "digits", Version: "2", Target: "local", InferenceTimeMS: r.took, Outcome: "ok", SampleRate: 1,
		Prediction: domain.InClear(json.RawMessage("7")),
	}
	if r.version != "" {
		made.Version = r.version
	}
	if r.outcome != "" {
		made.Outcome, made.Prediction = r.outcome, domain.Content{}
	}
	if r.prediction != "" {
		made.Prediction = domain.InClear(json.RawMessage(r.prediction))
	}
	c.handle(domain.RecordInferences{Inferences: []domain.InferenceMade{made}})
	return id
}

func (c *canary) labels(id domain.InferenceID, label string) {
	c.t.Helper()
	c.handle(domain.RecordFeedback{Feedback: []domain.FeedbackRecorded{{
		InferenceID: id, Label: json.RawMessage(label), LabelledAt: time.Now(), Source: "people",
	}}})
}

// warm sends what does not count.
func (c *canary) warm() *canary {
	c.t.Helper()
	for range rollout.WarmUp {
		c.infers(request{})
	}
	return c
}

// memoryLog is the inference log; it can show its head step by step, and give small pages.
type memoryLog struct {
	store *eventstoretest.Memory
	page  int
	heads []int64
	calls atomic.Int64
	away  error
}

func (l *memoryLog) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	if len(l.heads) > 0 {
		head := l.heads[0]
		l.heads = l.heads[1:]
		return head, nil
	}
	return l.store.Head(ctx, string(tenant), eventstore.Inference)
}

func (l *memoryLog) Events(ctx context.Context, tenant domain.Tenant, stream domain.StreamID, from int64, limit int) ([]domain.Recorded, error) {
	l.calls.Add(1)
	if l.away != nil {
		return nil, l.away
	}
	if l.page > 0 {
		limit = min(limit, l.page)
	}
	events, err := l.store.Load(ctx, string(tenant), eventstore.Inference,
		eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, eventstore.Range{From: from, Limit: limit})
	recorded := make([]domain.Recorded, len(events))
	for i, event := range events {
		if recorded[i], err = registry.Decode(event); err != nil {
			return nil, err
		}
	}
	return recorded, err
}

func (c *canary) SignalWorkflow(_ context.Context, _, _, _ string, arg any) error {
	c.signals = append(c.signals, arg.(activities.Progress))
	return nil
}

// rules is a strategy of one step that decides on its numbers after max_hold at the latest.
func rules(maxHold string, analysis ...rollout.Rule) rollout.Strategy {
	return rollout.Strategy{Canary: rollout.Canary{
		Steps: []rollout.Step{{Weight: 10, Hold: "1ms"}}, MaxHold: maxHold, OnInconclusive: rollout.OnInconclusiveRollBack,
		Analysis: analysis,
	}}
}

func errorRate() rollout.Rule {
	return rollout.Rule{Metric: rollout.ErrorRate, Threshold: 0.05, Required: true}
}

func accuracy() rollout.Rule {
	return rollout.Rule{Metric: rollout.Accuracy, Threshold: 0.9, Required: true}
}

func (c *canary) watch(o activities.Origin, strategy rollout.Strategy) activities.StepWatch {
	return activities.StepWatch{
		Origin: o, ModelID: "digits", RolloutID: rolloutID, Target: "local", Version: "2", Strategy: strategy.WithDefaults(),
		ObserveAfter: c.after, Began: time.Now(), State: rollout.State{Step: 1},
	}
}

// observe runs ObserveStep over a log.
func (c *canary) observe(seenThrough *memoryLog, in activities.StepWatch, options ...func(*testsuite.TestActivityEnvironment)) (activities.StepSeen, error) {
	c.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	for _, option := range options {
		option(env)
	}
	seenThrough.store = c.store
	env.RegisterActivity(&activities.Canary{Commands: c.registry, Rollouts: c.registry, Log: seenThrough, Signals: c})
	var seen activities.StepSeen
	value, err := env.ExecuteActivity("ObserveStep", in)
	if err != nil {
		return seen, err
	}
	return seen, value.Get(&seen)
}

// verdicts are the assessments in the log.
func (c *canary) verdicts() []domain.RolloutAssessed {
	c.t.Helper()
	history, err := c.registry.Recorded(c.t.Context(), "default", domain.RolloutStream("digits", rolloutID))
	require.NoError(c.t, err)
	var verdicts []domain.RolloutAssessed
	for _, recorded := range history {
		if assessed, ok := recorded.Event.(domain.RolloutAssessed); ok {
			verdicts = append(verdicts, assessed)
		}
	}
	return verdicts
}

func TestObserveStepPassesAGoodCandidate(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin().warm()
	for range 100 {
		c.labels(c.infers(request{}), `"7"`)
	}
	seen, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), rules("1m", errorRate(), accuracy())))
	require.NoError(t, err)
	require.Equal(t, domain.VerdictPassed, seen.Verdict)
	require.Equal(t, int64(120), seen.Requests)
	require.Equal(t, int64(100), seen.Metrics[0].Samples)
	require.Equal(t, int64(100), seen.Metrics[1].Samples)
	verdicts := c.verdicts()
	require.Len(t, verdicts, 1)
	require.Equal(t, seen.Metrics, verdicts[0].Metrics)
	require.Equal(t, seen.InferencePosition, verdicts[0].InferencePosition)
	require.Equal(t, 1, verdicts[0].Step)
	require.Positive(t, seen.Position)
}

func TestObserveStepFailsABadCandidateBeforeItsHold(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin()
	for range rollout.ErrorRun {
		c.infers(request{outcome: "internal"})
	}
	strategy := rules("2h", rollout.Rule{Metric: rollout.ErrorRate, Threshold: 0.01, Required: true})
	strategy.Canary.Steps[0].Hold = "1h"
	seen, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), strategy))
	require.NoError(t, err)
	require.Equal(t, domain.VerdictFailed, seen.Verdict)
	require.Equal(t, "5 requests failed in a row", seen.Reason)
}

// What is joined: labels to answers by inference and row, in whatever form and order they came.
func TestObserveStepJoinsLabels(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prediction, label string
		judged, right     bool
	}{
		"text and number":    {`"7"`, `7`, true, true},
		"number and text":    {`7`, `"7"`, true, true},
		"number and decimal": {`7`, `7.0`, true, true},
		"exponent":           {`1e2`, `100`, true, true},
		"a share":            {`0.5`, `"0.5"`, true, true},
		"true":               {`true`, `"true"`, true, true},
		"another class":      {`"7"`, `"1"`, true, false},
		"leading zeros":      {`"007"`, `7`, true, false},
		"no prediction":      {`null`, `"7"`, false, false},
		"a list":             {`[7]`, `7`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t).begin().warm()
			c.labels(c.infers(request{prediction: test.prediction}), test.label)
			seen, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), rules("1ms", accuracy())))
			require.NoError(t, err)
			require.Equal(t, test.judged, seen.Metrics[0].Samples == 1)
			require.Equal(t, test.right, seen.Metrics[0].Samples == 1 && seen.Metrics[0].Failures == 0)
		})
	}
}

func TestObserveStepCountsTheCandidateAlone(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	c.infers(request{outcome: "internal"}) // of an earlier rollout of the same version
	c.begin().warm()
	c.infers(request{version: "1", outcome: "internal"})
	c.infers(request{outcome: "bad_request"})
	champion := c.infers(request{version: "1"})
	c.labels(champion, `"1"`)
	c.labels(c.infers(request{day: -1}), `7`) // clocks differ around midnight
	c.labels(c.infers(request{day: 1}), `7`)
	seen, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), rules("1ms", errorRate(), accuracy())))
	require.NoError(t, err)
	require.Equal(t, int64(22), seen.Requests)
	require.Equal(t, int64(2), seen.Metrics[0].Samples)
	require.Zero(t, seen.Metrics[0].Failures)
	require.Equal(t, int64(2), seen.Metrics[1].Samples)
	require.Zero(t, seen.Metrics[1].Failures)
}

// mixed is a log over three days whose order matters: errors come in runs, labels before and after their
// answers.
func (c *canary) mixed() {
	c.t.Helper()
	c.warm()
	var waiting []domain.InferenceID
	for i := range 120 {
		r := request{day: i%3 - 1, took: float64(i % 7)}
		if i%11 == 0 {
			r.outcome = "timeout"
		}
		waiting = append(waiting, c.infers(r))
		if i%5 == 4 {
			for j, id := range waiting {
				right := (i+j)%15 > 0
				c.labels(id, map[bool]string{true: `"7"`, false: "1"}[right])
			}
			waiting = nil
		}
	}
}

// The numbers do not depend on the rounds and pages in which the log was read, and a second reader, after
// a crash, comes to the same ones.
func TestObserveStepFoldsTheSameInEveryWay(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin()
	c.mixed()
	head, err := c.store.Head(t.Context(), "default", eventstore.Inference)
	require.NoError(t, err)
	strategy := rules("900ms", rollout.Rule{Metric: rollout.ErrorRate, Threshold: 0.1}, accuracy(),
		rollout.Rule{Metric: rollout.LatencyMS, Threshold: 5, Quantile: 0.8})
	strategy.Canary.Steps[0].Hold = "900ms" // before, only a failure decides
	want, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), strategy))
	require.NoError(t, err)
	require.NotEqual(t, domain.VerdictFailed, want.Verdict, "else it would not have read on")
	require.Equal(t, want.InferencePosition, head, "it has read everything")
	require.Positive(t, want.Metrics[1].Failures)
	for name, by := range map[string]*memoryLog{
		"once more":    {},
		"small pages":  {page: 3},
		"four rounds":  {heads: []int64{head / 4, head / 2, head - 1}},
		"both":         {page: 1, heads: []int64{1, 2, head / 3}},
		"a slow start": {heads: []int64{0, 0, head - 7}},
	} {
		seen, err := c.observe(by, c.watch(origin("deploy/"+name), strategy))
		require.NoError(t, err)
		require.Equal(t, want.Metrics, seen.Metrics, name)
		require.Equal(t, want.Requests, seen.Requests, name)
		require.Equal(t, want.Verdict, seen.Verdict, name)
	}
}

// An attempt that takes over records nothing that stands in the log already.
func TestObserveStepRecordsNothingTwice(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin()
	c.mixed()
	in := c.watch(origin("deploy/1"), rules("300ms", errorRate(), accuracy()))
	first, err := c.observe(&memoryLog{}, in)
	require.NoError(t, err)
	once := c.verdicts()
	again, err := c.observe(&memoryLog{page: 2}, in)
	require.NoError(t, err)
	require.Equal(t, first.Metrics, again.Metrics)
	require.Equal(t, once, c.verdicts())
	in.Origin = origin("deploy/2") // after a person's retry_step
	_, err = c.observe(&memoryLog{}, in)
	require.NoError(t, err)
	require.Equal(t, once, c.verdicts())
}

// A watcher sees what is needed shrink, and the saga hears of it.
func TestObserveStepRecordsWhatChanges(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin().warm()
	start, err := c.store.Head(t.Context(), "default", eventstore.Inference)
	require.NoError(t, err)
	for range 40 {
		c.infers(request{})
	}
	in := c.watch(origin("deploy/1"), rules("500ms", errorRate()))
	in.State.Step = 2 // its predecessor's numbers are no reason to write them down again
	in.Strategy.Canary.Steps = append(in.Strategy.Canary.Steps, rollout.Step{Weight: 50, Hold: "1ms"})
	seen, err := c.observe(&memoryLog{heads: []int64{start}}, in)
	require.NoError(t, err)
	verdicts := c.verdicts()
	require.Len(t, verdicts, 2, "the first look, and the one that decided")
	require.Greater(t, verdicts[0].Metrics[0].Needed, verdicts[1].Metrics[0].Needed)
	require.Equal(t, start, verdicts[0].InferencePosition)
	require.Equal(t, seen.Reason, verdicts[1].Reason)
	require.NotEmpty(t, c.signals)
	require.Contains(t, c.signals[0].Metrics, "error_rate_needed")
}

// The pace of the signals goes on from the steps before: many steps, or a person's many retries, do not
// fill the saga's history.
func TestObserveStepSignalsAtTheRolloutsPace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before int
		more   bool // than the first signal
	}{"at first": {0, true}, "after days": {600, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t).begin().warm()
			for range 60 {
				c.infers(request{})
			}
			head, err := c.store.Head(t.Context(), "default", eventstore.Inference)
			require.NoError(t, err)
			by := &memoryLog{}
			for more := range int64(8) {
				by.heads = append(by.heads, head-8+more)
			}
			in := c.watch(origin("deploy/1"), rules("3s", errorRate()))
			in.Strategy.Canary.Steps[0].Hold = "3s"
			in.Signalled = test.before
			_, err = c.observe(by, in)
			require.NoError(t, err)
			require.NotEmpty(t, c.signals)
			require.Equal(t, test.more, len(c.signals) > 1)
		})
	}
}

// A rollout that has ended takes no verdicts, and the observation ends as refused.
func TestObserveStepEndsWithItsRollout(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin().warm()
	c.handle(domain.RollBackRollout{ModelID: "digits", RolloutID: rolloutID, Reason: "by hand"})
	_, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), rules("1h", errorRate())))
	require.Equal(t, activities.TypeInvalidState, activities.ErrorType(err))
}

func TestObserveStepWaitsForALogThatIsAway(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin().warm()
	_, err := c.observe(&memoryLog{away: errors.New("no connection")}, c.watch(origin("deploy/1"), rules("1h", errorRate())))
	require.ErrorContains(t, err, "no connection")
	require.False(t, activities.Refused(err), "it is tried again")
	require.Empty(t, c.verdicts())
}

func TestObserveStepGoesOnElsewhereWhenItsWorkerStops(t *testing.T) {
	t.Parallel()
	c := newCanary(t).begin().warm()
	stop := make(chan struct{})
	close(stop)
	_, err := c.observe(&memoryLog{}, c.watch(origin("deploy/1"), rules("1h", errorRate())), func(env *testsuite.TestActivityEnvironment) {
		env.SetWorkerStopChannel(stop)
	})
	require.ErrorContains(t, err, "another one goes on")
	require.False(t, activities.Refused(err))
}

// The rollout's beginning in a long stream is found without reading what stands before it.
func TestObserveStepSkipsWhatWasBefore(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	for range 500 {
		c.infers(request{version: "1"})
	}
	c.begin().warm()
	by := &memoryLog{page: 50}
	seen, err := c.observe(by, c.watch(origin("deploy/1"), rules("1ms", errorRate())))
	require.NoError(t, err)
	require.Equal(t, int64(rollout.WarmUp), seen.Requests)
	require.Less(t, by.calls.Load(), int64(40))
}
