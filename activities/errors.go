package activities

import (
	"errors"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"

	"phantom/domain"
)

// The types of ApplicationErrors that activities and sagas end with. Each is a refusal: asking again
// changes nothing.
const (
	TypeInvalidInput   = "InvalidInput" // details: []FieldError
	TypeInvalidState   = "InvalidState"
	TypeNotFound       = "NotFound"
	TypeAlreadyExists  = "AlreadyExists"
	TypeConflict       = "Conflict" // a stale expectation, or a command id used for something else
	TypeTrainingFailed = "TrainingFailed"
	// TypeArtifactCorrupt says that a version's stored bytes are not those that were registered.
	TypeArtifactCorrupt = "ArtifactCorrupt"
	// TypeTargetRefused says that a server does not take a version, or that it does not compute there what it
	// was trained to.
	TypeTargetRefused = "TargetRefused"
)

// ErrorTypes returns the types of all refusals.
func ErrorTypes() []string {
	return []string{
		TypeInvalidInput, TypeInvalidState, TypeNotFound, TypeAlreadyExists, TypeConflict, TypeTrainingFailed,
		TypeArtifactCorrupt, TypeTargetRefused,
	}
}

// FieldError names one bad field of an input by its JSON path.
type FieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Refused reports whether the error is, or wraps, a refusal.
func Refused(err error) bool {
	return slices.Contains(ErrorTypes(), ErrorType(err))
}

// ErrorType is the type of the ApplicationError in err, or "".
func ErrorType(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Type()
	}
	return ""
}

// Refusal turns a domain's refusal into an ApplicationError that is not retried. Any other error comes
// back as it is, and is retried: ErrConflict too, because a saga states no expectation, so a conflict is
// contention. The result must not be wrapped: Temporal looks at the outermost error only.
func Refusal(err error) error {
	if err == nil || ErrorType(err) != "" {
		return err
	}
	if fields := Fields(err); len(fields) > 0 {
		return temporal.NewNonRetryableApplicationError("invalid input: "+join(fields), TypeInvalidInput, err, fields)
	}
	for _, refusal := range []struct {
		is     error
		called string
	}{
		{domain.ErrInvalidInput, TypeInvalidInput},
		{domain.ErrInvalidState, TypeInvalidState},
		{domain.ErrNotFound, TypeNotFound},
		{domain.ErrAlreadyExists, TypeAlreadyExists},
		{domain.ErrPreconditionFailed, TypeConflict},
		{domain.ErrIdempotencyMismatch, TypeConflict},
	} {
		if errors.Is(err, refusal.is) {
			return temporal.NewNonRetryableApplicationError(err.Error(), refusal.called, nil)
		}
	}
	return err
}

// refusedAs makes an error a refusal of a type that no domain error has.
func refusedAs(refusal string, err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), refusal, nil)
}

// Fields lists the bad fields that an error names, in its order.
func Fields(err error) []FieldError {
	switch e := err.(type) { //nolint:errorlint // walks the whole tree, so that no joined field is lost
	case nil:
		return nil
	case *domain.InvalidInput:
		return []FieldError{{Field: e.Field, Reason: e.Reason}}
	case interface{ Unwrap() []error }:
		var fields []FieldError
		for _, part := range e.Unwrap() {
			fields = append(fields, Fields(part)...)
		}
		return fields
	case interface{ Unwrap() error }:
		return Fields(e.Unwrap())
	}
	return nil
}

func join(fields []FieldError) string {
	texts := make([]string, len(fields))
	for i, field := range fields {
		texts[i] = field.Field + ": " + field.Reason
	}
	return strings.Join(texts, "; ")
}
