package domain

// Event is a fact about an aggregate. The set is closed: every event is a struct of this package.
//
//sumtype:decl
type Event interface{ isEvent() }

// Command asks an aggregate for a change. Decide answers with events or with a refusal. The set is
// closed: every command is a struct of this package.
//
//sumtype:decl
type Command interface {
	// Writes is the stream that the command's events are appended to.
	Writes() StreamID
	// Guards are streams that must not change meanwhile, because the decision reads them.
	Guards() []StreamID

	// validate looks at the command alone.
	validate(*checks)
	// decide looks at the states that the command reads; the command is valid.
	decide(Aggregates) ([]Event, error)
}
