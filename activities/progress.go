package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"phantom/training"
)

// The limits of progress signals: each costs the saga a few history events. A day costs at most 540 of
// them, three days 620, and each further one 21: all far from what a history may hold.
const (
	signalEvery = time.Second
	signalLimit = 2 * time.Second
)

// signalCount travels in the heartbeats, so that the next attempt goes on counting.
type signalCount struct {
	Sent int       `json:"sent"`
	Last time.Time `json:"last"`
}

// due tells whether a signal may be sent now. The pace slows down as they become many, to one in 68
// minutes, so that a work of days still reports in its last hours.
func (c signalCount) due(now time.Time) bool {
	every := signalEvery << min(c.Sent/50, 12)
	return now.Sub(c.Last) >= every
}

// report heartbeats, and tells the saga how far the job is. A signal that is lost is no loss: the next
// one carries all, and the log has the epochs.
func (w *watch) report(ctx context.Context, seen training.Observation) {
	now := time.Now()
	if w.first == 0 {
		w.first, w.started = max(w.recorded, 1), now
	}
	if len(seen.Points) > 0 && w.signals.due(now) {
		w.signals = signalCount{Sent: w.signals.Sent + 1, Last: now}
		w.send(ctx, w.progress(seen, now))
	}
	activity.RecordHeartbeat(ctx, w.signals)
}

func (w *watch) progress(seen training.Observation, now time.Time) Progress {
	last := seen.Points[len(seen.Points)-1]
	p := Progress{
		Percentage: percentage(last.Epoch, seen.Epochs), Epoch: last.Epoch, Epochs: seen.Epochs,
		Metrics: finite(last.Metrics), Checkpoint: seen.Checkpoint,
		Message: fmt.Sprintf("epoch %d of %d", last.Epoch, seen.Epochs),
	}
	if done := last.Epoch - w.first; done > 0 && seen.Epochs > last.Epoch {
		each := now.Sub(w.started) / time.Duration(done)
		eta := now.Add(each * time.Duration(seen.Epochs-last.Epoch)).UTC().Truncate(time.Second)
		p.ETA = &eta
	}
	return p
}

func (w *watch) send(ctx context.Context, p Progress) {
	info := activity.GetInfo(ctx)
	limited, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	err := w.trainer.Signals.SignalWorkflow(limited, info.WorkflowExecution.ID, info.WorkflowExecution.RunID,
		SignalProgress, p)
	if err != nil {
		activity.GetLogger(ctx).Warn("progress not signalled", "error", err.Error())
	}
}
