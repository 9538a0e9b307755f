package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Queues names the task queues. Tests take queues of their own.
type Queues struct {
	Orchestration string // workflows, commands
	Training      string // what needs the trainer
	Projection    string // what attaches to a projection's loop
}

// DefaultQueues are the queues that the contract names.
func DefaultQueues() Queues {
	return Queues{Orchestration: "ml-orchestration", Training: "ml-training", Projection: "ml-projection"}
}

// Prefixed returns the queues with a prefix before each name.
func (q Queues) Prefixed(prefix string) Queues {
	return Queues{
		Orchestration: prefix + q.Orchestration,
		Training:      prefix + q.Training,
		Projection:    prefix + q.Projection,
	}
}

// class is a kind of activity. Its timeouts and retries stand below, and nowhere else.
type class int

const (
	// command changes an aggregate: short, and patient through a restart of the database.
	command class = iota
	// external touches what is not ours (files, model servers): it heartbeats, and may take minutes.
	external
	// long runs for hours or days and heartbeats: a dead worker's work is taken over within ten seconds.
	long
	// compensate undoes: it is retried without end.
	compensate
	// steering tells a loop what to do, which may wait for a batch.
	steering
	// attached watches a loop that belongs to a worker, for ever.
	attached
)

// heartbeat is how long a worker may be silent before its work is given to another one. The SDK sends
// at 0.8 of it, so a wish to cancel arrives within four seconds.
const heartbeat = 5 * time.Second

// activityOptions are the options of a class on a queue; the summary is shown in the Temporal UI.
// attempts replaces the number of attempts before a saga parks, where it is given.
func activityOptions(c class, queue, summary string, attempts int32) workflow.ActivityOptions {
	options := workflow.ActivityOptions{TaskQueue: queue, Summary: summary, WaitForCancellation: true}
	retry := temporal.RetryPolicy{
		InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
	}
	switch c {
	case command: // 15 attempts last some 90 s
		options.StartToCloseTimeout = 10 * time.Second
		retry.MaximumAttempts = 15
	case external: // 12 attempts last some 60 s of waiting
		options.StartToCloseTimeout = 10 * time.Minute
		options.HeartbeatTimeout = heartbeat
		retry.MaximumAttempts = 12
	case long:
		options.StartToCloseTimeout = 365 * 24 * time.Hour
		options.HeartbeatTimeout = heartbeat
		retry.MaximumAttempts = 100
	case compensate:
		options.StartToCloseTimeout = 20 * time.Second
		retry.MaximumInterval = 30 * time.Second
	case steering:
		options.StartToCloseTimeout = time.Minute
		retry.MaximumAttempts = 5
	case attached:
		options.StartToCloseTimeout = 365 * 24 * time.Hour
		options.HeartbeatTimeout = 2 * heartbeat
		retry.MaximumInterval = 30 * time.Second
	}
	if attempts > 0 && c != compensate && c != attached {
		retry.MaximumAttempts = attempts
	}
	options.RetryPolicy = &retry
	return options
}
