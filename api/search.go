package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/readmodel"
)

type searchQuery struct {
	Paging
	Freshness

	Text string `query:"q" required:"true" minLength:"1" maxLength:"1000" doc:"Words that a model must have, or the beginnings of them; a word that no model has stands for those that are spelled like it"`
}

// Found are the hits of a search.
type Found struct {
	Items      []readmodel.Hit `json:"items" nullable:"false"`
	NextCursor string          `json:"next_cursor" doc:"The cursor of the next page; empty when there is none"`
	HasMore    bool            `json:"has_more"`
	Total      readmodel.Total `json:"total"`
	TookMS     float64         `json:"took_ms" doc:"How long the search took in the server, in milliseconds"`
}

func (s *server) search(api huma.API) {
	handle(s, api, operation("search-models", http.MethodGet, "/api/v1/search",
		"Search models, the best hit first: by name, then tags, description, type, algorithm", "models"), s.searchModels)
}

func (s *server) searchModels(ctx context.Context, in *searchQuery) (*item[Found], error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.SearchName); err != nil {
		return nil, err
	}
	if err := s.fresh(ctx, in.Freshness, readmodel.CatalogueName); err != nil {
		return nil, err
	}
	began := time.Now()
	hits, err := s.Reader.SearchModels(ctx, callerOf(ctx).Tenant, in.Text, in.of())
	if err != nil {
		return nil, err
	}
	return &item[Found]{Position: hits.Position, Body: Found{
		Items: hits.Items, NextCursor: hits.NextCursor, HasMore: hits.HasMore, Total: hits.Total,
		TookMS: float64(time.Since(began).Microseconds()) / 1000,
	}}, nil
}
