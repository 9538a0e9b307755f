package domain

import (
	"encoding/json"
	"fmt"
)

// upcaster turns the stored JSON of one version of an event into that of the next. It is pure, and it is
// never changed: what it reads is stored for ever.
type upcaster func(data []byte) ([]byte, error)

// upcasters lead from version 1 of an event to its current one, a step each. An event whose form changes
// gets one more here, and a golden file of its new version beside those of the old ones.
func upcasters(eventType string) []upcaster {
	if eventType == "InferenceMade" {
		return []upcaster{inferenceMadeV1}
	}
	return nil
}

// SchemaVersion is the version in which events of the type are written now: 1 plus the upcasters that lead
// to it.
func SchemaVersion(eventType string) int { return 1 + len(upcasters(eventType)) }

// upcast brings stored JSON to the current version.
func upcast(eventType string, version int, data []byte) ([]byte, error) {
	for i, step := range upcasters(eventType)[version-1:] {
		var err error
		if data, err = step(data); err != nil {
			return nil, fmt.Errorf("upcast %s from schema version %d: %w", eventType, version+i, err)
		}
	}
	return data, nil
}

// inferenceMadeV1: version 1 had the bare prediction, and inputs that no command could bring in. Version 2
// says of both in which form they stand there, because they may be sealed.
func inferenceMadeV1(data []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	for _, name := range []string{"input_features", "prediction"} {
		bare, given := fields[name]
		if !given {
			continue
		}
		delete(fields, name)
		if string(bare) == "null" {
			continue
		}
		wrapped, err := marshal(Content{Clear: bare})
		if err != nil {
			return nil, err
		}
		fields[name] = wrapped
	}
	return marshal(fields)
}
