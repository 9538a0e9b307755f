package readmodel

import (
	"time"

	"phantom/domain"
	"phantom/eventstore"
)

// EventFilter narrows ListEvents; what is empty does not narrow.
type EventFilter struct {
	// ModelID takes the model's own stream and those of its trainings and rollouts.
	ModelID domain.ModelID
	Types   []string
	From    time.Time // occurred_at, inclusive
	To      time.Time // occurred_at, exclusive
	After   int64     // position; the next page's is the last event's position
}

// EventPage is a piece of the lifecycle log in position order; NextCursor of it is the After of the
// next page, in decimal.
type EventPage = Page[eventstore.Event]
