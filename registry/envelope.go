package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"phantom/domain"
	"phantom/eventstore"
)

// Decode reads a stored event. One of a type or schema that this program does not know is a
// domain.ErrUnknownEvent.
func Decode(e eventstore.Event) (domain.Recorded, error) {
	event, err := domain.Decode(e.EventType, e.EventVersion, e.EventData)
	if err != nil {
		return domain.Recorded{}, fmt.Errorf("stream %s %s, revision %d: %w", e.AggregateType, e.AggregateID, e.AggregateVersion, err)
	}
	var metadata domain.EventMetadata
	if len(e.Metadata) > 0 {
		if err := json.Unmarshal(e.Metadata, &metadata); err != nil {
			return domain.Recorded{}, fmt.Errorf("stream %s %s, revision %d: decode the metadata: %w",
				e.AggregateType, e.AggregateID, e.AggregateVersion, err)
		}
	}
	return domain.Recorded{
		Event: event, Stream: domain.StreamID{Type: domain.AggregateType(e.AggregateType), ID: e.AggregateID},
		Revision: e.AggregateVersion, Position: e.Position,
		OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Metadata: metadata,
	}, nil
}

func decodeAll(events []eventstore.Event) ([]domain.Recorded, error) {
	decoded := make([]domain.Recorded, len(events))
	for i, event := range events {
		var err error
		if decoded[i], err = Decode(event); err != nil {
			return nil, err
		}
	}
	return decoded, nil
}

// fold decodes the events and hands each to evolve.
func fold(events []eventstore.Event, evolve func(domain.Recorded)) error {
	for _, event := range events {
		decoded, err := Decode(event)
		if err != nil {
			return err
		}
		evolve(decoded)
	}
	return nil
}

// encode puts decided events into envelopes.
func encode(events []domain.Event, meta domain.Meta) ([]eventstore.NewEvent, error) {
	metadata, err := json.Marshal(metadataOf(meta))
	if err != nil {
		return nil, fmt.Errorf("encode the metadata of command %s: %w", meta.CommandID, err)
	}
	encoded := make([]eventstore.NewEvent, len(events))
	for i, event := range events {
		eventType, version, data, err := domain.Encode(event)
		if err != nil {
			return nil, err
		}
		encoded[i] = eventstore.NewEvent{
			ID: domain.EventID(meta.CommandID, i, event), Type: eventType, Version: version, Data: data,
			Metadata: metadata, OccurredAt: meta.At, CausationID: meta.CausationID, CorrelationID: meta.CorrelationID,
		}
	}
	return encoded, nil
}

func metadataOf(meta domain.Meta) domain.EventMetadata {
	return domain.EventMetadata{
		Actor: meta.Actor, CommandID: meta.CommandID, WorkflowID: meta.WorkflowID, RunID: meta.RunID, Trace: meta.Trace,
	}
}

// recorded gives appended events their places; those of one append stand one after the other.
func recorded(stream domain.StreamID, events []domain.Event, meta domain.Meta, done eventstore.Appended) []domain.Recorded {
	placed := make([]domain.Recorded, len(events))
	for i, event := range events {
		back := int64(len(events) - 1 - i)
		placed[i] = domain.Recorded{
			Event: event, Stream: stream, Revision: done.Revision - back, Position: done.Position - back,
			OccurredAt: meta.At, RecordedAt: done.RecordedAt, Metadata: metadataOf(meta),
		}
	}
	return placed
}

// requestHash tells one request from another: the command's type and its content as canonical JSON. Who
// asks, and every time, is left out, so that a retry is the same request.
func requestHash(cmd domain.Command) ([]byte, error) {
	content := cmd
	if asked, is := cmd.(domain.RequestApproval); is {
		asked.ExpiresAt = time.Time{}
		content = asked
	}
	text, err := canonical(content)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", domain.CommandType(cmd), err)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n", domain.CommandType(cmd))
	hash.Write(text)
	return hash.Sum(nil), nil
}

// canonical is JSON with sorted keys and without blanks; numbers keep their text.
func canonical(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

func storeStream(s domain.StreamID) eventstore.Stream {
	return eventstore.Stream{Type: string(s.Type), ID: s.ID}
}

// logOf is the log that a stream stands in.
func logOf(s domain.StreamID) eventstore.Log {
	if s.Type == domain.TypeInferenceLog {
		return eventstore.Inference
	}
	return eventstore.Lifecycle
}
