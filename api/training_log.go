package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/readmodel"
)

// followPause is how often a followed log is looked at.
const followPause = 200 * time.Millisecond

type trainingLog struct {
	ModelPath
	JobPath
	Freshness

	Follow bool `query:"follow" doc:"Go on until the job has ended"`
}

// trainingLogs registers a job's log: a line for each event of the job, so it is the same after restarts
// and long after the trainer is gone.
func (s *server) trainingLogs(api huma.API) {
	op := operation("get-training-logs", http.MethodGet, "/api/v1/models/{model_id}/trainings/{job}/logs", "A training's log, a line an event", "trainings")
	op.Responses = map[string]*huma.Response{"200": {
		Description: "Lines: a time, and what happened", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	handle(s, api, op, func(ctx context.Context, in *trainingLog) (*huma.StreamResponse, error) {
		if err := s.fresh(ctx, in.Freshness, readmodel.TrainingsName); err != nil {
			return nil, err
		}
		training, err := s.trainingOf(ctx, in.id(), domain.JobID(in.Job), 0)
		if err != nil {
			return nil, err
		}
		began, err := s.jobStart(ctx, training)
		if err != nil {
			return nil, err
		}
		reading := &logReading{server: s, tenant: callerOf(ctx).Tenant, training: training, after: began - 1}
		return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // it goes on after the handler's context
			hc.SetHeader("Content-Type", "text/plain; charset=utf-8")
			if err := reading.copy(hc.Context(), hc.BodyWriter(), in.Follow); err != nil && hc.Context().Err() == nil {
				s.log.Error("a log broke off", zap.String("request_id", requestID(hc.Context())), zap.Error(err))
				panic(http.ErrAbortHandler) // the only way to tell a reader that this was not the end
			}
		}}, nil
	})
}

// jobStart is the position of the job's first event.
func (s *server) jobStart(ctx context.Context, training readmodel.Training) (int64, error) {
	history, err := s.Registry.Recorded(ctx, callerOf(ctx).Tenant, domain.ModelStream(training.ModelID))
	if err != nil {
		return 0, err
	}
	for _, recorded := range history {
		if e, ok := recorded.Event.(domain.TrainingStarted); ok && e.TrainingJobID == training.TrainingJobID {
			return recorded.Position, nil
		}
	}
	return 0, &domain.NotFound{Kind: "training", ID: string(training.TrainingJobID)}
}

// logReading is a walk along the log of one job.
type logReading struct {
	*server
	tenant   domain.Tenant
	training readmodel.Training
	after    int64
	epochs   int // as the job was asked for; 0 when that is not known
	ended    bool
}

// logged are the events that make lines.
func logged() []string {
	return []string{
		"TrainingStarted", "TrainingProgressUpdated", "TrainingCompleted", "TrainingFailed", "CandidateEvaluated",
		"ApprovalRequested", "ApprovalDecided", "ModelVersionCreated",
	}
}

// copy writes what is there, and with follow what comes until the job has ended.
func (l *logReading) copy(ctx context.Context, w io.Writer, follow bool) error {
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		more, err := l.page(ctx, w)
		switch {
		case err != nil:
			return err
		case more:
			continue
		case !follow || l.ended:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Stopping:
			return nil
		case <-tick.C:
		}
	}
}

// page writes the lines of the next events, and tells whether there are more.
func (l *logReading) page(ctx context.Context, w io.Writer) (bool, error) {
	found, err := l.Reader.ListEvents(ctx, l.tenant, readmodel.EventFilter{
		ModelID: l.training.ModelID, Types: logged(), After: l.after,
	}, readmodel.MaxLimit)
	if err != nil {
		return false, err
	}
	lines := bufio.NewWriter(w)
	for _, event := range found.Items {
		l.after = event.Position
		text, err := l.line(event)
		if err != nil {
			return false, fmt.Errorf("the log of training %s at position %d: %w", l.training.TrainingJobID, event.Position, err)
		}
		if text != "" {
			fmt.Fprintf(lines, "%s %s\n", event.OccurredAt.Format("2006-01-02T15:04:05.000Z07:00"), text)
		}
	}
	if err := lines.Flush(); err != nil {
		return false, err
	}
	if writer, ok := w.(http.ResponseWriter); ok && len(found.Items) > 0 {
		_ = http.NewResponseController(writer).Flush() // what cannot be flushed arrives at the end
	}
	return found.HasMore, nil
}

// line says what an event is to the job; nothing when it is another job's.
func (l *logReading) line(event eventstore.Event) (string, error) {
	if event.AggregateType == string(domain.TypeMLModel) {
		var of struct {
			TrainingJobID domain.JobID `json:"training_job_id"`
		}
		if err := json.Unmarshal(event.EventData, &of); err != nil || of.TrainingJobID != l.training.TrainingJobID {
			return "", err
		}
	} else if event.AggregateID != domain.TrainingStream(l.training.ModelID, l.training.TrainingJobID).ID {
		return "", nil
	}
	decoded, err := domain.Decode(event.EventType, event.EventVersion, event.EventData)
	if err != nil {
		return "", err
	}
	return l.words(decoded), nil
}

func (l *logReading) words(event domain.Event) string {
	switch e := event.(type) {
	case domain.TrainingStarted:
		var params struct {
			Epochs int `json:"epochs"`
		}
		if json.Unmarshal(e.TrainingConfig.Params, &params) == nil {
			l.epochs = params.Epochs
		}
		return fmt.Sprintf("started trainer=%s algorithm=%s seed=%d", e.TrainingConfig.Trainer, e.TrainingConfig.Algorithm, e.TrainingConfig.Seed)
	case domain.TrainingProgressUpdated:
		epoch := fmt.Sprintf("epoch %d", e.Epoch)
		if l.epochs > 0 {
			epoch += fmt.Sprintf("/%d", l.epochs)
		}
		return epoch + numbers(e.Metrics)
	case domain.TrainingCompleted:
		l.ended = true
		return fmt.Sprintf("completed in %s artifact=%s%s", time.Duration(e.TrainingDurationMS)*time.Millisecond, e.ArtifactsLocation, numbers(e.FinalMetrics))
	case domain.TrainingFailed:
		l.ended = true
		return strings.TrimRight(fmt.Sprintf("%s: %s", e.FailureReason, oneLine(e.ErrorDetails)), ": ")
	case domain.CandidateEvaluated:
		verdict := "gates not met"
		if e.Passed {
			verdict = "gates met"
		}
		return fmt.Sprintf("evaluated on %d rows, %s%s", e.Rows, verdict, numbers(e.Metrics))
	case domain.ApprovalRequested:
		return "approval requested by " + e.RequestedBy.Subject
	case domain.ApprovalDecided:
		return strings.TrimRight(fmt.Sprintf("%s by %s: %s", e.Decision, e.By.Subject, oneLine(e.Note)), ": ")
	case domain.ModelVersionCreated:
		return "registered as version " + string(e.Version)
	default:
		return ""
	}
}

func numbers(metrics map[string]float64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		fmt.Fprintf(&b, " %s=%.6g", name, metrics[name])
	}
	return b.String()
}

// oneLine keeps a text within its line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
