package workflows

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
	"phantom/domain"
)

// Action is something that a person can do to a running saga: an update, also accepted as a signal of
// the same name. Cancel is Temporal's own.
type Action string

// The actions.
const (
	ActionApprove   Action = "approve"
	ActionReject    Action = "reject"
	ActionRetryStep Action = "retry_step"
	ActionPromote   Action = "promote"
	ActionAbort     Action = "abort"
	ActionCancel    Action = "cancel"
)

func (a Action) description() string {
	return map[Action]string{
		ActionApprove:   `Approve what waits for approval: {"by": "on-call", "note": "…"}.`,
		ActionReject:    `Reject what waits for approval: {"by": "on-call", "reason": "…"}.`,
		ActionRetryStep: `Try the parked step again: {} or {"by": "on-call"}.`,
		ActionPromote:   `Pass the canary step now, with full all the way: {"by": "on-call", "full": false}.`,
		ActionAbort:     `End the rollout and restore the champion: {"by": "on-call", "reason": "…"}.`,
	}[a]
}

// Sender is who sends a message. By is a claim, recorded as unverified with auth "temporal". The HTTP
// API sends Actor instead, which replaces By. Temporal carries no proof of it, so nobody is recorded as
// verified on its word: an Actor that says "verified" is refused as not available yet.
type Sender struct {
	By    string
	Actor *domain.Actor
}

// Approve is the payload of approve.
type Approve struct {
	By    string        `json:"by"`
	Note  string        `json:"note,omitempty"`
	Actor *domain.Actor `json:"actor,omitempty"`
}

// Reject is the payload of reject.
type Reject struct {
	By     string        `json:"by"`
	Reason string        `json:"reason,omitempty"`
	Actor  *domain.Actor `json:"actor,omitempty"`
}

// RetryStep is the payload of retry_step.
type RetryStep struct {
	By    string        `json:"by,omitempty"`
	Actor *domain.Actor `json:"actor,omitempty"`
}

// Promote is the payload of promote.
type Promote struct {
	By    string        `json:"by"`
	Full  bool          `json:"full,omitempty"`
	Actor *domain.Actor `json:"actor,omitempty"`
}

// Abort is the payload of abort.
type Abort struct {
	By     string        `json:"by"`
	Reason string        `json:"reason,omitempty"`
	Actor  *domain.Actor `json:"actor,omitempty"`
}

// Receipt answers an update, once what it asked for is recorded.
type Receipt struct {
	Revision int64 `json:"revision"`
	Position int64 `json:"position"`
}

// message is an action on its way from its sender to the story.
type message struct {
	action Action
	by     domain.Actor
	text   string // the note of an approval, the reason of a rejection or an abort
	full   bool

	taken    bool // the story has it in hand, and answers it later
	answered bool
	receipt  Receipt
	err      error
}

// answer ends a message: the update that brought it returns.
func (m *message) answer(receipt Receipt, err error) {
	m.answered, m.receipt, m.err = true, receipt, err
}

// claimed is the actor that a sender stands for. An empty claim is refused where a name is needed.
func claimed(sender Sender, needed bool) (domain.Actor, error) {
	switch {
	case sender.Actor != nil && (sender.Actor.Verified || sender.Actor.Auth != domain.AuthLocal && sender.Actor.Auth != domain.AuthAPIKey):
		return domain.Actor{}, &domain.InvalidInput{
			Field: "actor", Reason: `is not available yet but as {"subject": …, "auth": "local" or "api_key", "verified": false}`,
		}
	case sender.Actor != nil && !plain(sender.Actor.Subject):
		return domain.Actor{}, &domain.InvalidInput{
			Field: "actor.subject", Reason: "must be a name of 1 to 200 plain characters",
		}
	case sender.Actor != nil:
		return *sender.Actor, nil
	case sender.By == "" && needed:
		return domain.Actor{}, &domain.InvalidInput{Field: "by", Reason: "is required: who are you?"}
	case sender.By == "":
		return domain.Actor{Subject: "anonymous", Auth: domain.AuthTemporal}, nil
	case !plain(sender.By):
		return domain.Actor{}, &domain.InvalidInput{Field: "by", Reason: "must be a name of at most 200 plain characters"}
	default:
		return domain.Actor{Subject: sender.By, Auth: domain.AuthTemporal}, nil
	}
}

// plain tells a name from a text: short, visible, UTF-8.
func plain(name string) bool {
	return utf8.ValidString(name) && utf8.RuneCountInString(name) <= 200 && strings.TrimSpace(name) != "" &&
		!strings.ContainsFunc(name, unicode.IsControl)
}

// readMessage decodes an action's payload strictly.
func readMessage(action Action, raw converter.RawValue) (*message, error) {
	text, err := payloadJSON(raw)
	if err != nil {
		return nil, err
	}
	m := &message{action: action}
	var sender Sender
	switch action {
	case ActionApprove:
		var p Approve
		err = decode(text, &p)
		sender, m.text = Sender{p.By, p.Actor}, p.Note
	case ActionReject:
		var p Reject
		err = decode(text, &p)
		sender, m.text = Sender{p.By, p.Actor}, p.Reason
	case ActionPromote:
		var p Promote
		err = decode(text, &p)
		sender, m.full = Sender{p.By, p.Actor}, p.Full
	case ActionAbort:
		var p Abort
		err = decode(text, &p)
		sender, m.text = Sender{p.By, p.Actor}, p.Reason
	case ActionRetryStep, ActionCancel:
		var p RetryStep
		err = decode(text, &p)
		sender = Sender(p)
	}
	if err != nil {
		return nil, err
	}
	m.by, err = claimed(sender, action != ActionRetryStep)
	return m, err
}

// listen accepts the actions as updates and as signals, for as long as the saga lives.
func (s *saga) listen(ctx workflow.Context, actions []Action) error {
	for _, action := range actions {
		options := workflow.UpdateHandlerOptions{
			Description: action.description(),
			Validator: func(_ workflow.Context, raw converter.RawValue) error {
				_, err := s.admit(action, raw)
				return err
			},
		}
		handler := func(ctx workflow.Context, raw converter.RawValue) (Receipt, error) {
			return s.update(ctx, action, raw)
		}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, string(action), handler, options); err != nil {
			return err
		}
		signals := workflow.GetSignalChannelWithOptions(ctx, string(action),
			workflow.SignalChannelOptions{Description: action.description()})
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				var raw converter.RawValue
				signals.Receive(ctx, &raw)
				s.signal(ctx, action, raw)
			}
		})
	}
	return nil
}

// update delivers a message and waits until the story has answered it.
func (s *saga) update(ctx workflow.Context, action Action, raw converter.RawValue) (Receipt, error) {
	m, err := s.admit(action, raw)
	if err != nil {
		return Receipt{}, err
	}
	s.inbox = append(s.inbox, m)
	// A cancelled saga answers its messages too, so the wait does not end with the saga's context.
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := workflow.Await(ctx, func() bool { return m.answered }); err != nil {
		return Receipt{}, err
	}
	return m.receipt, m.err
}

// signal delivers a message that nobody waits for. One that makes no sense now is dropped: an approval
// that was sent before anything waited for it must not approve what comes later.
func (s *saga) signal(ctx workflow.Context, action Action, raw converter.RawValue) {
	m, err := s.admit(action, raw)
	if err != nil {
		workflow.GetLogger(ctx).Warn("signal dropped", "signal", string(action), "error", err.Error())
		return
	}
	s.inbox = append(s.inbox, m)
}

// admit reads a message and refuses one that makes no sense now with the list of what does.
func (s *saga) admit(action Action, raw converter.RawValue) (*message, error) {
	m, err := readMessage(action, raw)
	if err != nil {
		return nil, activities.Refusal(err)
	}
	if !slices.Contains(s.allowed, action) {
		return nil, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("%s is not allowed now (the saga is at %q); allowed: %s", action, s.stage, s.allowedText()),
			activities.TypeInvalidState, nil)
	}
	if waiting := s.mail(); waiting != nil {
		return nil, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("%s by %s is being recorded; ask again when it is", waiting.action, waiting.by.Subject),
			activities.TypeInvalidState, nil)
	}
	return m, nil
}

// mail is the oldest message that the story has not taken yet, or nil.
func (s *saga) mail() *message {
	for _, m := range s.inbox {
		if !m.taken && !m.answered {
			return m
		}
	}
	return nil
}

// take is mail, once: while what a message asked for is done, a step may park and wait for another one.
func (s *saga) take() *message {
	m := s.mail()
	if m != nil {
		m.taken = true
	}
	return m
}

// dismiss refuses the messages that came too late.
func (s *saga) dismiss() {
	for _, m := range s.inbox {
		if !m.answered {
			m.answer(Receipt{}, temporal.NewNonRetryableApplicationError(
				fmt.Sprintf("%s came too late: the saga is at %q", m.action, s.stage), activities.TypeInvalidState, nil))
		}
	}
}

// actionsNow lists what a person can do now.
func (s *saga) actionsNow() []Action {
	actions := append([]Action{}, s.allowed...) // never null in JSON
	if !s.closing {
		actions = append(actions, ActionCancel)
	}
	return actions
}

func (s *saga) allowedText() string {
	actions := s.actionsNow()
	if len(actions) == 0 {
		return "nothing"
	}
	texts := make([]string, len(actions))
	for i, action := range actions {
		texts[i] = string(action)
	}
	return strings.Join(texts, ", ")
}
