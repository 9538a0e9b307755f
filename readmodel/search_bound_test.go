package readmodel_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
	"phantom/readmodel"
)

// filled tells whether a model of fillSQL has a word that begins so, in its name and anywhere.
func filled(n int, begins string) (named, anywhere bool) {
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.HasPrefix(word, begins) {
				return true
			}
		}
		return false
	}
	named = has("model", strconv.Itoa(n), fmt.Sprintf("adj%d", n%400), fmt.Sprintf("noun%d", n*7%400))
	others := []string{"team", fmt.Sprintf("team%d", n%20), fmt.Sprintf("kind%d", n%5), fmt.Sprintf("algo%d", n%7)}
	if n%3 == 0 {
		others = append(others, "common")
	}
	for k := range 10 {
		others = append(others, fmt.Sprintf("word%d", n*(k+1)%3000))
	}
	return named, named || has(others...)
}

// However many models there are, those that are ranked have the words, first those with all of them in the name, and what is
// counted is right up to its bound.
func TestSearchRanksAndCountsUpToItsBounds(t *testing.T) {
	t.Parallel()
	const models, ranked, counted = 400, 20, 150
	pool := pgtest.New(t).Pool(t)
	for _, tenant := range []string{"acme", "acme-2"} {
		var batch pgx.Batch
		batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
		batch.Queue(fillSQL, tenant, models)
		require.NoError(t, pool.SendBatch(t.Context(), &batch).Close())
	}
	for _, text := range []string{
		"77", "noun77", "adj3", "adj39 team", "common", "team", "model", "1", "1 common", "1 team3", "1 model 2", "1 adj w", "word1", "w a k t", "zzz",
	} {
		wantNamed, want := 0, map[string]bool{}
		inName := map[string]bool{}
		for n := 1; n <= models; n++ {
			allNamed, all := true, true
			for word := range strings.FieldsSeq(text) {
				named, anywhere := filled(n, word)
				allNamed, all = allNamed && named, all && anywhere
			}
			id := fmt.Sprintf("model-%d", n)
			if all {
				want[id] = true
			}
			if allNamed {
				inName[id] = true
				wantNamed++
			}
		}
		var batch pgx.Batch
		batch.Queue(`select set_config('phantom.tenant', 'acme', true)`)
		got, named := map[string]bool{}, 0
		batch.Queue(`select model_id, matches from phantom.search_models(1, $1, $2, $3, $4, null, null, 1000)`,
			strings.Fields(text), text, ranked, counted).Query(func(rows pgx.Rows) error {
			var id string
			var matches int
			_, err := pgx.ForEachRow(rows, []any{&id, &matches}, func() error {
				require.True(t, want[id], "%s: %s", text, id)
				require.False(t, got[id], "%s: %s twice", text, id)
				require.Equal(t, min(len(want), counted), matches, text)
				if got[id] = true; inName[id] {
					named++
				}
				return nil
			})
			return err
		})
		require.NoError(t, pool.SendBatch(t.Context(), &batch).Close())
		require.Len(t, got, min(len(want), ranked), text)
		require.Equal(t, min(wantNamed, ranked), named, "%s: those with the words in the name", text)
	}
}

// A search reads what it finds and not what there is, also by a plan that was made while there was nothing.
func TestSearchReadsWhatItFinds(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := pgtest.Tuned(t, db.ServingURL, func(settings *pgxpool.Config) { settings.MaxConns = 1 })
	read := func(text string) (rows int) {
		t.Helper()
		var batch pgx.Batch
		batch.Queue(`select set_config('phantom.tenant', 'acme', true)`)
		batch.Queue(`select from phantom.search_models(1, $1, $2, 1000, 10001, null, null, 50)`, strings.Fields(text), text)
		batch.Queue(`select sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))
			from pg_class c where c.relname in ('model_search', 'search_word')`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&rows) })
		require.NoError(t, pool.SendBatch(t.Context(), &batch).Close())
		return rows
	}
	questions := []string{"2077", "noun77", "noum77", "1 adj77", "adj7 team7"}
	for _, text := range questions {
		require.Zero(t, read(text), text)
	}
	var fill pgx.Batch
	fill.Queue(`select set_config('phantom.tenant', 'acme', true)`)
	fill.Queue(`insert into phantom.projection_generation (projection, log) values ('search', 'lifecycle'), ('catalogue', 'lifecycle'), ('inference-activity', 'inference') on conflict do nothing`)
	fill.Queue(fillSQL, "acme", 3000)
	require.NoError(t, pool.SendBatch(t.Context(), &fill).Close())
	_, err := pgtest.Pool(t, db.OwnerURL).Exec(t.Context(), "analyze phantom.search_word") // for the word with a typo alone
	require.NoError(t, err)
	for _, text := range questions {
		require.LessOrEqual(t, read(text), 500, text)
	}
	hits, err := readmodel.NewReader(pool).SearchModels(t.Context(), "acme", "noum77", readmodel.Paging{})
	require.NoError(t, err)
	require.NotZero(t, hits.Total.Value)
}
