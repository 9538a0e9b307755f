package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// NoteExpired is the reason of a rejection that nobody gave: time ran out.
const NoteExpired = "expired"

// ApprovalTerms is the approval part of an input.
type ApprovalTerms struct {
	Timeout Duration `json:"timeout"` // default 24h; then it is a rejection with reason "expired"
}

// defaultApprovalTimeout is how long an approval is waited for unless the input says otherwise.
const defaultApprovalTimeout = Duration(24 * time.Hour)

// normalise fills the default in; nil stays nil, and asks nobody.
func (a *ApprovalTerms) normalise(path string, bad *badFields) {
	if a == nil {
		return
	}
	if a.Timeout == 0 {
		a.Timeout = defaultApprovalTimeout
	}
	if a.Timeout < 0 {
		bad.add(under(path, "timeout"), "must be longer than zero")
	}
}

// overdue is how long an answer is waited for when time ran out before the question could be asked.
const overdue = time.Millisecond

// question is an approval that a saga asks for, as one of its steps.
type question struct {
	step    string
	subject domain.Subject
	terms   ApprovalTerms
	about   string // "accuracy 0.97 of digits"
}

// ask records that approval is waited for, waits, and records the answer. Approve and reject are
// answered once their event is in the log; one that the domain refuses goes back to its sender, and the
// wait goes on.
func (s *saga) ask(ctx workflow.Context, q question) (domain.DecideApproval, error) {
	s.begin(ctx, q.step)
	timeout := time.Duration(q.terms.Timeout)
	expires := workflow.Now(ctx).Add(timeout)
	open := s.onUndo(q.step, "withdraw the question", func(ctx workflow.Context, cause error) error {
		return s.withdraw(ctx, q, cause)
	})
	request := effect{step: q.step, name: q.step + "-request", aside: true, summary: "ask for approval: " + q.about}
	err := s.perform(ctx, request, (*activities.Approvals)(nil).RequestApproval, func(o activities.Origin) any {
		return activities.ApprovalRequest{Origin: o, Command: domain.RequestApproval{
			ModelID: s.model, Subject: q.subject, RequestedBy: s.actor, ExpiresAt: expires,
		}}
	})
	if err != nil {
		return domain.DecideApproval{}, err
	}
	for turn := 1; ; turn++ {
		if s.step(q.step).State != StepRunning { // an answer was refused
			s.begin(ctx, q.step)
		}
		m, err := s.await(ctx, wait{
			on: WaitingApproval, actions: []Action{ActionApprove, ActionReject},
			timeout: max(expires.Sub(workflow.Now(ctx)), overdue), summary: "approval expires: " + q.about,
		})
		if err != nil {
			return domain.DecideApproval{}, err
		}
		decision := s.decision(q, m)
		err = s.decide(ctx, q, decision, turn)
		if err == nil {
			open.retire()
		}
		if m == nil {
			return decision, err
		}
		m.answer(Receipt{Revision: s.revision, Position: s.position}, applicationError(err))
		if err == nil || !activities.Refused(err) {
			return decision, err
		}
	}
}

// decision is the answer that a message gives; none is the expiry.
func (s *saga) decision(q question, m *message) domain.DecideApproval {
	decision := domain.DecideApproval{ModelID: s.model, Subject: q.subject, Decision: domain.Rejected}
	switch {
	case m == nil:
		decision.By, decision.Note = domain.Actor{Subject: "phantom", Auth: domain.AuthLocal}, NoteExpired
	case m.action == ActionApprove:
		decision.Decision, decision.By, decision.Note = domain.Approved, m.by, m.text
	default:
		decision.By, decision.Note = m.by, m.text
	}
	return decision
}

func (s *saga) decide(ctx workflow.Context, q question, d domain.DecideApproval, turn int) error {
	e := effect{
		step: q.step, name: fmt.Sprintf("%s-decide-%d", q.step, turn), aside: true,
		summary: fmt.Sprintf("%s by %s", d.Decision, d.By.Subject),
	}
	err := s.perform(ctx, e, (*activities.Approvals)(nil).DecideApproval, func(o activities.Origin) any {
		o.Meta.Actor = d.By
		return activities.ApprovalDecision{Origin: o, Command: d}
	})
	if err == nil {
		s.done(ctx, q.step, fmt.Sprintf("%s by %s%s", d.Decision, d.By.Subject, parenthesis(d.Note)))
	}
	return err
}

// withdraw answers a question that nobody needs an answer to any more, so that none stays open.
func (s *saga) withdraw(ctx workflow.Context, q question, cause error) error {
	note := "the saga failed"
	if temporal.IsCanceledError(cause) {
		note = "cancelled"
	}
	d := s.decision(q, nil)
	d.Note = note
	e := effect{step: q.step, name: "undo-" + q.step, aside: true, summary: "undo: withdraw the question"}
	return s.undoWith(ctx, e, (*activities.Approvals)(nil).DecideApproval, func(o activities.Origin) any {
		return activities.ApprovalDecision{Origin: o, Command: d}
	})
}

func parenthesis(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
