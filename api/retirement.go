package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
	"phantom/readmodel"
)

type modelArchive struct {
	ModelPath
	WriteHeaders

	Body struct {
		Reason string `json:"reason"`
	}
}

type modelDelete struct {
	ModelPath
	WriteHeaders

	Body struct {
		Reason    string `json:"reason"`
		Retention string `json:"retention,omitempty" doc:"What becomes of its data: retain, the default, keeps it"`
		Delay     string `json:"delay,omitempty" hidden:"true"`
	}
}

// retirement registers what ends a model. Both are commands: the model must be undeployed before.
func (s *server) retirement(api huma.API) {
	const one = "/api/v1/models/{model_id}"
	handle(s, api, operation("archive-model", http.MethodPost, one+"/archive", "Archive a model that neither serves nor trains: it takes no work any more", "models"), s.archiveModel)
	handle(s, api, operation("delete-model", http.MethodPost, one+"/delete", "Delete an archived model; its id stays taken, its history stays", "models"), s.deleteModel)
}

func (s *server) archiveModel(ctx context.Context, in *modelArchive) (*item[readmodel.Model], error) {
	return s.command(ctx, in.WriteHeaders, domain.ArchiveModel{ModelID: in.id(), Reason: in.Body.Reason})
}

func (s *server) deleteModel(ctx context.Context, in *modelDelete) (*item[readmodel.Model], error) {
	var bad []error
	switch domain.Retention(in.Body.Retention) {
	case "", domain.RetentionRetain:
	case domain.RetentionEraseArtifacts, domain.RetentionEraseAll:
		bad = append(bad, &domain.InvalidInput{Field: "retention", Reason: "is not available yet, but as retain"})
	default:
		bad = append(bad, &domain.InvalidInput{Field: "retention", Reason: "must be retain"})
	}
	if in.Body.Delay != "" {
		bad = append(bad, &domain.InvalidInput{Field: "delay", Reason: "is not available yet"})
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return s.command(ctx, in.WriteHeaders, domain.DeleteModel{
		ModelID: in.id(), Reason: in.Body.Reason, DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain},
	})
}
