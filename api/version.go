package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

type versionList struct {
	ModelPath
	Paging
	Freshness
	ModelMoment
}

type versionGet struct {
	ModelPath
	Freshness
	ModelMoment

	Version string `path:"version" pattern:"^[1-9][0-9]{0,8}$" patternDescription:"a version's number: 1, 2, …"`
}

func (s *server) versions(api huma.API) {
	handle(s, api, operation("list-versions", http.MethodGet, "/api/v1/models/{model_id}/versions", "List versions, the newest first", "versions"), s.listVersions)
	handle(s, api, operation("get-version", http.MethodGet, "/api/v1/models/{model_id}/versions/{version}", "Get a version", "versions"), s.getVersion)
}

func (s *server) listVersions(ctx context.Context, in *versionList) (*list[readmodel.Version], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.VersionsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, in.id(), in.ModelMoment, readmodel.VersionsName)
	if err != nil {
		return nil, err
	}
	found, err := s.Reader.ListVersions(ctx, callerOf(ctx).Tenant, in.id(), asOf, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, in.id(), len(found.Items))
}

func (s *server) getVersion(ctx context.Context, in *versionGet) (*item[readmodel.Version], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.VersionsName); err != nil {
		return nil, err
	}
	asOf, err := s.modelPosition(ctx, in.id(), in.ModelMoment, readmodel.VersionsName)
	if err != nil {
		return nil, err
	}
	version, err := s.Reader.GetVersion(ctx, callerOf(ctx).Tenant, in.id(), domain.Version(in.Version), asOf)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Version]{Position: seen(asOf, version.Position), Body: version}, nil
}
