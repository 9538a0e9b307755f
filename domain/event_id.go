package domain

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// EventID names the event that a command made as its ordinal-th, from 0. The same command gives the
// same id again, so that an append can be repeated. An inference and its labels are named by what they
// are about, whichever command brings them.
func EventID(commandID string, ordinal int, e Event) uuid.UUID {
	switch e := e.(type) {
	case InferenceMade:
		return e.ID()
	case FeedbackRecorded:
		return e.ID()
	default:
		return nameUUID(commandSpace(), commandID, strconv.Itoa(ordinal))
	}
}

// ID is the event's id: one for each row of an inference.
func (e InferenceMade) ID() uuid.UUID {
	return nameUUID(inferenceSpace(), "inference", string(e.InferenceID), strconv.Itoa(e.Row))
}

// ID is the event's id: one for each row of an inference and source of labels.
func (e FeedbackRecorded) ID() uuid.UUID {
	return nameUUID(inferenceSpace(), "feedback", string(e.InferenceID), strconv.Itoa(e.Row), e.Source)
}

// nameUUID is the UUIDv5 (RFC 9562) of the parts; texts have no NUL, so parts cannot run together.
func nameUUID(space uuid.UUID, parts ...string) uuid.UUID {
	return uuid.NewSHA1(space, []byte(strings.Join(parts, "\x00")))
}

// commandSpace is the namespace of the event ids that derive from a command's id.
func commandSpace() uuid.UUID { return uuid.MustParse("0d9c7a52-3a0e-4b53-8f0b-0f1b0d1f6c11") }

// inferenceSpace is the namespace of the event ids of the inference log.
func inferenceSpace() uuid.UUID { return uuid.MustParse("6b3f2a0e-5b1f-4c52-9a57-0c3c4b6c1d4e") }
