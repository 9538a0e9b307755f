package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// beatEvery is well under the heartbeat timeout of every class in workflows/options.go.
const beatEvery = time.Second

// beating runs work that has no loop of its own and heartbeats beside it, so that a wish to cancel and
// the death of the worker are noticed. Work that hangs is ended by the activity's StartToClose timeout.
// The details are what the next attempt finds.
func beating[T any](ctx context.Context, work func(context.Context) (T, error), details ...any) (T, error) {
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx, details...)
			}
		}
	}()
	result, err := work(ctx)
	close(done)
	<-stopped
	return result, err
}

// cancelled reports whether the saga asked the activity to cancel. A lost server, a pause, a reset or
// the end of the worker also end the context, and are no such wish.
func cancelled(ctx context.Context) bool {
	return ctx.Err() != nil && temporal.IsCanceledError(context.Cause(ctx))
}

// pause waits for d, or for the context's end.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
