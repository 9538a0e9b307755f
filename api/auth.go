package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"phantom/domain"
)

// The headers by which callers say who they are while authentication is off.
const (
	HeaderTenant = "Phantom-Tenant"
	HeaderActor  = "Phantom-Actor"
)

// maxSubject bounds the name that an actor may give itself, in bytes.
const maxSubject = 128

// Caller is whose request this is.
type Caller struct {
	Tenant domain.Tenant
	Actor  domain.Actor
}

// Identify is the one place where tenant and actor of a request come from, for the API and the gateway.
// Authentication is off, so both are claims from loopback, and are recorded as unverified. A malformed
// one is a *domain.InvalidInput that names the header.
func Identify(r *http.Request) (domain.Tenant, domain.Actor, error) {
	tenant := domain.DefaultTenant
	if given := r.Header.Get(HeaderTenant); given != "" {
		tenant = domain.Tenant(given)
	}
	if !tenant.Valid() {
		return "", domain.Actor{}, &domain.InvalidInput{Field: HeaderTenant, Reason: "is not of the form [a-z0-9][a-z0-9-]{0,62}"}
	}
	subject := "local"
	if given := r.Header.Get(HeaderActor); given != "" {
		subject = given
	}
	if len(subject) > maxSubject || !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl) {
		return "", domain.Actor{}, &domain.InvalidInput{Field: HeaderActor, Reason: fmt.Sprintf("must be a name in UTF-8 of at most %d bytes", maxSubject)}
	}
	return tenant, domain.Actor{Subject: subject, Auth: domain.AuthLocal}, nil
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
