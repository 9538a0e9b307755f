package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

// AliasPath is the part of a path that names an alias.
type AliasPath struct {
	Alias string `path:"alias" maxLength:"63" doc:"A name for a version: champion, challenger, or your own"`
}

func (p AliasPath) alias() (domain.Alias, error) {
	alias := domain.Alias(p.Alias)
	if !alias.Valid() {
		return "", param("alias", domain.AliasForm)
	}
	return alias, nil
}

type aliasList struct {
	ModelPath
	Paging
	Freshness
	ModelMoment
}

type aliasGet struct {
	ModelPath
	AliasPath
	Freshness
	ModelMoment
}

type aliasPut struct {
	ModelPath
	AliasPath
	WriteHeaders

	Body struct {
		Version  string  `json:"version" doc:"A version's number, latest, or what another alias names: @challenger"`
		Expected *string `json:"expected,omitempty" doc:"The version that the alias must name now, empty for none: else 412"`
		Reason   string  `json:"reason,omitempty"`
	}
}

type aliasDelete struct {
	ModelPath
	AliasPath
	WriteHeaders

	Expected string `query:"expected" doc:"The version that the alias must name now: else 412"`
	Reason   string `query:"reason"`
}

// written answers a write that leaves nothing to show.
type written struct {
	ETag     string `header:"ETag" doc:"The model's revision, in quotes; for If-Match"` //nolint:tagliatelle // HTTP's own spelling
	Position int64  `header:"Phantom-Position" doc:"The position of the log that the write has reached"`
}

func (s *server) aliases(api huma.API) {
	const all, one = "/api/v1/models/{model_id}/aliases", "/api/v1/models/{model_id}/aliases/{alias}"
	handle(s, api, operation("list-aliases", http.MethodGet, all, "List a model's aliases, by name", "aliases"), s.listAliases)
	handle(s, api, operation("get-alias", http.MethodGet, one, "Get what an alias names, now or as it was", "aliases"), s.getAlias)
	handle(s, api, operation("assign-alias", http.MethodPut, one, "Let an alias name a version", "aliases"), s.assignAlias)
	remove := operation("remove-alias", http.MethodDelete, one, "Remove an alias", "aliases")
	remove.DefaultStatus = http.StatusNoContent
	handle(s, api, remove, s.removeAlias)
}

func (s *server) listAliases(ctx context.Context, in *aliasList) (*list[readmodel.Alias], error) {
	asOf, err := s.moment(ctx, in.Freshness, in.ModelPath, in.ModelMoment, readmodel.AliasesName)
	if err != nil {
		return nil, err
	}
	found, err := s.Reader.ListAliases(ctx, callerOf(ctx).Tenant, in.id(), asOf, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, in.id(), asOf, len(found.Items))
}

func (s *server) getAlias(ctx context.Context, in *aliasGet) (*item[readmodel.Alias], error) {
	alias, err := in.alias()
	if err != nil {
		return nil, err
	}
	asOf, err := s.moment(ctx, in.Freshness, in.ModelPath, in.ModelMoment, readmodel.AliasesName)
	if err != nil {
		return nil, err
	}
	found, err := s.Reader.GetAlias(ctx, callerOf(ctx).Tenant, in.id(), alias, asOf)
	if err != nil {
		return nil, s.orOfNoModel(ctx, in.id(), asOf, err)
	}
	return &item[readmodel.Alias]{Position: seen(asOf, found.Position), Body: found}, nil
}

func (s *server) assignAlias(ctx context.Context, in *aliasPut) (*item[readmodel.Alias], error) {
	alias, err := in.alias()
	if err != nil {
		return nil, err
	}
	cmd := domain.AssignAlias{
		ModelID: in.id(), Alias: alias, Version: domain.VersionRef(in.Body.Version),
		Expected: (*domain.Version)(in.Body.Expected), Reason: in.Body.Reason,
	}
	result, err := s.handleAlias(ctx, in.WriteHeaders, cmd)
	if err != nil {
		return nil, err
	}
	history := result.Events
	if len(history) == 0 { // it named the version already
		if history, err = s.Registry.Recorded(ctx, callerOf(ctx).Tenant, cmd.Writes()); err != nil {
			return nil, err
		}
	}
	return &item[readmodel.Alias]{ETag: etag(result.Revision), Position: result.Position, Body: assigned(history, alias)}, nil
}

// assigned is the last assignment of an alias in a model's history.
func assigned(history []domain.Recorded, alias domain.Alias) readmodel.Alias {
	var last readmodel.Alias
	for _, recorded := range history {
		e, ok := recorded.Event.(domain.AliasAssigned)
		if !ok || e.Alias != alias {
			continue
		}
		last = readmodel.Alias{
			ModelID: recorded.Stream.Model(), Alias: e.Alias, Version: e.Version, Reason: e.Reason,
			AssignedAt: recorded.OccurredAt.UTC(), AssignedBy: recorded.Metadata.Actor,
		}
		if e.PreviousVersion != "" {
			last.PreviousVersion = &e.PreviousVersion
		}
	}
	return last
}

func (s *server) removeAlias(ctx context.Context, in *aliasDelete) (*written, error) {
	alias, err := in.alias()
	if err != nil {
		return nil, err
	}
	cmd := domain.RemoveAlias{ModelID: in.id(), Alias: alias, Reason: in.Reason}
	if in.Expected != "" {
		cmd.Expected = (*domain.Version)(&in.Expected)
	}
	result, err := s.handleAlias(ctx, in.WriteHeaders, cmd)
	if err != nil {
		return nil, err
	}
	return &written{ETag: etag(result.Revision), Position: result.Position}, nil
}

// handleAlias handles a command, and waits a little for the aliases to show it.
func (s *server) handleAlias(ctx context.Context, h WriteHeaders, cmd domain.Command) (domain.Result, error) {
	m, err := meta(ctx, h)
	if err != nil {
		return domain.Result{}, err
	}
	result, err := s.Registry.Handle(ctx, callerOf(ctx).Tenant, cmd, m)
	if err == nil {
		s.settle(ctx, result.Position, readmodel.AliasesName)
	}
	return result, err
}
