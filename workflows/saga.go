package workflows

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// saga is what all stories share: who asked, what happened so far, what can be done, and how to undo.
type saga struct {
	settings Settings
	kind     string // "TrainModel"
	title    string // for people: "train digits"
	tenant   domain.Tenant
	model    domain.ModelID
	actor    domain.Actor

	stage    string
	steps    []*Step
	progress Progress
	details  func() string // Markdown that the story adds to its current details, or nil
	undos    []*undo

	inbox   []*message
	allowed []Action
	waiting *Waiting
	closing bool // nothing can be asked of the saga any more

	lastError string
	revision  int64
	position  int64
}

// identity is what a saga knows of itself once its input is read.
type identity struct {
	tenant domain.Tenant
	model  domain.ModelID
	target domain.Target // or ""
	actor  domain.Actor
	title  string
	input  any // normalised
}

// open begins a saga: its queries and messages answer from now on.
func (w *Sagas) open(ctx workflow.Context, kind string, steps []string, actions ...Action) (*saga, error) {
	s := &saga{settings: w.settings, kind: kind, title: kind, stage: StagePending}
	s.progress.Metrics = map[string]float64{}
	for _, name := range steps {
		s.steps = append(s.steps, &Step{Name: name, State: StepPending})
	}
	if err := s.answerQueries(ctx); err != nil {
		return nil, err
	}
	if err := s.listen(ctx, append(actions, ActionRetryStep)); err != nil {
		return nil, err
	}
	return s, nil
}

// identify writes down, in the saga's first task, what it is found by, and the hash of its request.
func (s *saga) identify(ctx workflow.Context, id identity) error {
	s.tenant, s.model, s.actor, s.title = id.tenant, id.model, id.actor, id.title
	hash, err := RequestHash(s.kind, id.input)
	if err != nil {
		return err
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{MemoRequestHash: hash}); err != nil {
		return err
	}
	updates := []temporal.SearchAttributeUpdate{
		keyTenant().ValueSet(string(id.tenant)), keyModel().ValueSet(string(id.model)), keyKind().ValueSet(s.kind),
	}
	if id.target != "" {
		updates = append(updates, keyTarget().ValueSet(string(id.target)))
	}
	s.note(ctx, updates...)
	return nil
}

// close ends a saga. A story that ended with an error is undone; what Temporal then sees is Canceled when
// the saga was cancelled, and else the refusal itself, never a wrapping of it.
func (s *saga) close(ctx workflow.Context, outcome string, err error) error {
	s.closing, s.allowed, s.waiting = true, nil, nil
	canceled := err != nil && wasCanceled(ctx, err)
	switch {
	case canceled:
		err, outcome = temporal.NewCanceledError(), StageCanceled
	case err != nil:
		err, outcome = applicationError(err), StageFailed
		s.lastError = errorText(err)
	}
	if err != nil {
		s.compensate(ctx, err)
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	s.enter(ctx, outcome)
	s.dismiss()
	if waitErr := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); waitErr != nil {
		return waitErr
	}
	return err
}

// effect is one activity of a step.
type effect struct {
	step    string
	name    string // part of the command id; the step's name when empty. Unique within the saga
	class   class
	queue   string // orchestration when empty
	summary string // shown in the Temporal UI
	aside   bool   // the domain.Result is of another stream than the model's
	out     any    // where the result goes; nil when it is a domain.Result
}

// perform runs an effect until it worked or was refused. When its retries are spent the saga parks: it
// waits for retry_step, and tries again with the next n in the command id. The caller ends the step.
func (s *saga) perform(ctx workflow.Context, e effect, act any, input func(activities.Origin) any) error {
	if s.step(e.step).State != StepRunning {
		s.begin(ctx, e.step)
	}
	for n := 1; ; n++ {
		err := s.execute(ctx, e, act, input(s.origin(ctx, e, n)))
		switch {
		case err == nil:
			return nil
		case wasCanceled(ctx, err):
			s.end(ctx, e.step, StepFailed, "cancelled")
			return err
		case activities.Refused(err):
			s.end(ctx, e.step, StepFailed, errorText(err))
			return err
		}
		if err := s.park(ctx, e, err); err != nil {
			return err
		}
		s.step(e.step).Attempt++
	}
}

// undoWith runs an effect of an undo: once, because its activity is retried without end.
func (s *saga) undoWith(ctx workflow.Context, e effect, act any, input func(activities.Origin) any) error {
	e.class = compensate
	return s.execute(ctx, e, act, input(s.origin(ctx, e, 1)))
}

func (s *saga) execute(ctx workflow.Context, e effect, act, input any) error {
	queue := e.queue
	if queue == "" {
		queue = s.settings.Queues.Orchestration
	}
	ctx = workflow.WithActivityOptions(ctx, activityOptions(e.class, queue, e.summary, s.settings.Attempts))
	future := workflow.ExecuteActivity(ctx, act, input)
	if e.out != nil {
		return future.Get(ctx, e.out)
	}
	var result domain.Result
	if err := future.Get(ctx, &result); err != nil {
		return err
	}
	if e.aside {
		result.Revision = 0
	}
	s.recorded(result)
	return nil
}

// park waits for retry_step, or for the cancellation.
func (s *saga) park(ctx workflow.Context, e effect, cause error) error {
	s.lastError = errorText(cause)
	s.end(ctx, e.step, StepFailed, s.lastError)
	m, err := s.await(ctx, wait{on: WaitingRetryStep, actions: []Action{ActionRetryStep}})
	if err != nil {
		return err
	}
	s.lastError = ""
	s.begin(ctx, e.step)
	s.step(e.step).Detail = "tried again by " + m.by.Subject
	m.answer(Receipt{Revision: s.revision, Position: s.position}, nil)
	return nil
}

// origin is on whose behalf, and under which command id, the n-th try of an effect works.
func (s *saga) origin(ctx workflow.Context, e effect, n int) activities.Origin {
	info := workflow.GetInfo(ctx)
	name := e.name
	if name == "" {
		name = e.step
	}
	try := func(n int) string {
		return info.WorkflowExecution.ID + "/" + firstRun(info) + "/" + name + "/" + strconv.Itoa(n)
	}
	origin := activities.Origin{Tenant: s.tenant, Meta: domain.Meta{
		CommandID:     try(n),
		Actor:         s.actor,
		CorrelationID: info.WorkflowExecution.ID,
		WorkflowID:    info.WorkflowExecution.ID,
		RunID:         info.WorkflowExecution.RunID,
	}}
	for earlier := n - 1; earlier >= 1; earlier-- {
		origin.Earlier = append(origin.Earlier, try(earlier))
	}
	return origin
}

// recorded takes note of where the model's stream and the log stand.
func (s *saga) recorded(r domain.Result) {
	s.revision, s.position = max(s.revision, r.Revision), max(s.position, r.Position)
}

// wait is what a saga waits for, and who can end it.
type wait struct {
	on      Waiting
	actions []Action
	timeout time.Duration // 0 waits without end
	summary string        // of the timer
}

// await waits for a message. It returns nil when time ran out, and an error when the saga is cancelled.
// The message must be answered.
func (s *saga) await(ctx workflow.Context, w wait) (*message, error) {
	s.waiting, s.allowed = &w.on, w.actions
	s.render(ctx)
	defer func() {
		s.waiting, s.allowed = nil, nil
		s.render(ctx)
	}()
	arrived := func() bool { return s.mail() != nil }
	if w.timeout <= 0 {
		if err := workflow.Await(ctx, arrived); err != nil {
			return nil, err
		}
		return s.take(), nil
	}
	options := workflow.AwaitOptions{Timeout: w.timeout, TimerOptions: workflow.TimerOptions{Summary: w.summary}}
	if _, err := workflow.AwaitWithOptions(ctx, options, arrived); err != nil {
		return nil, err
	}
	return s.take(), nil
}

// idFor derives an id from the saga's first run: the same one in every run, retry and replay.
func idFor(ctx workflow.Context, what string) string {
	name := fmt.Sprintf("phantom:%s:%s", what, firstRun(workflow.GetInfo(ctx)))
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String()
}

// firstRun is the run that a chain of runs began with; Temporal's test environment does not tell it.
func firstRun(info *workflow.Info) string {
	return cmp.Or(info.FirstRunID, info.WorkflowExecution.RunID)
}
