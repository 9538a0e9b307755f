// Package training is the contract between the sagas and whatever trains a model.
//
// What it promises: a job is named by the caller's key, so a restarted worker that submits again finds
// the job that it had. Observe never guesses: what cannot be known is Unknown, and Unknown neither kills
// nor fails a job.
//
// What it does not: it decides nothing about gates, approvals or versions.
package training

import (
	"context"
	"encoding/json"
	"errors"

	"phantom/domain"
)

// ErrInvalidSpec says that a job can never run as it was asked for; errors carry *domain.InvalidInput
// with the field.
var ErrInvalidSpec = errors.New("the training job is not valid")

// Spec is what to train. The artifact depends on nothing else: neither on ids nor on time.
type Spec struct {
	Algorithm string          `json:"algorithm"` // "mlp", "logistic_regression"
	Params    json.RawMessage `json:"params,omitempty"`
	Seed      int64           `json:"seed"`
	// Train is the snapshot to learn from. Without Test, a row-hash split of it is held out.
	Train Channel  `json:"train"`
	Test  *Channel `json:"test,omitempty"`
}

// Channel is a data set in the artifact store.
type Channel struct {
	Digest domain.Digest `json:"digest"`
	Format string        `json:"format"` // "csv"
	Label  string        `json:"label"`
}

// Handle names a submitted job; it is the key that it was submitted with.
type Handle string

// State is what Observe knows of a job.
type State string

// The states of a job. Unknown means that the backend could not tell.
const (
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Stopped   State = "stopped"
	Unknown   State = "unknown"
)

// Point is the metrics at the end of an epoch.
type Point struct {
	Epoch   int                `json:"epoch"` // from 1
	Step    int64              `json:"step"`  // optimizer steps so far
	Metrics map[string]float64 `json:"metrics"`
}

// Observation is what happened to a job since a cursor.
type Observation struct {
	State  State    `json:"state"`
	Epochs int      `json:"epochs"` // in all
	Points []Point  `json:"points,omitempty"`
	Logs   []string `json:"logs,omitempty"`
	// Checkpoint names the epoch of the last durable checkpoint; 0 means none.
	Checkpoint int `json:"checkpoint"`
	// Failure is why a failed job failed, in one line.
	Failure string `json:"failure,omitempty"`
	Cursor  Cursor `json:"cursor"`
}

// Cursor is how far an observer has read. The zero value is the beginning.
type Cursor struct {
	Point int `json:"point"`
	Log   int `json:"log"`
}

// Order is what Signal asks of a running job.
type Order string

// The orders: stop saves a checkpoint first, kill does not.
const (
	Checkpoint Order = "checkpoint"
	Stop       Order = "stop"
	Kill       Order = "kill"
)

// Outcome is what a succeeded job left.
type Outcome struct {
	// Artifact is the digest of the model's bundle, stored in the artifact store.
	Artifact   domain.Digest      `json:"artifact"`
	Signature  domain.Signature   `json:"signature"`
	Metrics    map[string]float64 `json:"metrics"` // the last epoch's
	Evaluation Evaluation         `json:"evaluation"`
	CodeDigest string             `json:"code_digest"` // of what trained it
	Rows       int64              `json:"rows"`        // learned from
}

// Evaluation is a model held against the held-out rows.
type Evaluation struct {
	Metrics         map[string]float64 `json:"metrics"`          // accuracy; precision, recall, f1 (macro)
	ConfusionMatrix [][]int64          `json:"confusion_matrix"` // [true][predicted]
	Labels          []string           `json:"labels"`
	Rows            int64              `json:"rows"`
}

// Trainer runs training jobs.
type Trainer interface {
	// Submit starts the job, or finds the one that the key names and resumes it where it stood.
	// A spec that can never run is an ErrInvalidSpec.
	Submit(ctx context.Context, key string, spec Spec) (Handle, error)
	// Observe tells what happened since the cursor and waits for news until ctx ends or about a second
	// has passed. A job that this backend does not know is Unknown.
	Observe(ctx context.Context, h Handle, since Cursor) (Observation, error)
	// Signal orders; Stop and Kill return when the job is proven not to run any more.
	Signal(ctx context.Context, h Handle, o Order) error
	// Collect stores the artifact of a succeeded job and describes it; it can be repeated.
	Collect(ctx context.Context, h Handle) (Outcome, error)
	// Forget deletes what the job left behind, its checkpoints included; an unknown job is fine.
	Forget(ctx context.Context, h Handle) error
}
