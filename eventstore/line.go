package eventstore

// line is where the calls of a tenant wait.
type line struct {
	tenant  string
	places  chan struct{} // one for each call in line or under way
	callers int
	calls   []*call // waiting
	state   lineState

	expected int           // how many calls to wait for
	gathered chan struct{} // closed when they are there; nil when nobody waits for them
}

type lineState uint8

const (
	idle   lineState = iota // nobody waits, none is under way
	ready                   // in combiner.ready
	flying                  // its calls are under way
	held                    // in combiner.held
)

func (l *line) next() *call {
	c := l.calls[0]
	l.calls = l.calls[1:]
	return c
}

// gather says so when the expected calls are there.
func (l *line) gather() {
	if l.gathered != nil && len(l.calls) >= l.expected {
		close(l.gathered)
		l.gathered = nil
	}
}
