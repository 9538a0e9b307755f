// Package workflows holds the sagas: deterministic stories, told by Temporal.
//
// What it promises: a saga always ends tidy. It is done, or undone, or parked with the reason, also after
// a crash, a cancellation or a dead backend. Its input is read strictly before the first effect, and a bad
// one lists every bad field. Each effect has a command id that is the same in every retry and replay, so
// it happens once.
//
// What it does not: it touches nothing itself; activities do. It takes no decision from a read model.
//
// # How a saga is written
//
// saga.go, steps.go, undo.go, messages.go, approval.go and status.go are what all stories share; options.go
// has the timeouts and retries of every activity; place.go is what the stories of a target share. A story
// is a method of Sagas, registered in register.go, and a struct that embeds *saga:
//
//	s, err := w.open(ctx, KindDeployModel, steps, ActionApprove, ActionReject, …) // queries and messages answer
//	d := &deployment{saga: s}
//	if err = d.read(ctx, raw); err == nil { // payloadJSON, decode, checks; then s.identify
//		result, err = d.story(ctx)
//	}
//	return result, s.close(ctx, result.Outcome, err) // undoes when err, waits for handlers
//
// Inside the story:
//
//   - u := s.onUndo(step, "unload the candidate", act), before the step is tried; u.retire() when the undo
//     became pointless. act gets the cause: temporal.IsCanceledError(cause), or the error of the story.
//     It uses s.undoWith, whose activity is retried without end.
//   - s.perform(ctx, effect{step: …, class: …, summary: …, out: …}, activityMethod, func(o) input) runs
//     one activity and marks the step as running. Refusals and cancellation end the step and come back;
//     anything else parks the saga until retry_step. A step may perform several effects, each with a name
//     that is unique in the saga, because it is part of the command id. s.done or s.skip ends the step.
//     Without out the result is a domain.Result, and goes to revision and position (aside: position only);
//     with out the caller gives what it holds to s.recorded.
//   - m, err := s.await(ctx, wait{on: WaitingDecision, actions: …, timeout: …}) waits for a person; a nil m
//     means that time ran out. m must be answered: m.answer(Receipt{…}, err).
//   - To take messages while something else runs, set s.allowed for that time, and look at s.mail() in the
//     condition of workflow.Await; answer what it returns, and set s.allowed to nil afterwards.
//   - s.ask(ctx, question{…}) asks for an approval and records the answer.
//   - idFor(ctx, "rollout") is an id that retries and replays agree on. s.note upserts search attributes.
//
// Errors go to Temporal unwrapped: only the outermost one decides about retries and is shown.
package workflows
