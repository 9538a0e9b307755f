package activities

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"phantom/domain"
	"phantom/training"
)

// Trainer drives training jobs. Its activities run on the training queue, where the trainer is.
type Trainer struct {
	Trainer    training.Trainer
	Datasets   Datasets
	Commands   Commands
	Aggregates Aggregates
	Signals    Signals
}

// Signals sends a signal to a workflow; a Temporal client does.
type Signals interface {
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
}

// SignalProgress is the signal that carries Progress to the saga.
const SignalProgress = "progress"

// Progress is how far a long work is.
type Progress struct {
	Percentage float64            `json:"percentage"`
	Epoch      int                `json:"epoch"`
	Epochs     int                `json:"epochs"`
	Metrics    map[string]float64 `json:"metrics"`
	ETA        *time.Time         `json:"eta"`        // when it is expected to end; null when unknown
	Checkpoint int                `json:"checkpoint"` // the epoch of the last durable checkpoint; 0 before the first
	Message    string             `json:"message"`
}

// TrainerRun is the input of RunTrainer.
type TrainerRun struct {
	Origin
	ModelID       domain.ModelID       `json:"model_id"`
	TrainingJobID domain.JobID         `json:"training_job_id"`
	Algorithm     string               `json:"algorithm"`
	Params        json.RawMessage      `json:"params,omitempty"`
	Seed          int64                `json:"seed"`
	Data          []domain.DatasetInfo `json:"data"` // snapshots: train, and test where there is one
}

// TrainerRan is the result of RunTrainer.
type TrainerRan struct {
	Outcome  training.Outcome `json:"outcome"`
	Epochs   int              `json:"epochs"`
	Position int64            `json:"position"` // of the last recorded epoch
}

// errWorkerStops ends an attempt whose worker goes away; another worker takes the job over.
var errWorkerStops = errors.New("the worker stops; another one goes on with the work")

// The limits of a call to the trainer or the registry inside the loop: with the heartbeat timeout of five
// seconds, one slow call does not lose the job to another worker.
const (
	callLimit    = 3 * time.Second
	unknownPause = 500 * time.Millisecond
	stopLimit    = 30 * time.Second
)

// RunTrainer runs a job to its end: submits it, or finds the one that an earlier attempt submitted,
// records each epoch once, and collects the artifact. A job that failed is a TrainingFailed. When the
// saga is cancelled the job is stopped, with proof; when the worker stops, the job saves a checkpoint
// and the attempt fails, so that another worker resumes it.
func (t *Trainer) RunTrainer(ctx context.Context, in TrainerRun) (TrainerRan, error) {
	w := watch{trainer: t, in: in, started: time.Now()}
	if activity.HasHeartbeatDetails(ctx) {
		// Details of another version of this code only cost a few signals more.
		_ = activity.GetHeartbeatDetails(ctx, &w.signals)
	}
	job, err := t.Aggregates.Training(ctx, in.Tenant, in.ModelID, in.TrainingJobID)
	if err != nil {
		return TrainerRan{}, Refusal(err)
	}
	w.recorded = job.Epoch
	ran, err := w.run(ctx)
	if ctx.Err() != nil {
		w.leave(ctx)
		return TrainerRan{}, ctx.Err()
	}
	return ran, err
}

// StopTrainer proves that a job does not run any more; a job that never ran is fine.
func (t *Trainer) StopTrainer(ctx context.Context, in TrainerRun) error {
	err := t.Trainer.Signal(ctx, training.Handle(in.TrainingJobID), training.Kill)
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	return Refusal(err)
}

// watch is one attempt to see a job through.
type watch struct {
	trainer  *Trainer
	in       TrainerRun
	handle   training.Handle
	cursor   training.Cursor
	started  time.Time
	first    int // the epoch at which this attempt began to count; for the eta
	recorded int // the last epoch in the event log
	position int64
	signals  signalCount
}

func (w *watch) run(ctx context.Context) (TrainerRan, error) {
	if err := w.submit(ctx); err != nil {
		return TrainerRan{}, err
	}
	for {
		seen, err := w.observe(ctx)
		if err != nil {
			return TrainerRan{}, err
		}
		if err := w.record(ctx, seen); err != nil {
			return TrainerRan{}, err
		}
		w.report(ctx, seen)
		switch seen.State {
		case training.Running:
		case training.Succeeded:
			return w.collect(ctx, seen)
		case training.Failed:
			return TrainerRan{}, temporal.NewNonRetryableApplicationError(
				"the training failed: "+seen.Failure, TypeTrainingFailed, nil)
		case training.Stopped:
			return TrainerRan{}, errors.New("the job stands still; it is submitted again and goes on from its checkpoint")
		case training.Unknown: // neither dead nor alive: find it again
			pause(ctx, unknownPause)
			if err := w.submit(ctx); err != nil {
				return TrainerRan{}, err
			}
		}
		if err := w.goOn(ctx); err != nil {
			return TrainerRan{}, err
		}
	}
}

// submit starts the job, or finds it; its key is the job's id.
func (w *watch) submit(ctx context.Context) (err error) {
	w.handle, err = beating(ctx, func(ctx context.Context) (training.Handle, error) {
		return w.trainer.Trainer.Submit(ctx, string(w.in.TrainingJobID), w.in.spec())
	}, w.signals)
	return Refusal(asInputFields(err))
}

func (w *watch) observe(ctx context.Context) (training.Observation, error) {
	limited, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	seen, err := w.trainer.Trainer.Observe(limited, w.handle, w.cursor)
	switch {
	case err == nil && seen.State != training.Unknown:
		w.cursor = seen.Cursor
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return training.Observation{State: training.Unknown}, nil
	}
	return seen, Refusal(err)
}

// record writes each epoch that is not in the log yet; its number is the item of its command id.
func (w *watch) record(ctx context.Context, seen training.Observation) error {
	for _, point := range seen.Points {
		if point.Epoch <= w.recorded {
			continue
		}
		if err := w.recordEpoch(ctx, point, seen.Epochs); err != nil {
			return err
		}
		w.recorded = point.Epoch
		activity.RecordHeartbeat(ctx, w.signals)
	}
	return nil
}

func (w *watch) recordEpoch(ctx context.Context, point training.Point, epochs int) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	origin := w.in.Item(strconv.Itoa(point.Epoch))
	origin.Meta.At = time.Now()
	result, err := origin.Do(ctx, w.trainer.Commands, domain.RecordTrainingProgress{
		ModelID: w.in.ModelID, TrainingJobID: w.in.TrainingJobID, Epoch: point.Epoch, Step: point.Step,
		Metrics: finite(point.Metrics), ProgressPercentage: percentage(point.Epoch, epochs),
	})
	if errors.Is(err, domain.ErrInvalidState) || errors.Is(err, domain.ErrIdempotencyMismatch) {
		// An attempt that overlaps with this one may have recorded the epoch, with numbers of its own.
		job, loadErr := w.trainer.Aggregates.Training(ctx, w.in.Tenant, w.in.ModelID, w.in.TrainingJobID)
		if loadErr == nil && job.Epoch >= point.Epoch {
			return nil
		}
	}
	w.position = max(w.position, result.Position)
	return Refusal(err)
}

// goOn tells whether this attempt does.
func (w *watch) goOn(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		stop, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		if err := w.trainer.Trainer.Signal(stop, w.handle, training.Checkpoint); err != nil {
			return errors.Join(errWorkerStops, err)
		}
		return errWorkerStops
	default:
		return nil
	}
}

func (w *watch) collect(ctx context.Context, seen training.Observation) (TrainerRan, error) {
	outcome, err := beating(ctx, func(ctx context.Context) (training.Outcome, error) {
		return w.trainer.Trainer.Collect(ctx, w.handle)
	}, w.signals)
	if err != nil {
		return TrainerRan{}, Refusal(err)
	}
	outcome.Metrics, outcome.Evaluation.Metrics = finite(outcome.Metrics), finite(outcome.Evaluation.Metrics)
	if len(outcome.Evaluation.Labels) > maxMatrix {
		outcome.Evaluation.ConfusionMatrix, outcome.Evaluation.Labels = nil, nil
	}
	return TrainerRan{Outcome: outcome, Epochs: seen.Epochs, Position: w.position}, nil
}

// maxMatrix is the most classes whose confusion matrix is kept: Temporal takes payloads of up to 2 MB.
const maxMatrix = 256

// leave does with the job what the end of the attempt asks for. A saga that wants to cancel stops it; a
// paused activity stops it with a checkpoint; in every other case (a lost server, a reset, the end of the
// worker) the job is left alone, because another attempt may hold it already.
func (w *watch) leave(ctx context.Context) {
	var order training.Order
	switch {
	case w.handle == "":
		return
	case cancelled(ctx):
		order = training.Kill
	case errors.Is(context.Cause(ctx), activity.ErrActivityPaused):
		order = training.Stop
	default:
		return
	}
	logger := activity.GetLogger(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	_, err := beating(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.trainer.Trainer.Signal(ctx, w.handle, order)
	}, w.signals)
	if err != nil { // the saga's compensation asks again, without end
		logger.Warn("job not stopped yet", "job", string(w.in.TrainingJobID), "order", string(order), "error", err.Error())
	}
}
