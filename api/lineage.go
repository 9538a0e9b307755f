package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

func (s *server) lineage(api huma.API) {
	handle(s, api, operation("get-lineage", http.MethodGet, "/api/v1/models/{model_id}/versions/{version}/lineage",
		"Get where a version comes from: job, data, parameters, code, who started and approved it, and where it was deployed", "versions"), s.getLineage)
}

func (s *server) getLineage(ctx context.Context, in *versionGet) (*item[readmodel.Lineage], error) {
	var asOf int64
	for _, projection := range readmodel.LineageProjections() {
		if err := s.fresh(ctx, in.Freshness, projection); err != nil {
			return nil, err
		}
		if asOf > 0 {
			if err := s.reached(ctx, projection, asOf); err != nil {
				return nil, err
			}
			continue
		}
		var err error
		if asOf, err = s.modelPosition(ctx, in.id(), in.ModelMoment, projection); err != nil {
			return nil, err
		}
	}
	lineage, err := s.Reader.GetLineage(ctx, callerOf(ctx).Tenant, in.id(), domain.Version(in.Version), asOf)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Lineage]{Position: seen(asOf, lineage.Position), Body: lineage}, nil
}
