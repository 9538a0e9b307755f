package activities

import (
	"context"
	"errors"

	"phantom/domain"
)

// Commands handles a command on behalf of a tenant; the registry does.
type Commands interface {
	// Handle is idempotent by meta.CommandID. A refusal is one of the domain's errors.
	Handle(ctx context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (domain.Result, error)
}

// Origin says for whom an activity works, and under which command id.
type Origin struct {
	Tenant domain.Tenant `json:"tenant"`
	Meta   domain.Meta   `json:"meta"`
	// Earlier are the command ids of the tries that a person's retry_step repeats, latest first.
	Earlier []string `json:"earlier,omitempty"`
}

// Item is the origin of one of several commands of an effect: its id is <command_id>/<item>.
func (o Origin) Item(item string) Origin {
	o.Meta.CommandID += "/" + item
	earlier := make([]string, len(o.Earlier))
	for i, id := range o.Earlier {
		earlier[i] = id + "/" + item
	}
	o.Earlier = earlier
	return o
}

// Do asks for a command under the origin's id. An earlier try may have worked and lost its answer, and
// then this one is refused; asked for once more under its own id, the earlier one gives its first result.
func (o Origin) Do(ctx context.Context, commands Commands, cmd domain.Command) (domain.Result, error) {
	result, err := commands.Handle(ctx, o.Tenant, cmd, o.Meta)
	if err == nil || len(o.Earlier) == 0 || !refusedByState(err) {
		return result, err
	}
	for _, id := range o.Earlier {
		meta := o.Meta
		meta.CommandID = id
		first, firstErr := commands.Handle(ctx, o.Tenant, cmd, meta)
		if firstErr == nil || !Refused(Refusal(firstErr)) { // it worked, or nobody knows yet
			return first, firstErr
		}
	}
	return result, err
}

func refusedByState(err error) bool {
	return errors.Is(err, domain.ErrInvalidState) || errors.Is(err, domain.ErrAlreadyExists)
}
