package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/domain"
)

// Aggregates loads the present state that a decision needs; the registry does.
type Aggregates interface {
	Model(ctx context.Context, tenant domain.Tenant, id domain.ModelID) (domain.Model, error)
	// Training is the zero value for a job of which nothing is recorded yet.
	Training(ctx context.Context, tenant domain.Tenant, model domain.ModelID, job domain.JobID) (domain.TrainingJob, error)
}

// Artifacts tells whether an artifact is there.
type Artifacts interface {
	Exists(ctx context.Context, digest domain.Digest) (bool, error)
}

// Targets names the places to serve from.
type Targets interface {
	Names() []domain.Target
}

// Training records what starts and ends trainings.
type Training struct {
	Commands   Commands
	Aggregates Aggregates
	Artifacts  Artifacts
	Targets    Targets
}

// TrainingStart is the input of StartTraining and AwaitTurn.
type TrainingStart struct {
	Origin
	Create *domain.CreateModel  `json:"create,omitempty"`
	Start  domain.StartTraining `json:"start"`
	// Target is where the version is to be deployed afterwards, or "".
	Target domain.Target `json:"target,omitempty"`
}

// TrainingStarted is the result of StartTraining and AwaitTurn.
type TrainingStarted struct {
	Result domain.Result `json:"result"`
	// Busy is why the training did not start: another one runs. The caller may want to wait for its turn.
	Busy string `json:"busy,omitempty"`
	// Team is the model's tag "team".
	Team string `json:"team,omitempty"`
}

// StartTraining creates the model, where that is asked for and it does not exist, and starts the
// training. Another running training is no error here: it is Busy.
func (t *Training) StartTraining(ctx context.Context, in TrainingStart) (TrainingStarted, error) {
	if err := t.check(in); err != nil {
		return TrainingStarted{}, Refusal(err)
	}
	if in.Create != nil {
		_, err := in.Item("create").Do(ctx, t.Commands, *in.Create)
		if err != nil && !errors.Is(err, domain.ErrAlreadyExists) {
			return TrainingStarted{}, Refusal(err)
		}
	}
	return t.start(ctx, in)
}

// check refuses what either command or the target would be refused for, before the first of them.
func (t *Training) check(in TrainingStart) error {
	errs := []error{
		relocated(domain.Validate(in.Start), startField),
		t.knows(in.Target),
	}
	if in.Create != nil {
		errs = append(errs, relocated(domain.Validate(*in.Create), func(field string) string { return "create." + field }))
	}
	return errors.Join(errs...)
}

// startField is the name that TrainModel's input has for a field of StartTraining.
func startField(field string) string {
	return strings.NewReplacer(
		"training_config.trainer", "trainer.kind", "training_config.", "",
		"dataset_info.0", "data.train", "dataset_info.1", "data.test",
	).Replace(field)
}

// turnEvery is how often a queued training looks whether it is its turn.
const turnEvery = time.Second

// AwaitTurn asks again and again to start the training until no other one runs. Who asks first after
// the other one's end gets the turn.
func (t *Training) AwaitTurn(ctx context.Context, in TrainingStart) (TrainingStarted, error) {
	for {
		started, err := t.start(ctx, in)
		if err != nil || started.Busy == "" {
			return started, err
		}
		activity.RecordHeartbeat(ctx, started.Busy)
		pause(ctx, turnEvery)
		if ctx.Err() != nil {
			return TrainingStarted{}, ctx.Err()
		}
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			return TrainingStarted{}, errWorkerStops
		default:
		}
	}
}

func (t *Training) start(ctx context.Context, in TrainingStart) (TrainingStarted, error) {
	result, err := in.Do(ctx, t.Commands, in.Start)
	if state, ok := errors.AsType[*domain.InvalidState](err); ok && state.Current == string(domain.StatusTraining) {
		return TrainingStarted{Busy: state.Reason}, nil
	}
	if err != nil {
		return TrainingStarted{}, Refusal(err)
	}
	model, err := t.Aggregates.Model(ctx, in.Tenant, in.Start.ModelID)
	if err != nil {
		return TrainingStarted{}, Refusal(err)
	}
	return TrainingStarted{Result: result, Team: model.Tags["team"]}, nil
}

// knows refuses a target that is not configured.
func (t *Training) knows(target domain.Target) error {
	known := t.Targets.Names()
	if target == "" || slices.Contains(known, target) {
		return nil
	}
	return &domain.InvalidInput{
		Field: "deploy.target", Reason: fmt.Sprintf("there is no target %q; there are %v", target, known),
	}
}

// TrainingEnd is the input of FailTraining.
type TrainingEnd struct {
	Origin
	Command domain.FailTraining `json:"command"`
}

// FailTraining records that a training ended without artifacts.
func (t *Training) FailTraining(ctx context.Context, in TrainingEnd) (domain.Result, error) {
	result, err := in.Do(ctx, t.Commands, in.Command)
	return result, Refusal(err)
}

// TrainingCompletion is the input of CompleteTraining.
type TrainingCompletion struct {
	Origin
	Command domain.CompleteTraining `json:"command"`
}

// CompleteTraining records the artifact of a training.
func (t *Training) CompleteTraining(ctx context.Context, in TrainingCompletion) (domain.Result, error) {
	result, err := in.Do(ctx, t.Commands, in.Command)
	return result, Refusal(err)
}

// CandidateEvaluation is the input of EvaluateCandidate.
type CandidateEvaluation struct {
	Origin
	Command domain.EvaluateCandidate `json:"command"`
}

// EvaluateCandidate records how a candidate did on the held-out rows, and at each gate.
func (t *Training) EvaluateCandidate(ctx context.Context, in CandidateEvaluation) (domain.Result, error) {
	result, err := in.Do(ctx, t.Commands, in.Command)
	return result, Refusal(err)
}

// Registration is the input of RegisterVersion.
type Registration struct {
	Origin
	Command domain.CreateModelVersion `json:"command"`
}

// Registered is the result of RegisterVersion.
type Registered struct {
	Result  domain.Result  `json:"result"`
	Version domain.Version `json:"version"`
}

// RegisterVersion makes a version of an artifact that is there.
func (t *Training) RegisterVersion(ctx context.Context, in Registration) (Registered, error) {
	digest := in.Command.ArtifactsLocation
	there, err := t.Artifacts.Exists(ctx, digest)
	if err != nil {
		return Registered{}, err
	}
	if !there {
		return Registered{}, Refusal(&domain.NotFound{Kind: "artifact", ID: string(digest)})
	}
	result, err := in.Do(ctx, t.Commands, in.Command)
	if err != nil {
		return Registered{}, Refusal(err)
	}
	for _, recorded := range result.Events {
		if created, ok := recorded.Event.(domain.ModelVersionCreated); ok {
			return Registered{Result: result, Version: created.Version}, nil
		}
	}
	return Registered{}, fmt.Errorf("register %s: the registry returned no ModelVersionCreated", digest)
}

// relocated renames the bad fields of an error; one that names none comes back as it is.
func relocated(err error, rename func(field string) string) error {
	fields := Fields(err)
	if len(fields) == 0 {
		return err
	}
	moved := make([]error, len(fields))
	for i, field := range fields {
		moved[i] = &domain.InvalidInput{Field: rename(field.Field), Reason: field.Reason}
	}
	return errors.Join(moved...)
}
