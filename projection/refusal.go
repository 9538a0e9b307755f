package projection

import (
	"errors"
	"fmt"
)

// ErrUnknown says that no projection of the runner has that name.
var ErrUnknown = errors.New("there is no such projection")

// ErrRefused says that a projection cannot be steered so where it stands; the text says what can be done. Errors are
// *Refused.
var ErrRefused = errors.New("the projection cannot do that now")

// Refused is an ErrRefused with its reason.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// Unwrap makes a Refused an ErrRefused.
func (*Refused) Unwrap() error { return ErrRefused }

func refused(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }
