// Package domain holds the aggregates of Phantom: their commands, events, states and rules.
//
// What it promises: Decide and Evolve are pure; they read no clock, draw no random number and do no
// I/O, so the same history and the same command always give the same events. Every event encodes to
// JSON whose form is kept by golden files, and decodes to the same value.
//
// What it does not: it stores nothing, retries nothing and knows neither PostgreSQL nor Temporal.
//
// Four aggregates share the work. The MLModel stream holds what starts and ends, and stays short; the
// TrainingJob and Rollout streams hold what happens in between; the InferenceLog is never folded.
package domain
