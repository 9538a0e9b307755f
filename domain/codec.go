package domain

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrUnknownEvent says that a stored event has a type or a schema version that this program does not
// know: it was written by a newer one.
var ErrUnknownEvent = errors.New("unknown event")

// Encode gives the event's type, the current version of its schema and its JSON.
func Encode(e Event) (eventType string, version int, data []byte, err error) {
	eventType = EventType(e)
	data, err = marshal(e)
	if err != nil {
		return "", 0, nil, fmt.Errorf("encode %s: %w", eventType, err)
	}
	return eventType, SchemaVersion(eventType), data, nil
}

// EventType is the name that is stored with the event. It is written out, so that renaming a struct
// cannot change what is stored.
func EventType(e Event) string {
	switch e.(type) {
	case ModelCreated:
		return "ModelCreated"
	case ModelConfigurationUpdated:
		return "ModelConfigurationUpdated"
	case ModelMetadataUpdated:
		return "ModelMetadataUpdated"
	case TrainingStarted:
		return "TrainingStarted"
	case TrainingCompleted:
		return "TrainingCompleted"
	case TrainingFailed:
		return "TrainingFailed"
	case ModelVersionCreated:
		return "ModelVersionCreated"
	case RolloutStarted:
		return "RolloutStarted"
	case RolloutPromoted:
		return "RolloutPromoted"
	case RolloutRolledBack:
		return "RolloutRolledBack"
	case ModelDeployed:
		return "ModelDeployed"
	case ModelUndeployed:
		return "ModelUndeployed"
	case AliasAssigned:
		return "AliasAssigned"
	case AliasRemoved:
		return "AliasRemoved"
	case ModelArchived:
		return "ModelArchived"
	case ModelDeleted:
		return "ModelDeleted"
	case TrainingProgressUpdated:
		return "TrainingProgressUpdated"
	case CandidateEvaluated:
		return "CandidateEvaluated"
	case ApprovalRequested:
		return "ApprovalRequested"
	case ApprovalDecided:
		return "ApprovalDecided"
	case TrafficShifted:
		return "TrafficShifted"
	case RolloutAssessed:
		return "RolloutAssessed"
	case InferenceMade:
		return "InferenceMade"
	case FeedbackRecorded:
		return "FeedbackRecorded"
	}
	panic(fmt.Sprintf("domain: %T has no event type", e))
}

// Decode reads a stored event of any version up to the current one. Unknown fields are ignored; an unknown
// type or version is an ErrUnknownEvent.
func Decode(eventType string, version int, data []byte) (Event, error) {
	decode := decoder(eventType)
	if decode == nil {
		return nil, fmt.Errorf("event type %q: %w", eventType, ErrUnknownEvent)
	}
	if current := SchemaVersion(eventType); version < 1 || version > current {
		return nil, fmt.Errorf("%s of schema version %d, this program knows 1 to %d: %w",
			eventType, version, current, ErrUnknownEvent)
	}
	data, err := upcast(eventType, version, data)
	if err != nil {
		return nil, err
	}
	event, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", eventType, err)
	}
	return event, nil
}

func decoder(eventType string) func([]byte) (Event, error) {
	switch eventType {
	case "ModelCreated":
		return read[ModelCreated]
	case "ModelConfigurationUpdated":
		return read[ModelConfigurationUpdated]
	case "ModelMetadataUpdated":
		return read[ModelMetadataUpdated]
	case "TrainingStarted":
		return read[TrainingStarted]
	case "TrainingCompleted":
		return read[TrainingCompleted]
	case "TrainingFailed":
		return read[TrainingFailed]
	case "ModelVersionCreated":
		return read[ModelVersionCreated]
	case "RolloutStarted":
		return read[RolloutStarted]
	case "RolloutPromoted":
		return read[RolloutPromoted]
	case "RolloutRolledBack":
		return read[RolloutRolledBack]
	case "ModelDeployed":
		return read[ModelDeployed]
	case "ModelUndeployed":
		return read[ModelUndeployed]
	case "AliasAssigned":
		return read[AliasAssigned]
	case "AliasRemoved":
		return read[AliasRemoved]
	case "ModelArchived":
		return read[ModelArchived]
	case "ModelDeleted":
		return read[ModelDeleted]
	case "TrainingProgressUpdated":
		return read[TrainingProgressUpdated]
	case "CandidateEvaluated":
		return read[CandidateEvaluated]
	case "ApprovalRequested":
		return read[ApprovalRequested]
	case "ApprovalDecided":
		return read[ApprovalDecided]
	case "TrafficShifted":
		return read[TrafficShifted]
	case "RolloutAssessed":
		return read[RolloutAssessed]
	case "InferenceMade":
		return read[InferenceMade]
	case "FeedbackRecorded":
		return read[FeedbackRecorded]
	}
	return nil
}

func read[E Event](data []byte) (Event, error) {
	var event E
	if err := json.Unmarshal(data, &event); err != nil {
		return nil, err
	}
	return event, nil
}
