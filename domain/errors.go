package domain

import (
	"errors"
	"fmt"
	"strings"
)

// Facts about a refused command. Each travels by wrapping; the detail types below carry fields.
var (
	ErrNotFound            = errors.New("not found")
	ErrAlreadyExists       = errors.New("already exists")
	ErrInvalidState        = errors.New("not allowed in this state")
	ErrInvalidInput        = errors.New("invalid input")
	ErrConflict            = errors.New("changed by somebody else meanwhile")
	ErrPreconditionFailed  = errors.New("what was expected is stale")
	ErrIdempotencyMismatch = errors.New("the same command id was used for another request")
)

// NotFound says what is missing; it is an ErrNotFound.
type NotFound struct{ Kind, ID string }

func (e *NotFound) Error() string { return fmt.Sprintf("%s %s not found", e.Kind, e.ID) }

// Unwrap makes a NotFound an ErrNotFound.
func (e *NotFound) Unwrap() error { return ErrNotFound }

// AlreadyExists says what stands there already; it is an ErrAlreadyExists.
type AlreadyExists struct{ Kind, ID string }

func (e *AlreadyExists) Error() string { return fmt.Sprintf("%s %s already exists", e.Kind, e.ID) }

// Unwrap makes an AlreadyExists an ErrAlreadyExists.
func (e *AlreadyExists) Unwrap() error { return ErrAlreadyExists }

// InvalidState says why a command is refused now, and what would be allowed; it is an ErrInvalidState.
type InvalidState struct {
	Reason  string // "job j2 does not run"
	Current string
	Allowed []string
}

func (e *InvalidState) Error() string {
	text := e.Reason
	if e.Current != "" {
		text += " (it is " + e.Current + ")"
	}
	if len(e.Allowed) > 0 {
		text += "; allowed now: " + strings.Join(e.Allowed, ", ")
	}
	return text
}

// Unwrap makes an InvalidState an ErrInvalidState.
func (e *InvalidState) Unwrap() error { return ErrInvalidState }

// Stale says that what the caller expected is not so, in which field and why; it is an
// ErrPreconditionFailed.
type Stale struct{ Field, Reason string }

func (e *Stale) Error() string { return e.Reason }

// Unwrap makes a Stale an ErrPreconditionFailed.
func (e *Stale) Unwrap() error { return ErrPreconditionFailed }

// InvalidInput names a bad field as a JSON path ("data.train.uri") and what is wrong with it; it is an
// ErrInvalidInput. Several are joined with errors.Join.
type InvalidInput struct{ Field, Reason string }

func (e *InvalidInput) Error() string { return e.Field + ": " + e.Reason }

// Unwrap makes an InvalidInput an ErrInvalidInput.
func (e *InvalidInput) Unwrap() error { return ErrInvalidInput }
