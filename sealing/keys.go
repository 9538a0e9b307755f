package sealing

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"phantom/domain"
)

const (
	// callTimeout bounds every call to PostgreSQL.
	callTimeout = 30 * time.Second
	// wrapsAtOnce is how many keys are with the key service at a time: it may be on another continent.
	wrapsAtOnce = 16
)

// stored is a key as the keyring has it.
type stored struct {
	KeyID       uuid.UUID
	Kind        Kind
	Name        string
	Day         string
	Erased      bool
	Wrapped     []byte  // nil when erased
	WrappedWith *string // nil when erased
}

func (s stored) scope() Scope { return Scope{Kind: s.Kind, Name: s.Name, Day: s.Day} }

// forScopes gives the key of each scope, and makes those that are missing.
func (k *Keyring) forScopes(ctx context.Context, tenant domain.Tenant, scopes map[Scope]bool) (map[Scope]*key, error) {
	keys := make(map[Scope]*key, len(scopes))
	var missing []Scope
	for scope := range scopes {
		if known := k.cache.byScope(tenant, scope); known != nil {
			keys[scope] = known
		} else {
			missing = append(missing, scope)
		}
	}
	// A key that is lacking after it was made is made once more: the keyring may just be written anew.
	for range 3 {
		if len(missing) == 0 {
			return keys, nil
		}
		asked := k.cache.params.Now()
		found, err := k.readScopes(ctx, tenant, missing)
		if err != nil {
			return nil, err
		}
		ready, err := k.unwrapAll(ctx, tenant, found, asked)
		if err != nil {
			return nil, err
		}
		for _, one := range ready {
			keys[one.scope] = one
		}
		missing = slices.DeleteFunc(missing, func(s Scope) bool { return keys[s] != nil })
		if err := k.makeAll(ctx, tenant, missing); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make a key of %s %s in the keyring of tenant %s: it is not there afterwards; try again",
		missing[0].Kind, missing[0].Name, tenant)
}

// byID gives the keys of the ids; one that the keyring lacks is ErrUnknownKey.
func (k *Keyring) byID(ctx context.Context, tenant domain.Tenant, ids map[string]bool) (map[string]*key, error) {
	keys := make(map[string]*key, len(ids))
	var missing []uuid.UUID
	for id := range ids {
		if known := k.cache.byID(tenant, id); known != nil {
			keys[id] = known
			continue
		}
		parsed, err := uuid.Parse(id)
		if err != nil {
			return nil, fmt.Errorf("%w: %q of tenant %s is not a key's id", ErrUnknownKey, id, tenant)
		}
		missing = append(missing, parsed)
	}
	if len(missing) == 0 {
		return keys, nil
	}
	asked := k.cache.params.Now()
	found, err := k.readIDs(ctx, tenant, missing)
	if err != nil {
		return nil, err
	}
	ready, err := k.unwrapAll(ctx, tenant, found, asked)
	if err != nil {
		return nil, err
	}
	for _, one := range ready {
		keys[one.id] = one
	}
	for _, id := range missing {
		if keys[id.String()] == nil {
			return nil, fmt.Errorf("%w: %s of tenant %s; restore the backup of the schema keyring", ErrUnknownKey, id, tenant)
		}
	}
	return keys, nil
}

// unwrapAll makes keys ready and remembers them.
func (k *Keyring) unwrapAll(ctx context.Context, tenant domain.Tenant, found []stored, asked time.Time) ([]*key, error) {
	ready := make([]*key, len(found))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(wrapsAtOnce)
	for i, one := range found {
		group.Go(func() (err error) {
			ready[i], err = k.unwrap(ctx, tenant, one)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, one := range ready {
		k.cache.put(tenant, one, asked)
	}
	return ready, nil
}

func (k *Keyring) unwrap(ctx context.Context, tenant domain.Tenant, s stored) (*key, error) {
	id := s.KeyID.String()
	if s.Erased {
		return &key{id: id, scope: s.scope(), erased: true}, nil
	}
	if s.WrappedWith == nil {
		return nil, fmt.Errorf("%w: %s of tenant %s has a row in keyring.keys and none in keyring.material", ErrUnknownKey, id, tenant)
	}
	plain, err := k.wrapper.unwrap(ctx, s.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: key %s of tenant %s was wrapped with %s, PHANTOM_KEYS_URL names %s: %w",
			ErrUnwrap, id, tenant, *s.WrappedWith, k.wrapper.Name(), err)
	}
	if len(plain) < keySize || !bytes.Equal(plain[keySize:], binding(tenant, id, s.scope())) {
		return nil, fmt.Errorf("%w: what lies under key %s of tenant %s is another key", ErrForged, id, tenant)
	}
	ready, err := newKey(id, s.scope(), plain[:keySize])
	clear(plain)
	return ready, err
}

// makeAll adds keys to the keyring where nobody else did meanwhile.
func (k *Keyring) makeAll(ctx context.Context, tenant domain.Tenant, scopes []Scope) error {
	if len(scopes) == 0 {
		return nil
	}
	made := make([]stored, len(scopes))
	group, wrapping := errgroup.WithContext(ctx)
	group.SetLimit(wrapsAtOnce)
	for i, scope := range scopes {
		group.Go(func() error {
			id := uuid.New()
			plain := make([]byte, keySize+sha256.Size)
			rand.Read(plain[:keySize])
			copy(plain[keySize:], binding(tenant, id.String(), scope))
			wrapped, err := k.wrapper.wrap(wrapping, plain)
			clear(plain)
			made[i] = stored{KeyID: id, Kind: scope.Kind, Name: scope.Name, Day: scope.Day, Wrapped: wrapped}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("wrap a new data key with %s: %w", k.wrapper.Name(), err)
	}
	return k.insert(ctx, tenant, made)
}

const columns = `k.key_id, k.kind, k.name, k.day, k.erased_at is not null as erased, m.wrapped, m.wrapped_with
	from keyring.keys k left join keyring.material m on m.tenant_id = k.tenant_id and m.key_id = k.key_id and k.erased_at is null`

func (k *Keyring) readScopes(ctx context.Context, tenant domain.Tenant, scopes []Scope) ([]stored, error) {
	const query = `select ` + columns + `
		join unnest($2::text[], $3::text[], $4::text[]) as s (kind, name, day) on k.kind = s.kind and k.name = s.name and k.day = s.day
		where k.tenant_id = $1`
	var kinds, names, days []string
	for _, scope := range scopes {
		kinds, names, days = append(kinds, string(scope.Kind)), append(names, scope.Name), append(days, scope.Day)
	}
	return k.read(ctx, tenant, query, kinds, names, days)
}

func (k *Keyring) readIDs(ctx context.Context, tenant domain.Tenant, ids []uuid.UUID) ([]stored, error) {
	return k.read(ctx, tenant, `select `+columns+` where k.tenant_id = $1 and k.key_id = any ($2)`, ids)
}

func (k *Keyring) read(ctx context.Context, tenant domain.Tenant, query string, args ...any) ([]stored, error) {
	var found []stored
	batch := asTenant(tenant)
	batch.Queue(query, append([]any{string(tenant)}, args...)...).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[stored])
		return err
	})
	if err := k.send(ctx, batch); err != nil {
		return nil, fmt.Errorf("read keys of tenant %s: %w", tenant, err)
	}
	return found, nil
}

// insert adds keys in the order of their scopes, so that two callers cannot wait for each other. What is
// there already stays as it is.
func (k *Keyring) insert(ctx context.Context, tenant domain.Tenant, made []stored) error {
	const statement = `with fresh as (
			select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[]) as f (key_id, kind, name, day, wrapped)
		), added as (
			insert into keyring.keys (tenant_id, key_id, kind, name, day)
			select $1, f.key_id, f.kind, f.name, f.day from fresh f order by f.kind, f.name, f.day
			on conflict on constraint keys_scope_key do nothing
			returning key_id
		)
		insert into keyring.material (tenant_id, key_id, wrapped, wrapped_with)
		select $1, f.key_id, f.wrapped, $7 from fresh f join added a on a.key_id = f.key_id`
	var ids []uuid.UUID
	var kinds, names, days []string
	var wrapped [][]byte
	for _, one := range made {
		ids, kinds, names = append(ids, one.KeyID), append(kinds, string(one.Kind)), append(names, one.Name)
		days, wrapped = append(days, one.Day), append(wrapped, one.Wrapped)
	}
	batch := asTenant(tenant)
	batch.Queue(statement, string(tenant), ids, kinds, names, days, wrapped, k.wrapper.Name())
	if err := k.send(ctx, batch); err != nil {
		return fmt.Errorf("add keys of tenant %s: %w", tenant, err)
	}
	return nil
}

// asTenant begins a batch whose statements see one tenant.
func asTenant(tenant domain.Tenant) *pgx.Batch {
	batch := &pgx.Batch{}
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, string(tenant))
	return batch
}

func (k *Keyring) send(ctx context.Context, batch *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := k.pool.SendBatch(ctx, batch).Close()
	const undefinedTable, invalidSchema = "42P01", "3F000"
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && (refused.Code == undefinedTable || refused.Code == invalidSchema) {
		return fmt.Errorf("the schema keyring is not there; migrate, or restore its backup: %w", err)
	}
	return err
}
