package oracle

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// judgeCommands holds the command records against the book: one for each call that was taken with one, none for a call
// that was refused.
func judgeCommands(ctx context.Context, admin *pgxpool.Pool, b *book, found *findings) error {
	known := make(map[string]struct{})
	rows, err := admin.Query(ctx, `select tenant_id || ' ' || command_id from phantom.commands`)
	if err != nil {
		return fmt.Errorf("read the commands: %w", err)
	}
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&name}, func() error { known[name] = struct{}{}; return nil }); err != nil {
		return fmt.Errorf("read the commands: %w", err)
	}
	for _, h := range b.calls {
		h.settleCommand(known, found)
	}
	return nil
}

func (h *history) settleCommand(known map[string]struct{}, found *findings) {
	c := h.call
	if c.Command != "of-"+c.ID.String() { // none, or that of another call
		return
	}
	_, there := known[c.Tenant+" "+c.Command]
	switch {
	case h.answer == nil || h.answer.Unsure && !h.answer.Taken:
	case h.answer.Taken && !there:
		found.add(commands, "call %s was taken, and its command is not remembered", c.ID)
	case !h.answer.Taken && there:
		found.add(commands, "call %s was refused, and its command is remembered", c.ID)
	}
}
