package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/domain"
)

// callTimeout bounds every call to PostgreSQL.
const callTimeout = 30 * time.Second

// maxName bounds the name of a key, in bytes: it is the subject of events.
const maxName = 128

// Key is what may be shown of a key.
type Key struct {
	KeyID      string     `json:"key_id" doc:"The part of the key that may be shown"`
	Name       string     `json:"name" doc:"Who the events name that are caused with it"`
	Role       Role       `json:"role" enum:"viewer,trainer,deployer,approver,admin"`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	RevokedBy  *string    `json:"revoked_by"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"Some seconds late"`
}

// Params is what a key is made from.
type Params struct {
	Name      string
	Role      Role
	ExpiresAt time.Time // zero: never
	By        string    // who makes it
}

func (p Params) validate() error {
	switch {
	case strings.TrimSpace(p.Name) == "" || len(p.Name) > maxName || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, unicode.IsControl):
		return &domain.InvalidInput{Field: "name", Reason: fmt.Sprintf("must be a name in UTF-8 of 1 to %d bytes", maxName)}
	case !p.Role.Valid():
		return &domain.InvalidInput{Field: "role", Reason: "must be viewer, trainer, deployer, approver or admin"}
	case !p.ExpiresAt.IsZero() && !p.ExpiresAt.After(time.Now()):
		return &domain.InvalidInput{Field: "expires_at", Reason: "must be in the future"}
	}
	return nil
}

// ErrBootstrapped says that the tenant has an admin key already.
var ErrBootstrapped = errors.New("this tenant has an admin key already; make others with it: `phantom key create`")

// Keys are the keys of all tenants, on a connection of the serving role. It is safe for concurrent use.
type Keys struct{ pool *pgxpool.Pool }

// NewKeys are the keys of a database.
func NewKeys(pool *pgxpool.Pool) *Keys { return &Keys{pool} }

// Create makes a key. The token is the key itself: it is told here and nowhere else.
func (k *Keys) Create(ctx context.Context, tenant domain.Tenant, p Params) (made Key, token string, err error) {
	if err := p.validate(); err != nil {
		return Key{}, "", err
	}
	err = k.within(ctx, tenant, func(ctx context.Context, tx pgx.Tx) error {
		made, token, err = create(ctx, tx, tenant, p)
		return err
	})
	return made, token, err
}

// Bootstrap makes the first admin key of a tenant; ErrBootstrapped while one is in force.
func (k *Keys) Bootstrap(ctx context.Context, tenant domain.Tenant, p Params) (made Key, token string, err error) {
	p.Role = Admin
	if err := p.validate(); err != nil {
		return Key{}, "", err
	}
	err = k.within(ctx, tenant, func(ctx context.Context, tx pgx.Tx) error {
		// Of two that bootstrap at once, the second waits and finds the key of the first.
		const lock = `select pg_advisory_xact_lock(hashtextextended('phantom key bootstrap ' || $1, 0))`
		if _, err := tx.Exec(ctx, lock, string(tenant)); err != nil {
			return err
		}
		const look = `select exists (select from phantom.api_key k where k.tenant_id = $1 and k.role = 'admin'
			and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp()))`
		var there bool
		if err := tx.QueryRow(ctx, look, string(tenant)).Scan(&there); err != nil {
			return err
		}
		if there {
			return ErrBootstrapped
		}
		made, token, err = create(ctx, tx, tenant, p)
		return err
	})
	return made, token, err
}

func create(ctx context.Context, tx pgx.Tx, tenant domain.Tenant, p Params) (Key, string, error) {
	token, id, hash := newToken()
	const statement = `insert into phantom.api_key (tenant_id, key_id, name, role, secret_sha256, created_by, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7) returning ` + shown
	var expires *time.Time
	if !p.ExpiresAt.IsZero() {
		expires = &p.ExpiresAt
	}
	rows, err := tx.Query(ctx, statement, string(tenant), id, p.Name, string(p.Role), hash[:], p.By, expires)
	if err != nil {
		return Key{}, "", err
	}
	made, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
	if err != nil {
		return Key{}, "", err
	}
	return made, token, record(ctx, tx, tenant, KeyEvent{Kind: KeyCreated, KeyID: id, DoneBy: p.By, Reason: fmt.Sprintf("%s %s", p.Role, p.Name)})
}

// shown are the columns of a Key.
const shown = `key_id, name, role, created_at, created_by, expires_at, revoked_at, revoked_by, last_used_at`

// List are the keys of a tenant after one in the order of their ids, at most limit; more says whether there
// are others.
func (k *Keys) List(ctx context.Context, tenant domain.Tenant, after string, limit int) (keys []Key, more bool, err error) {
	err = k.within(ctx, tenant, func(ctx context.Context, tx pgx.Tx) error {
		const query = `select ` + shown + ` from phantom.api_key where tenant_id = $1 and key_id > $2 order by key_id limit $3`
		rows, err := tx.Query(ctx, query, string(tenant), after, limit+1)
		if err == nil {
			keys, err = pgx.CollectRows(rows, pgx.RowToStructByName[Key])
		}
		return err
	})
	if len(keys) > limit {
		keys, more = keys[:limit], true
	}
	return keys, more, err
}

// Revoke ends a key for good; who revokes it again finds it as the first one left it. A key of another tenant
// is not found.
func (k *Keys) Revoke(ctx context.Context, tenant domain.Tenant, id, by string) (revoked Key, err error) {
	err = k.within(ctx, tenant, func(ctx context.Context, tx pgx.Tx) error {
		const statement = `update phantom.api_key set revoked_at = clock_timestamp(), revoked_by = $3
			where tenant_id = $1 and key_id = $2 and revoked_at is null`
		done, err := tx.Exec(ctx, statement, string(tenant), id, by)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select `+shown+` from phantom.api_key where tenant_id = $1 and key_id = $2`, string(tenant), id)
		if err != nil {
			return err
		}
		revoked, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return &domain.NotFound{Kind: "key", ID: id}
		case err != nil || done.RowsAffected() == 0:
			return err
		}
		return record(ctx, tx, tenant, KeyEvent{Kind: KeyRevoked, KeyID: id, DoneBy: by, Reason: fmt.Sprintf("%s %s", revoked.Role, revoked.Name)})
	})
	return revoked, err
}

// within runs a transaction that sees one tenant.
func (k *Keys) within(ctx context.Context, tenant domain.Tenant, do func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select set_config('phantom.tenant', $1, true)`, string(tenant)); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

func newEventID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
