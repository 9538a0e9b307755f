package eventstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// What one append may hold.
const (
	MaxEventBytes  = 1 << 20 // of event_data and metadata together
	MaxBatchEvents = 1000    // of all streams
)

// Validate returns ErrMalformed, with the field, for an append that no store may take: an unknown log, an empty or
// unreadable name, a stream or an event id that comes twice, data that is no JSON, a missing time; and a *TooLarge beyond
// MaxEventBytes and MaxBatchEvents. Append calls it.
func Validate(tenant string, log Log, appends []Append, cmd *CommandRecord) error {
	switch {
	case !log.valid():
		return malformed("log %q: it is lifecycle or inference", log)
	case !readable(tenant):
		return malformed("tenant %q", tenant)
	case len(appends) == 0 && cmd == nil:
		return malformed("neither streams nor a command")
	}
	if cmd != nil {
		if err := cmd.validate(); err != nil {
			return err
		}
	}
	return validateAppends(appends)
}

func validateAppends(appends []Append) error {
	total := 0
	for _, a := range appends {
		total += len(a.Events)
	}
	if total > MaxBatchEvents {
		return &TooLarge{What: "events in one append", Actual: total, Limit: MaxBatchEvents}
	}
	streams := make(map[Stream]struct{}, len(appends))
	ids := make(map[uuid.UUID]struct{}, len(appends))
	var skipping, strict bool
	for _, a := range appends {
		if !readable(a.Stream.Type) || !readable(a.Stream.ID) {
			return malformed("stream %q %q", a.Stream.Type, a.Stream.ID)
		}
		if _, twice := streams[a.Stream]; twice {
			return malformed("stream %s %s comes twice", a.Stream.Type, a.Stream.ID)
		}
		streams[a.Stream] = struct{}{}
		if a.Expect.kind == expectExact && a.Expect.revision < 0 {
			return malformed("stream %s %s: expected revision %d", a.Stream.Type, a.Stream.ID, a.Expect.revision)
		}
		if a.SkipStored && a.Expect.kind != expectAny {
			return malformed("stream %s %s: SkipStored goes with Any only", a.Stream.Type, a.Stream.ID)
		}
		skipping = skipping || a.SkipStored
		strict = strict || (!a.SkipStored && len(a.Events) > 0)
		if err := validateEvents(a, ids); err != nil {
			return err
		}
	}
	if skipping && strict {
		return malformed("streams that skip stored events stand beside streams that do not")
	}
	return nil
}

func validateEvents(a Append, ids map[uuid.UUID]struct{}) error {
	own := make(map[uuid.UUID]struct{})
	for i, e := range a.Events {
		if err := e.validate(); err != nil {
			return fmt.Errorf("stream %s %s, event %d (%s): %w", a.Stream.Type, a.Stream.ID, i, e.Type, err)
		}
		if _, twice := own[e.ID]; twice && a.SkipStored {
			continue
		}
		if _, twice := ids[e.ID]; twice {
			return malformed("event id %s comes twice", e.ID)
		}
		ids[e.ID] = struct{}{}
		if a.SkipStored {
			own[e.ID] = struct{}{}
		}
	}
	return nil
}

func (e NewEvent) validate() error {
	size := len(e.Data) + len(e.Metadata)
	switch {
	case size > MaxEventBytes:
		return &TooLarge{What: "bytes in one event", Actual: size, Limit: MaxEventBytes}
	case e.ID == uuid.Nil:
		return malformed("it has no id")
	case !readable(e.Type):
		return malformed("event type %q", e.Type)
	case e.Version < 1 || e.Version > 1<<31-1:
		return malformed("event version %d: they start at 1", e.Version)
	case e.OccurredAt.IsZero() || e.OccurredAt.Year() < 1 || e.OccurredAt.Year() > 9999:
		return malformed("occurred_at %v", e.OccurredAt)
	case !storable(e.Data):
		return malformed("event_data is no JSON")
	case len(e.Metadata) > 0 && !storable(e.Metadata):
		return malformed("metadata is no JSON")
	case e.CausationID != "" && !readable(e.CausationID):
		return malformed("causation_id %q", e.CausationID)
	case e.CorrelationID != "" && !readable(e.CorrelationID):
		return malformed("correlation_id %q", e.CorrelationID)
	}
	return nil
}

func (c CommandRecord) validate() error {
	switch {
	case !readable(c.ID):
		return malformed("command id %q", c.ID)
	case len(c.RequestHash) == 0:
		return malformed("command %s has no request hash", c.ID)
	case len(c.Result) > 0 && !storable(c.Result):
		return malformed("the result of command %s is no JSON", c.ID)
	}
	return nil
}

func (l Log) valid() bool { return l == Lifecycle || l == Inference }

// readable is text that a key can hold: not empty, UTF-8, no NUL, short enough for an index.
func readable(s string) bool {
	const longest = 1024
	return s != "" && len(s) <= longest && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

func storable(text json.RawMessage) bool { return utf8.Valid(text) && json.Valid(text) }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
