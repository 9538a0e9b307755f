// Package activities does what the sagas decide: each activity is one side effect.
//
// What it promises: an activity can be repeated. A command carries the id that the saga gave it, so the
// registry answers a repetition with the first result; a training job is named by its id, so a trainer
// that is asked again finds the job that it had. A refusal reaches Temporal as an ApplicationError of a
// named type (errors.go) that is not retried; everything else is retried. A wish to cancel is told apart
// from every other end of an activity's context: only a wish stops a job.
//
// What it does not: it takes no decision that a saga could take, and holds no state of its own. Each file
// declares the small interfaces that it needs; what implements them is wired by the worker.
package activities
