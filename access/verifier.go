package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"phantom/domain"
)

// ErrUnavailable says that a key could not be looked up, and that it is not known from before.
var ErrUnavailable = errors.New("the keys cannot be read now; try again")

// Unauthenticated is a key that does not count. Its words tell a stranger nothing about the keys there are.
type Unauthenticated struct{ Reason string }

func (e *Unauthenticated) Error() string { return e.Reason }

// Throttled is a key that asks too often.
type Throttled struct{ After time.Duration }

func (e *Throttled) Error() string {
	return fmt.Sprintf("this key asks too often; try again in %s", e.After.Round(time.Millisecond))
}

// Principal is whose request it is.
type Principal struct {
	Tenant domain.Tenant
	KeyID  string
	Name   string
	Role   Role
}

// Limit is how often one key may ask one process: so many a second, and so many at once after a rest. A rate
// of zero is no limit.
type Limit struct {
	PerSecond float64
	Burst     int
}

// VerifierParams is what a Verifier needs. Durations of zero are replaced by the defaults named here.
type VerifierParams struct {
	Pool  *pgxpool.Pool
	Limit Limit
	// File keeps what was known over a restart while PostgreSQL is away: ids, roles and hashes, no secrets.
	// Empty: memory only.
	File string
	Log  *zap.Logger // nil: none
	Now  func() time.Time

	Fresh time.Duration // how long a key stands without another look; default 1 s
	Keep  time.Duration // how long a key stands while PostgreSQL is away; default 1 h
	Flush time.Duration // how often uses and refusals are written; default 5 s
}

// lookTimeout bounds one look at a key. strangers is how many unknown ids a second are looked up.
const (
	lookTimeout = time.Second
	awayFor     = 2 * time.Second
	strangers   = 200
	maxDenials  = 1_000
)

// Verifier tells whose key it is. It looks a key up again when it has not for Fresh. Once a look has failed, and
// for awayFor after each failure, callers do not wait for the next one, which goes on behind them: so a revoked
// key is refused within Fresh while PostgreSQL is there, and within awayFor after it has come back.
type Verifier struct {
	params VerifierParams
	looks  singleflight.Group
	new    *rate.Limiter // of ids that are not known

	mu       sync.Mutex
	known    map[string]*entry
	awayTill time.Time
	used     map[string]time.Time
	denied   map[denial]int64
	lost     int64 // refusals that found no room
	changed  bool  // since the file was written
}

// entry is a key that PostgreSQL has told of.
type entry struct {
	stored
	seen  time.Time // when PostgreSQL was asked
	limit *rate.Limiter
}

// stored is a key as it stands in PostgreSQL and in the file.
type stored struct {
	TenantID     domain.Tenant `json:"tenant_id"`
	KeyID        string        `json:"key_id"`
	Name         string        `json:"name"`
	Role         Role          `json:"role"`
	SecretSHA256 []byte        `json:"secret_sha256"`
	ExpiresAt    *time.Time    `json:"expires_at,omitempty"`
	RevokedAt    *time.Time    `json:"revoked_at,omitempty"`
}

// denial is what refusals have in common.
type denial struct{ key, operation, reason string }

// NewVerifier makes a verifier. Run keeps its books; without it uses and refusals are not written.
func NewVerifier(params VerifierParams) *Verifier {
	if params.Now == nil {
		params.Now = time.Now
	}
	if params.Log == nil {
		params.Log = zap.NewNop()
	}
	fallback(&params.Fresh, time.Second)
	fallback(&params.Keep, time.Hour)
	fallback(&params.Flush, 5*time.Second)
	v := &Verifier{
		params: params, new: rate.NewLimiter(strangers, strangers),
		known: map[string]*entry{}, used: map[string]time.Time{}, denied: map[denial]int64{},
	}
	v.restore()
	return v
}

func fallback(value *time.Duration, otherwise time.Duration) {
	if *value == 0 {
		*value = otherwise
	}
}

// Verify tells whose key the token is. Operation is what is asked for, for the trail. Errors:
// *Unauthenticated, *Throttled, ErrUnavailable, the context's.
func (v *Verifier) Verify(ctx context.Context, token, operation string) (Principal, error) {
	id, hash, ok := parseToken(token)
	if !ok {
		return Principal{}, &Unauthenticated{"this is no API key"}
	}
	key, err := v.find(ctx, id)
	if err != nil {
		return Principal{}, err
	}
	if key == nil {
		return Principal{}, &Unauthenticated{"this API key is not known"}
	}
	if refused := v.check(key, hash); refused != nil {
		v.Deny(id, operation, refused.Error())
		return Principal{}, refused
	}
	if err := v.admit(key); err != nil {
		return Principal{}, err
	}
	v.mu.Lock()
	v.used[id] = v.params.Now()
	v.mu.Unlock()
	return Principal{Tenant: key.TenantID, KeyID: key.KeyID, Name: key.Name, Role: key.Role}, nil
}

// check holds a secret against a key. What only its owner may hear comes after the secret.
func (v *Verifier) check(key *entry, hash [sha256.Size]byte) error {
	switch {
	case subtle.ConstantTimeCompare(hash[:], key.SecretSHA256) != 1:
		return &Unauthenticated{"this API key is not known"}
	case key.RevokedAt != nil:
		return &Unauthenticated{"this API key was revoked"}
	case key.ExpiresAt != nil && !v.params.Now().Before(*key.ExpiresAt):
		return &Unauthenticated{"this API key has expired"}
	}
	return nil
}

func (v *Verifier) admit(key *entry) error {
	if key.limit == nil {
		return nil
	}
	now := v.params.Now()
	wanted := key.limit.ReserveN(now, 1)
	if after := wanted.DelayFrom(now); after > 0 {
		wanted.CancelAt(now)
		return &Throttled{After: after}
	}
	return nil
}

// Alive says whether a key that was verified still stands; what cannot be looked up stands as it did.
func (v *Verifier) Alive(ctx context.Context, id string) bool {
	key, err := v.find(ctx, id)
	if err != nil {
		return !errors.Is(err, ErrUnavailable)
	}
	return key != nil && key.RevokedAt == nil && (key.ExpiresAt == nil || v.params.Now().Before(*key.ExpiresAt))
}

// find gives the key of an id, nil when there is none.
func (v *Verifier) find(ctx context.Context, id string) (*entry, error) {
	now := v.params.Now()
	v.mu.Lock()
	key, away := v.known[id], now.Before(v.awayTill)
	v.mu.Unlock()
	if key != nil && now.Sub(key.seen) < v.params.Fresh {
		return key, nil
	}
	if key == nil && !v.new.AllowN(now, 1) {
		return nil, &Throttled{After: time.Second}
	}
	stands := key != nil && now.Sub(key.seen) < v.params.Keep
	look := v.looks.DoChan(id, func() (any, error) { return v.look(ctx, id) })
	if stands && away {
		return key, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case found := <-look:
		if found.Err == nil {
			return found.Val.(*entry), nil
		}
	}
	if stands {
		return key, nil
	}
	return nil, ErrUnavailable
}

// look asks PostgreSQL, for everybody who asks for the key just then; so it does not end with its first caller.
func (v *Verifier) look(ctx context.Context, id string) (*entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	asked := v.params.Now()
	rows, err := v.params.Pool.Query(ctx, `select * from phantom.access_find_key($1)`, id)
	var found []stored
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[stored])
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if !v.params.Now().Before(v.awayTill) {
			v.params.Log.Warn("a key could not be looked up; those known stand meanwhile", zap.Error(err))
		}
		v.awayTill = v.params.Now().Add(awayFor)
		return nil, err
	}
	v.awayTill = time.Time{}
	before := v.known[id]
	v.changed = true
	if len(found) == 0 {
		delete(v.known, id)
		return nil, nil
	}
	fresh := &entry{stored: found[0], seen: asked}
	if before != nil {
		fresh.limit = before.limit
	} else if v.params.Limit.PerSecond > 0 {
		fresh.limit = rate.NewLimiter(rate.Limit(v.params.Limit.PerSecond), v.params.Limit.Burst)
	}
	v.known[id] = fresh
	return fresh, nil
}

// Deny notes a refusal to a key for the trail.
func (v *Verifier) Deny(id, operation, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	one := denial{id, operation, reason}
	if _, there := v.denied[one]; !there && len(v.denied) >= maxDenials {
		v.lost++
		return
	}
	v.denied[one]++
}
