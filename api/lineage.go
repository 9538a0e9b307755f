package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/readmodel"
)

func (s *server) lineage(api huma.API) {
	handle(s, api, operation("get-lineage", http.MethodGet, "/api/v1/models/{model_id}/versions/{version}/lineage",
		"Get where a version comes from: job, data, parameters, code, who started and approved it, and where it was deployed", "versions"), s.getLineage)
}

func (s *server) getLineage(ctx context.Context, in *versionGet) (*item[readmodel.Lineage], error) {
	asOf, err := s.moment(ctx, in.Freshness, in.ModelPath, in.ModelMoment, append(readmodel.LineageProjections(), readmodel.AliasesName)...)
	if err != nil {
		return nil, err
	}
	number, err := s.numberOf(ctx, in, asOf)
	if err != nil {
		return nil, err
	}
	lineage, err := s.Reader.GetLineage(ctx, callerOf(ctx).Tenant, in.id(), number, asOf)
	if err != nil {
		return nil, s.orOfNoModel(ctx, in.id(), asOf, err)
	}
	return &item[readmodel.Lineage]{Position: seen(asOf, lineage.Position), Body: lineage}, nil
}
