package activities

import (
	"context"
	"reflect"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/domain"
)

// report heartbeats, and tells the saga of the candidate's numbers, when they changed.
func (w *stepWatch) report(ctx context.Context, seen StepSeen) {
	now := time.Now()
	if !reflect.DeepEqual(w.signaled, seen.Metrics) && w.signals.due(now) {
		w.signals = signalCount{Sent: w.signals.Sent + 1, Last: now}
		w.signaled = seen.Metrics
		w.send(ctx, seen.Progress())
	}
	activity.RecordHeartbeat(ctx, w.signals)
}

func (w *stepWatch) send(ctx context.Context, p Progress) {
	execution := activity.GetInfo(ctx).WorkflowExecution
	limited, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	if err := w.canary.Signals.SignalWorkflow(limited, execution.ID, execution.RunID, SignalProgress, p); err != nil {
		activity.GetLogger(ctx).Warn("progress not signalled", "error", err.Error())
	}
}

// Progress is the candidate's numbers: each metric, its samples, and how many good ones are still needed.
// The percentage is that of the required metric that is farthest from acceptance.
func (s StepSeen) Progress() Progress {
	p := Progress{Percentage: 100, Metrics: map[string]float64{"requests": float64(s.Requests)}, Message: s.Reason}
	for _, metric := range s.Metrics {
		if metric.Estimate != nil {
			p.Metrics[metric.Metric] = *metric.Estimate
		}
		p.Metrics[metric.Metric+"_samples"] = float64(metric.Samples)
		p.Metrics[metric.Metric+"_needed"] = float64(metric.Needed)
		if metric.Required && metric.Verdict == domain.VerdictInconclusive {
			p.Percentage = min(p.Percentage, 100*float64(metric.Samples)/float64(max(1, metric.Samples+metric.Needed)))
		}
	}
	return p
}
