// Package sealing encrypts the private content of inferences before it enters the log, and forgets it by
// destroying keys: events are never changed, and what nobody can open any more is as good as gone.
//
// What it promises: content is sealed with AES-256-GCM under a data key of the subject that it is about, or
// else of its tenant, model and UTC day. The seal binds it to its tenant, inference, row, field and key: it
// opens nowhere else. Data keys lie in PostgreSQL (schema keyring), wrapped by the key that
// PHANTOM_KEYS_URL names, and each of them is bound to its scope, so a copy under another name does not
// serve. Of two processes that make the same key the first wins, and both use that one. A destroyed key is
// never made again: what would need it is recorded as erased. Ciphertext is padded to 64 bytes, so that its
// length does not tell one class from another.
//
// What it does not: an erase is not known everywhere at once, but after Lifetime at most, because processes
// keep keys in memory that long. What such a process seals meanwhile is gone with it. Keys in memory are not
// protected from whoever reads the process. It hides no metadata: that there was an inference, its model,
// version, time, latency, confidence and subject_ref stay in clear. It decides nothing about what is
// private: domain.InferenceMade.Private does.
//
// What PostgreSQL's files, its WAL and backups still hold of a destroyed key, and for how long, is told by
// docs/secure.md.
package sealing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"phantom/domain"
)

// Facts about content that cannot be sealed or opened. None of them means erased: that is an answer.
var (
	// ErrUnwrap says that a data key does not unwrap: PHANTOM_KEYS_URL names another wrapping key than
	// before, or the key service refuses or cannot be reached.
	ErrUnwrap = errors.New("the data key does not unwrap")
	// ErrUnknownKey says that the keyring lacks the key of a sealed content: it was not restored with the events.
	ErrUnknownKey = errors.New("the keyring does not know the key")
	// ErrForged says that a seal does not fit its place: it was made for another one, or it was changed.
	ErrForged = errors.New("the seal does not fit its place")
)

// The defaults of Params.
const (
	Lifetime = time.Minute
	most     = 10_000
)

// Params bounds what a Keyring remembers. Zero values are replaced by the defaults named here.
type Params struct {
	Lifetime time.Duration    // of a key in memory, from when it was read; default 1 min; negative: none is kept
	Most     int              // keys in memory; default 10,000
	Now      func() time.Time // default time.Now
}

// Keyring seals and opens. It is safe for concurrent use.
type Keyring struct {
	pool    *pgxpool.Pool
	wrapper *Wrapper
	cache   *cache
}

// New makes a keyring on a pool of a serving login. It connects to nothing yet.
func New(pool *pgxpool.Pool, wrapper *Wrapper, params Params) *Keyring {
	if params.Lifetime == 0 {
		params.Lifetime = Lifetime
	}
	if params.Most == 0 {
		params.Most = most
	}
	if params.Now == nil {
		params.Now = time.Now
	}
	return &Keyring{pool: pool, wrapper: wrapper, cache: newCache(params)}
}

// Seal implements registry.Sealer: it seals private content in place, and makes the keys that are missing.
// Content whose key was destroyed becomes {"erased":true}.
func (k *Keyring) Seal(ctx context.Context, tenant domain.Tenant, inferences []domain.InferenceMade) error {
	scopes := map[Scope]bool{}
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			if part.Content.Sealed == nil {
				scopes[scopeOf(&inferences[i])] = true
			}
		}
	}
	keys, err := k.forScopes(ctx, tenant, scopes)
	if err != nil {
		return err
	}
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			if part.Content.Sealed != nil {
				continue
			}
			key := keys[scopeOf(&inferences[i])]
			if key.erased {
				*part.Content = domain.Content{Erased: true}
				continue
			}
			*part.Content = domain.Content{Sealed: key.seal(placeOf(tenant, &inferences[i], part.Field), part.Content.Clear)}
		}
	}
	return nil
}

// Open implements registry.Sealer: it puts sealed content in clear, in place, and says {"erased":true} of
// content whose key was destroyed. Errors: ErrUnwrap, ErrUnknownKey, ErrForged, and those of PostgreSQL.
func (k *Keyring) Open(ctx context.Context, tenant domain.Tenant, inferences []domain.InferenceMade) error {
	ids := map[string]bool{}
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			if part.Content.Sealed != nil {
				ids[part.Content.Sealed.Key] = true
			}
		}
	}
	keys, err := k.byID(ctx, tenant, ids)
	if err != nil {
		return err
	}
	for i := range inferences {
		for _, part := range inferences[i].Private() {
			if part.Content.Sealed == nil {
				continue
			}
			key := keys[part.Content.Sealed.Key]
			if key.erased {
				*part.Content = domain.Content{Erased: true}
				continue
			}
			content, err := key.open(placeOf(tenant, &inferences[i], part.Field), part.Content.Sealed)
			if err != nil {
				return fmt.Errorf("%s of inference %s#%d: %w", part.Field, inferences[i].InferenceID, inferences[i].Row, err)
			}
			*part.Content = domain.InClear(content)
		}
	}
	return nil
}
