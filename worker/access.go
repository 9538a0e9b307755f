package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"

	"phantom/access"
	"phantom/api"
	"phantom/domain"
	"phantom/internal/config"
	"phantom/serving/gateway"
	"phantom/serving/oip"
)

// verifier knows the keys for one role of this process; nil while authentication is off.
func (p *parts) verifier(role config.Role, limit config.Limit) *access.Verifier {
	if p.cfg.Auth != config.AuthKeys {
		return nil
	}
	params := access.VerifierParams{
		Pool: p.pool, Log: p.log.Named("access"),
		Limit: access.Limit{PerSecond: limit.PerSecond, Burst: limit.Burst},
	}
	if role != config.RoleAPI { // which cannot do anything without PostgreSQL
		params.File = p.state(string(role) + "/keys.json")
	}
	return access.NewVerifier(params)
}

// withBooks serves, and keeps the verifier's books meanwhile.
func withBooks(ctx context.Context, keys *access.Verifier, serve func(context.Context) error) error {
	if keys == nil {
		return serve(ctx)
	}
	open, shut := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keys.Run(open)
	}()
	defer func() { // the last requests are in the books too
		shut()
		<-ended
	}()
	return serve(ctx)
}

// modelServerToken is what the parts of Phantom show to the model server; empty while authentication is off.
func modelServerToken(cfg config.Config) string {
	if cfg.Auth != config.AuthKeys || cfg.ModelServerToken != "" {
		return cfg.ModelServerToken
	}
	return rand.Text() + rand.Text()
}

// inferenceCaller tells the gateway whose request it is. Every role may ask models.
func inferenceCaller(keys *access.Verifier) gateway.Identify {
	return func(r *http.Request) (domain.Tenant, domain.Actor, error) {
		caller, err := api.Identify(r, keys, "infer")
		if err != nil {
			refusal := api.Refusal(err)
			if keys == nil { // as gateways answer what is wrong with a header
				refusal.Status = http.StatusUnauthorized
			}
			return "", domain.Actor{}, oip.Errorf(refusal.Status, "%s", refusal.Detail)
		}
		return caller.Tenant, caller.Actor, nil
	}
}

// guarded is the model server for the world: who shows the token may do everything, who shows an API key may read
// and ask the models of its tenant. Health is told to everybody.
func guarded(next http.Handler, token string, keys *access.Verifier) http.Handler {
	if keys == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, _ := api.Bearer(r)
		if strings.HasPrefix(r.URL.Path, "/v2/health/") || subtle.ConstantTimeCompare([]byte(shown), []byte(token)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		caller, err := api.Identify(r, keys, "ask the model server")
		if err != nil {
			refusal := api.Refusal(err)
			oip.WriteError(w, oip.Errorf(refusal.Status, "%s", refusal.Detail))
			return
		}
		model, named := strings.CutPrefix(r.URL.Path, "/v2/models/")
		switch {
		case !named && (r.URL.Path != "/v2" || r.Method != http.MethodGet):
			keys.Deny(caller.KeyID, "change the model server", "no API key may")
			oip.WriteError(w, oip.Errorf(http.StatusForbidden, "an API key may read and ask models here, and nothing else"))
		case named && !strings.HasPrefix(model, string(caller.Tenant)+"."):
			name, _, _ := strings.Cut(model, "/")
			oip.WriteError(w, oip.Errorf(http.StatusNotFound, "model %.100s not found", name))
		default:
			next.ServeHTTP(w, r)
		}
	})
}
