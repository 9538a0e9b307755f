package sealing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"phantom/domain"
)

// Erasure is whose keys are destroyed, by whom and why.
type Erasure struct {
	Tenant  domain.Tenant
	Kind    Kind
	Name    string // the subject_ref or the model_id
	Through string // of a model: the last UTC day that is erased, 2006-01-02
	By      string
	Reason  string
}

// Destroyed is the tombstone of a key.
type Destroyed struct {
	KeyID     uuid.UUID `db:"key_id"`
	Day       string    `db:"day"` // of a model's key
	CreatedAt time.Time `db:"created_at"`
	ErasedAt  time.Time `db:"erased_at"`
	By        string    `db:"erased_by"`
	Reason    string    `db:"erased_reason"`
	Now       bool      `db:"destroyed"` // by this call; else there was no key, or it was destroyed before
}

// ErrNotRewritten says that the keys are dead, and that PostgreSQL's files may still hold them, because
// somebody reads the keyring for long, as a backup does. Erase again when that has ended.
var ErrNotRewritten = errors.New("the keys were destroyed, but the old file of the keyring could not be removed yet")

const (
	rewriteTries = 10
	lockTimeout  = "2s" // a longer wait would hold up everybody who needs a key
)

// Erase destroys keys, on a connection of the schema's owner, and removes the file that held them. It can be
// repeated: what was destroyed before stays so, with its first tombstone. A subject that never had a key gets
// a tombstone too. What is recorded afterwards for the same subject, or the same day of the model, is
// recorded as erased. Errors: domain.ErrInvalidInput, ErrNotRewritten (with the tombstones), PostgreSQL's.
func Erase(ctx context.Context, owner *pgx.Conn, e Erasure) ([]Destroyed, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	const query = `select * from keyring.erase($1, $2, $3, $4, $5, $6)`
	rows, err := owner.Query(ctx, query, string(e.Tenant), string(e.Kind), e.Name, e.Through, e.By, e.Reason)
	if err != nil {
		return nil, fmt.Errorf("erase %s %s of tenant %s: %w", e.Kind, e.Name, e.Tenant, err)
	}
	tombstones, err := pgx.CollectRows(rows, pgx.RowToStructByName[Destroyed])
	if err != nil {
		return nil, fmt.Errorf("erase %s %s of tenant %s: %w", e.Kind, e.Name, e.Tenant, err)
	}
	return tombstones, rewrite(ctx, owner, e.Tenant)
}

// rewrite gives up when somebody holds the table over many tries.
func rewrite(ctx context.Context, owner *pgx.Conn, tenant domain.Tenant) error {
	const lockNotAvailable = "55P03"
	var err error
	for range rewriteTries {
		err = pgx.BeginTxFunc(ctx, owner, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `set local lock_timeout = '`+lockTimeout+`'`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `select keyring.rewrite($1)`, string(tenant))
			return err
		})
		refused, is := errors.AsType[*pgconn.PgError](err)
		if !is || refused.Code != lockNotAvailable {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w; erase again: %w", ErrNotRewritten, err)
	}
	return nil
}

func (e Erasure) validate() error {
	var problems []error
	refuse := func(field, reason string) {
		problems = append(problems, &domain.InvalidInput{Field: field, Reason: reason})
	}
	if err := domain.ValidateTenant(e.Tenant); err != nil {
		problems = append(problems, err)
	}
	switch e.Kind {
	case Subject:
		if !domain.SubjectRef(e.Name).Valid() {
			refuse("subject", "must match [A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}")
		}
	case Model:
		if !domain.ModelID(e.Name).Valid() {
			refuse("model_id", "must match [a-z0-9][a-z0-9._-]{0,62}")
		}
		if _, err := time.Parse(time.DateOnly, e.Through); err != nil {
			refuse("through", "must be a day such as 2006-01-02")
		}
	default:
		refuse("kind", "must be subject or model")
	}
	if e.By == "" {
		refuse("by", "is required")
	}
	if e.Reason == "" {
		refuse("reason", "is required")
	}
	return errors.Join(problems...)
}
