package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"phantom/access"
	"phantom/domain"
	"phantom/readmodel"
)

type keyCreate struct {
	Body struct {
		Name      string      `json:"name" maxLength:"128" doc:"Who the events name that are caused with it"`
		Role      access.Role `json:"role" enum:"viewer,trainer,deployer,approver,admin" doc:"Each may do what those before it may"`
		ExpiresAt *time.Time  `json:"expires_at,omitempty" doc:"RFC 3339; without it the key stands until it is revoked"`
	}
}

// createdKey is a key on the only occasion when it is told whole.
type createdKey struct {
	Body struct {
		access.Key

		APIKey string `json:"api_key" doc:"The key itself. It is told now and never again"`
	}
}

type keyPath struct {
	KeyID string `path:"key_id" pattern:"^[a-z2-7]{16}$" patternDescription:"16 of a-z, 2-7" doc:"The part of the key that may be shown"`
}

type keyEventList struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Items in a page"`
	Cursor string `query:"cursor" format:"uuid" doc:"next_cursor of the page before"`
}

func (s *server) keys(api huma.API) {
	create := operation("create-key", http.MethodPost, "/api/v1/keys", "Make an API key; the answer is the only place that tells it", "keys")
	create.DefaultStatus = http.StatusCreated
	handle(s, api, create, s.createKey)
	handle(s, api, operation("list-keys", http.MethodGet, "/api/v1/keys", "List API keys, those that were revoked too", "keys"), s.listKeys)
	handle(s, api, operation("list-key-events", http.MethodGet, "/api/v1/keys/events",
		"What was done with keys and what was refused to them, the newest first", "keys"), s.listKeyEvents)
	handle(s, api, operation("revoke-key", http.MethodDelete, "/api/v1/keys/{key_id}", "Revoke an API key, at once and for good", "keys"), s.revokeKey)
}

func (s *server) createKey(ctx context.Context, in *keyCreate) (*createdKey, error) {
	caller := callerOf(ctx)
	params := access.Params{Name: in.Body.Name, Role: in.Body.Role, By: caller.Actor.Subject}
	if in.Body.ExpiresAt != nil {
		params.ExpiresAt = *in.Body.ExpiresAt
		if params.ExpiresAt.IsZero() { // which would be never
			return nil, &domain.InvalidInput{Field: "expires_at", Reason: "must be in the future"}
		}
	}
	key, token, err := s.Keys.Create(ctx, caller.Tenant, params)
	if err != nil {
		return nil, err
	}
	answer := &createdKey{}
	answer.Body.Key, answer.Body.APIKey = key, token
	return answer, nil
}

func (s *server) listKeys(ctx context.Context, in *Paging) (*list[access.Key], error) {
	keys, more, err := s.Keys.List(ctx, callerOf(ctx).Tenant, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	found := readmodel.Page[access.Key]{Items: keys, HasMore: more}
	if more {
		found.NextCursor = keys[len(keys)-1].KeyID
	}
	return pageOf(found), nil
}

func (s *server) listKeyEvents(ctx context.Context, in *keyEventList) (*list[access.KeyEvent], error) {
	before := uuid.Max
	if in.Cursor != "" {
		var err error
		if before, err = uuid.Parse(in.Cursor); err != nil {
			return nil, param("cursor", "is not one of ours")
		}
	}
	events, more, err := s.Keys.Trail(ctx, callerOf(ctx).Tenant, before, in.Limit)
	if err != nil {
		return nil, err
	}
	found := readmodel.Page[access.KeyEvent]{Items: events, HasMore: more}
	if more {
		found.NextCursor = events[len(events)-1].EventID.String()
	}
	return pageOf(found), nil
}

func (s *server) revokeKey(ctx context.Context, in *keyPath) (*item[access.Key], error) {
	caller := callerOf(ctx)
	key, err := s.Keys.Revoke(ctx, caller.Tenant, in.KeyID, caller.Actor.Subject)
	if err != nil {
		return nil, err
	}
	return &item[access.Key]{Body: key}, nil
}
