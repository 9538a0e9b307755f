package domain

// Event is a fact about an aggregate. The set is closed: every event is a struct of this package.
//
//sumtype:decl
type Event interface{ isEvent() }

// Command asks an aggregate for a change. Decide answers with events or with a refusal.
//
//sumtype:decl
type Command interface {
	// Writes is the stream that the command's events are appended to.
	Writes() StreamID
	// Guards are streams that must not change meanwhile, because the decision reads them.
	Guards() []StreamID
}
