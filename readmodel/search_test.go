package readmodel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

func (w *world) describe(id domain.ModelID, name, kind, algorithm, description string, tags map[string]string) {
	w.t.Helper()
	w.do(domain.CreateModel{ModelID: id, Name: name, ModelType: kind, Algorithm: algorithm, Description: description, Tags: tags})
}

// found are the ids of the hits, in their order, over all pages.
func (w *world) found(text string, limit int) []domain.ModelID {
	w.t.Helper()
	ids := []domain.ModelID{}
	for p := (readmodel.Paging{Limit: limit}); ; {
		hits, err := w.reader.SearchModels(w.t.Context(), w.tenant, text, p)
		require.NoError(w.t, err, text)
		for _, hit := range hits.Items {
			ids = append(ids, hit.ModelID)
		}
		require.Equal(w.t, hits.HasMore, hits.NextCursor != "")
		if !hits.HasMore {
			require.Equal(w.t, readmodel.Total{Value: int64(len(ids)), Relation: "eq"}, hits.Total, text)
			return ids
		}
		require.Len(w.t, hits.Items, limit)
		p.Cursor = hits.NextCursor
	}
}

func TestSearchRanksByWhereTheWordsStand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w, other := h.world("acme"), h.world("acme-2")
	w.describe("m-algorithm", "E", "t", "churn", "", nil)
	w.describe("m-type", "D", "churn", "a", "", nil)
	w.describe("m-words", "C", "t", "a", strings.Repeat("churn ", 500), nil)
	w.describe("m-tag", "B", "t", "a", "churn", map[string]string{"churn": "churn"})
	w.describe("m-name", "Churn and more", "t", "a", "", nil)
	w.describe("m-exact", "Churn", "t", "a", "", nil)
	w.describe("m-none", "Other", "t", "a", "an urn", map[string]string{"team": "kühl"})
	other.describe("m-other", "Churn", "t", "a", "", nil)
	h.catchUp(1, 100)

	ranked := []domain.ModelID{"m-exact", "m-name", "m-tag", "m-words", "m-type", "m-algorithm"}
	require.Equal(t, ranked, w.found("churn", 50))
	require.Equal(t, ranked, w.found("CHURN", 2), "pages go on where the last one ended")
	require.Equal(t, ranked, w.found("chu", 50), "the beginning of a word")
	require.Equal(t, ranked, w.found("churm", 50), "a typo")
	require.Equal(t, []domain.ModelID{"m-name"}, w.found("more churn", 50), "every word")
	require.Equal(t, []domain.ModelID{"m-none"}, w.found("kuhl", 50), "without accents")
	require.Equal(t, []domain.ModelID{"m-none"}, w.found("M-NONE", 50), "the id")
	require.Empty(t, w.found("zzzzzz", 50))
	require.Equal(t, []domain.ModelID{"m-other"}, other.found("churn", 50))
}

func TestSearchFollowsWhatChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.describe("a", "Alpha", "t", "a", "first", map[string]string{"team": "vision"})
	w.describe("b", "Beta", "t", "a", "", nil)
	h.catchUp(1, 1)
	second, sound := "second", "sound"
	w.do(domain.UpdateModelMetadata{ModelID: "a", Description: &second, Tags: map[string]*string{"team": &sound}})
	w.do(domain.ArchiveModel{ModelID: "b", Reason: "old"})
	w.do(domain.DeleteModel{ModelID: "b", Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain}})
	h.catchUp(1, 100)
	require.Equal(t, []domain.ModelID{"a"}, w.found("second sound", 50))
	require.Empty(t, w.found("first", 50))
	require.Empty(t, w.found("vision", 50))
	require.Empty(t, w.found("beta", 50), "a deleted model")
}

// Whatever is typed is words, or nothing: no operator, quote or wildcard reaches a query.
func TestSearchTakesAnyText(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.describe("a", "Alpha", "t", "a", "", nil)
	h.catchUp(1, 100)
	for _, text := range []string{
		"alpha & !x", "alpha:*", "alpha' | 'b", `alpha\`, "alpha <-> alpha", "'; drop table phantom.model; --", "alpha/acme#alpha",
		"acme-2/alpha", "((((alpha", strings.Repeat("alpha ", 160), strings.Repeat("x", 900), "日本語", "ǅ ß ﬁ", "\u0301a", "٣",
	} {
		hits, err := w.reader.SearchModels(t.Context(), w.tenant, text, readmodel.Paging{})
		require.NoError(t, err, text)
		require.LessOrEqual(t, len(hits.Items), 1, text)
	}
	require.Equal(t, []domain.ModelID{"a"}, w.found("((((alpha:*", 50))
	for _, text := range []string{"", "  ", "&|!", "%_%", strings.Repeat("a", 1001)} {
		_, err := w.reader.SearchModels(t.Context(), w.tenant, text, readmodel.Paging{})
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, text)
		require.Equal(t, "q", bad.Field)
	}
}

func TestSearchPagesSurviveInserts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	for n := range 9 {
		w.describe(domain.ModelID(fmt.Sprintf("m%d", n)), "Churn", "t", "a", "", nil)
	}
	h.catchUp(1, 100)
	first, err := w.reader.SearchModels(t.Context(), w.tenant, "churn", readmodel.Paging{Limit: 4})
	require.NoError(t, err)
	w.describe("a-new", "Churn", "t", "a", "", nil)
	h.catchUp(1, 100)
	second, err := w.reader.SearchModels(t.Context(), w.tenant, "churn", readmodel.Paging{Limit: 50, Cursor: first.NextCursor})
	require.NoError(t, err)
	require.Len(t, second.Items, 5)
	require.Equal(t, domain.ModelID("m4"), second.Items[0].ModelID)
	_, err = w.reader.SearchModels(t.Context(), w.tenant, "other", readmodel.Paging{Cursor: first.NextCursor})
	require.ErrorContains(t, err, "cursor")
}

func TestSearchGoesOnWhileTheCatalogueIsBehind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.describe("old", "Churn", "t", "a", "", nil)
	h.catchUp(1, 100)
	w.describe("new", "Churn", "t", "a", "", nil)
	h.applied(100, readmodel.Search{})
	hits, err := w.reader.SearchModels(t.Context(), w.tenant, "churn", readmodel.Paging{})
	require.NoError(t, err)
	require.Equal(t, readmodel.Total{Value: 2, Relation: "eq"}, hits.Total)
	require.Len(t, hits.Items, 1)
	require.Equal(t, domain.ModelID("old"), hits.Items[0].ModelID)
	h.catchUp(1, 100)
	require.ElementsMatch(t, []domain.ModelID{"old", "new"}, w.found("churn", 50))
}
