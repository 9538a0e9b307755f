package rollout

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Plan is a strategy ready to be walked: Next is a pure function from a state and what happened to the
// next state and the move to make. A saga keeps the State and makes the moves.
//
//	Begun ──► step 1 ──► step 2 ──► … ──► Promote
//	            │ ▲        │ ▲
//	            ▼ │        ▼ │            a failed metric or Abort, anywhere: RollBack
//	       WaitForPerson (the numbers may still decide)
type Plan struct {
	steps          []plannedStep
	maxHold        time.Duration
	onInconclusive OnInconclusive
}

type plannedStep struct {
	weight int
	hold   time.Duration
}

// NewPlan fills in the strategy's defaults. The error is that of Validate.
func NewPlan(s Strategy) (Plan, error) {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return Plan{}, err
	}
	maxHold, err := time.ParseDuration(s.Canary.MaxHold)
	plan := Plan{maxHold: maxHold, onInconclusive: s.Canary.OnInconclusive}
	for _, step := range s.Canary.Steps {
		hold, holdErr := time.ParseDuration(step.Hold)
		err = errors.Join(err, holdErr)
		plan.steps = append(plan.steps, plannedStep{weight: step.Weight, hold: hold})
	}
	return plan, err
}

// State is where a rollout stands. The zero value is one that has not begun.
type State struct {
	Step    int  `json:"step"`              // 1-based; 0 before Begun
	Waiting bool `json:"waiting,omitempty"` // for a person
	Ended   Move `json:"ended,omitempty"`   // Promote or RollBack
}

// Move is what to do next.
type Move string

// The moves.
const (
	Hold          Move = "hold"            // leave the traffic as it is and assess again
	Shift         Move = "shift"           // give the candidate the step's weight
	WaitForPerson Move = "wait_for_person" // as Hold, and ask for promote or abort
	Promote       Move = "promote"         // all traffic to the candidate; the end
	RollBack      Move = "roll_back"       // all traffic to the champion; the end
)

// Action is a move with its details.
type Action struct {
	Move   Move          `json:"move"`
	Step   int           `json:"step"`             // 1-based; with Shift the one to go to
	Weight int           `json:"weight,omitempty"` // with Shift: percent of the candidate
	For    time.Duration `json:"for,omitempty"`    // with Hold: until time alone changes the answer
	Reason string        `json:"reason,omitempty"`
}

// Event is what happened: Begun, Observed or Told.
//
//sumtype:decl
type Event interface{ isEvent() }

// Begun says that the candidate is loaded and may get its first traffic.
type Begun struct{}

// Observed is an assessment, and how long the present step has been held.
type Observed struct {
	Held       time.Duration
	Assessment Assessment
}

// Told is a person's message.
type Told struct {
	Message Message
	By      string
	Reason  string
}

func (Begun) isEvent()    {}
func (Observed) isEvent() {}
func (Told) isEvent()     {}

// Message is what a person can say.
type Message string

// The messages.
const (
	PromoteStep Message = "promote"      // to the next step; after the last, to all traffic
	PromoteFull Message = "promote full" // to all traffic at once
	Abort       Message = "abort"        // back to the champion
)

// Refused says that an event makes no sense in the state.
type Refused struct {
	Event   string
	Allowed []Message
}

func (e *Refused) Error() string {
	if len(e.Allowed) == 0 {
		return e.Event + " is not allowed now; nothing is"
	}
	allowed := make([]string, len(e.Allowed))
	for i, message := range e.Allowed {
		allowed[i] = string(message)
	}
	return e.Event + " is not allowed now; allowed: " + strings.Join(allowed, ", ")
}

// Allowed lists the messages that make sense in the state.
func (p Plan) Allowed(s State) []Message {
	switch {
	case s.Ended != "":
		return nil
	case s.Step == 0:
		return []Message{Abort}
	default:
		return []Message{PromoteStep, PromoteFull, Abort}
	}
}

// Next returns the state and the move after an event. It returns *Refused, and the state unchanged, for
// a message that Allowed does not list, for a second Begun, and for what comes before Begun or after
// the end.
func (p Plan) Next(s State, event Event) (State, Action, error) {
	switch event := event.(type) {
	case Begun:
		if s != (State{}) {
			return p.refuse(s, "a second begin")
		}
		return p.advance(s, "begun")
	case Observed:
		if s.Step == 0 || s.Ended != "" {
			return p.refuse(s, "an assessment")
		}
		return p.observed(s, event.Held, event.Assessment)
	case Told:
		return p.told(s, event)
	default:
		return p.refuse(s, fmt.Sprintf("%T", event))
	}
}

func (p Plan) observed(s State, held time.Duration, a Assessment) (State, Action, error) {
	hold := p.steps[s.Step-1].hold
	a.Reason = orDefault(a.Reason, "no metric could be read")
	switch {
	case a.Verdict == Failed:
		return p.rollBack(s, a.Reason)
	case held < hold:
		return p.hold(s, hold-held, a.Reason)
	case p.passes(s, a):
		return p.advance(s, a.Reason)
	case s.Waiting:
		return p.wait(s, a.Reason)
	case held < p.maxHold:
		return p.hold(s, p.maxHold-held, a.Reason)
	default:
		return p.inconclusive(s, a)
	}
}

// passes: the last step asks for acceptance, an earlier one only for a look without a failure. So the
// candidate's share never grows before somebody could have seen that it is bad.
func (p Plan) passes(s State, a Assessment) bool {
	return a.Verdict == Passed || a.Looked && s.Step < len(p.steps)
}

func (p Plan) inconclusive(s State, a Assessment) (State, Action, error) {
	reason := fmt.Sprintf("inconclusive after %s: %s", p.maxHold, a.Reason)
	switch {
	case p.onInconclusive == OnInconclusiveRollBack:
		return p.rollBack(s, reason)
	case p.onInconclusive == OnInconclusiveContinue && (a.Looked || s.Step < len(p.steps)):
		return p.advance(s, reason)
	default:
		return p.wait(s, reason)
	}
}

func (p Plan) told(s State, told Told) (State, Action, error) {
	allowed := p.Allowed(s)
	for _, message := range allowed {
		if message != told.Message {
			continue
		}
		switch message {
		case Abort:
			return p.rollBack(s, said("aborted", told))
		case PromoteFull:
			return p.promote(s, said("promoted", told))
		case PromoteStep:
			return p.advance(s, said("promoted", told))
		}
	}
	return p.refuse(s, string(told.Message))
}

func said(what string, told Told) string {
	if told.By != "" {
		what += " by " + told.By
	}
	if told.Reason != "" {
		what += ": " + told.Reason
	}
	return what
}

func (p Plan) advance(s State, reason string) (State, Action, error) {
	if s.Step == len(p.steps) {
		return p.promote(s, reason)
	}
	next := State{Step: s.Step + 1}
	return next, Action{Move: Shift, Step: next.Step, Weight: p.steps[s.Step].weight, Reason: reason}, nil
}

func (p Plan) hold(s State, rest time.Duration, reason string) (State, Action, error) {
	return s, Action{Move: Hold, Step: s.Step, For: rest, Reason: reason}, nil
}

func (p Plan) wait(s State, reason string) (State, Action, error) {
	s.Waiting = true
	return s, Action{Move: WaitForPerson, Step: s.Step, Reason: reason}, nil
}

func (p Plan) promote(s State, reason string) (State, Action, error) {
	return State{Step: s.Step, Ended: Promote}, Action{Move: Promote, Step: s.Step, Reason: reason}, nil
}

func (p Plan) rollBack(s State, reason string) (State, Action, error) {
	return State{Step: s.Step, Ended: RollBack}, Action{Move: RollBack, Step: s.Step, Reason: reason}, nil
}

func (p Plan) refuse(s State, what string) (State, Action, error) {
	return s, Action{}, &Refused{Event: what, Allowed: p.Allowed(s)}
}
