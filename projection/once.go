package projection

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrOtherRequest says that the id of a request was given to another request before.
var ErrOtherRequest = errors.New("the same id was used for another request")

// errDone says that a request has been done before.
var errDone = errors.New("it has been done before")

// Once names a request, so that it happens once however often it is asked for: what it does and its name are written in one
// transaction. Names are those of commands, and are forgotten when those are. Without an id each request is one of its own;
// one that was refused is decided anew.
type Once struct {
	Tenant string // who asks
	ID     string // among the tenant's commands
}

// once is a named request with what it asks for.
type once struct {
	Once
	hash []byte
}

// named tells requests apart by what they ask of which projection.
func (ask RebuildRequest) named(name string) (once, error) {
	id := ask.Once
	ask.Once = Once{}
	text, err := json.Marshal(ask)
	if err != nil {
		return once{}, fmt.Errorf("encode a request to rebuild %s: %w", name, err)
	}
	hash := sha256.Sum256(fmt.Appendf(nil, "rebuild projection\n%s\n%s", name, text))
	return once{id, hash[:]}, nil
}

// begin is errDone when the request was done before, and ErrOtherRequest when its name is another's. What comes next in the
// transaction is done once.
func (o once) begin(ctx context.Context, tx pgx.Tx) error {
	if o.ID == "" {
		return nil
	}
	var first []byte
	if err := tx.QueryRow(ctx, `select phantom.command_once($1, $2, $3)`, o.Tenant, o.ID, o.hash).Scan(&first); err != nil {
		return fmt.Errorf("remembering request %s: %w", o.ID, err)
	}
	return o.against(first)
}

// look is begin outside of a transaction, and remembers nothing.
func (r *Runner) look(ctx context.Context, o once) error {
	if o.ID == "" {
		return nil
	}
	const query = `select request_hash from phantom.commands where tenant_id = $1 and command_id = $2`
	var first []byte
	var batch pgx.Batch
	batch.Queue(setTenant, o.Tenant, lockTimeout)
	batch.Queue(query, o.Tenant, o.ID).QueryRow(func(row pgx.Row) error { return row.Scan(&first) })
	if err := r.params.Pool.SendBatch(ctx, &batch).Close(); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("looking for request %s: %w", o.ID, err)
	}
	return o.against(first)
}

func (o once) against(first []byte) error {
	switch {
	case first == nil:
		return nil
	case bytes.Equal(first, o.hash):
		return errDone
	}
	return fmt.Errorf("request %s: %w", o.ID, ErrOtherRequest)
}
