package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"phantom/access"
	"phantom/domain"
)

// The headers by which callers say who they are while authentication is off.
const (
	HeaderTenant = "Phantom-Tenant"
	HeaderActor  = "Phantom-Actor"
)

// maxSubject bounds the name that an actor may give itself, in bytes.
const maxSubject = 128

// Caller is whose request this is, and what they may do.
type Caller struct {
	Tenant domain.Tenant
	Actor  domain.Actor
	Role   access.Role
	KeyID  string // empty while authentication is off
}

// claim is the caller for a saga. Temporal carries no proof of who is verified, so none is claimed.
func (c Caller) claim() domain.Actor {
	actor := c.Actor
	actor.Verified = false
	return actor
}

// errOtherTenant is a key that is used for another tenant than its own.
var errOtherTenant = errors.New(HeaderTenant + " names another tenant than the API key's: leave it out, or use a key of that tenant")

// Identify is the one place where tenant, actor and role of a request come from, for the API, the gateway and the
// model server. Keys of nil say that authentication is off; operation is what the trail calls a refusal.
//
// With keys, tenant and actor are the key's. HeaderActor is ignored; HeaderTenant may only repeat the key's tenant,
// so that nobody works on another tenant than they believe. Errors are those of access.Verifier.Verify and
// errOtherTenant; Refusal puts them into words.
//
// Without keys both headers are claims from loopback, recorded as unverified; a malformed one is a
// *domain.InvalidInput that names the header.
func Identify(r *http.Request, keys *access.Verifier, operation string) (Caller, error) {
	if keys == nil {
		return identifyLocal(r)
	}
	token, given := Bearer(r)
	if !given {
		return Caller{}, &access.Unauthenticated{Reason: "an API key is needed: Authorization: Bearer phk_…"}
	}
	owner, err := keys.Verify(r.Context(), token, operation)
	if err != nil {
		return Caller{}, err
	}
	if named := r.Header.Get(HeaderTenant); named != "" && named != string(owner.Tenant) {
		keys.Deny(owner.KeyID, operation, "another tenant was named")
		return Caller{}, errOtherTenant
	}
	return Caller{
		Tenant: owner.Tenant, Role: owner.Role, KeyID: owner.KeyID,
		Actor: domain.Actor{Subject: owner.Name, Auth: domain.AuthAPIKey, Verified: true},
	}, nil
}

// Bearer is the token of a request, if there is one (RFC 6750, section 2.1).
func Bearer(r *http.Request) (token string, given bool) {
	scheme, token, cut := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), cut && strings.EqualFold(scheme, "Bearer")
}

func identifyLocal(r *http.Request) (Caller, error) {
	tenant := domain.DefaultTenant
	if given := r.Header.Get(HeaderTenant); given != "" {
		tenant = domain.Tenant(given)
	}
	if !tenant.Valid() {
		return Caller{}, &domain.InvalidInput{Field: HeaderTenant, Reason: "is not of the form [a-z0-9][a-z0-9-]{0,62}"}
	}
	subject := "local"
	if given := r.Header.Get(HeaderActor); given != "" {
		subject = given
	}
	if len(subject) > maxSubject || !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl) {
		return Caller{}, &domain.InvalidInput{Field: HeaderActor, Reason: fmt.Sprintf("must be a name in UTF-8 of at most %d bytes", maxSubject)}
	}
	return Caller{Tenant: tenant, Actor: domain.Actor{Subject: subject, Auth: domain.AuthLocal}, Role: access.Admin}, nil
}

// Refusal puts an error of Identify into words.
func Refusal(err error) *Problem {
	if late, ok := errors.AsType[*access.Throttled](err); ok {
		p := problem(http.StatusTooManyRequests, CodeTooManyRequests, late.Error())
		p.retryAfter = max(1, int((late.After+time.Second-1)/time.Second))
		return p
	}
	if stranger, ok := errors.AsType[*access.Unauthenticated](err); ok {
		return problem(http.StatusUnauthorized, CodeUnauthenticated, stranger.Reason)
	}
	switch {
	case errors.Is(err, access.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable(access.ErrUnavailable.Error())
	case errors.Is(err, errOtherTenant):
		return problem(http.StatusForbidden, CodeForbidden, err.Error())
	}
	return unpointed(problem(http.StatusUnprocessableEntity, CodeInvalidInput, summary(invalidFields(err)), invalidFields(err)...))
}

// permit refuses a caller whose role is too small for what the operation does.
func (s *server) permit(ctx context.Context, needed access.Role, operation string) error {
	caller := callerOf(ctx)
	if caller.Role.Allows(needed) {
		return nil
	}
	if s.Verifier != nil {
		s.Verifier.Deny(caller.KeyID, operation, "needs the role "+string(needed))
	}
	return problem(http.StatusForbidden, CodeForbidden,
		fmt.Sprintf("%s needs a key with the role %s or more; this one is a %s", operation, needed, caller.Role))
}

type callerKey struct{}

func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf is the caller that the middleware identified; every handler runs behind it.
func callerOf(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	return caller
}

// recheckEvery is how often it is looked whether the key of a request that goes on still stands.
const recheckEvery = 2 * time.Second

// whileAlive ends a request that goes on and on when its key is revoked or expires.
func whileAlive(ctx context.Context, keys *access.Verifier, caller Caller) (context.Context, func()) {
	if keys == nil || caller.KeyID == "" {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var again *time.Timer
	armed := make(chan struct{})
	again = time.AfterFunc(recheckEvery, func() {
		<-armed
		if !keys.Alive(ctx, caller.KeyID) {
			cancel()
		}
		if ctx.Err() == nil {
			again.Reset(recheckEvery)
		}
	})
	close(armed)
	return ctx, func() {
		cancel()
		again.Stop()
	}
}
