package readmodel_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
	"phantom/readmodel"
)

// fillSQL makes models of a tenant as the projections would: names of two of 400 words and a number of
// their own, a tag of 20 teams, a description of ten words, of which one is in every third.
const fillSQL = `
with m as (
	select n, 'model-' || n as id, 'adj' || n % 400 || ' noun' || n * 7 % 400 || ' ' || n as name,
		'team' || n % 20 as team, 'kind' || n % 5 as kind, 'algo' || n % 7 as algorithm,
		(select string_agg('word' || (n * k) % 3000, ' ') from generate_series(1, 10) k)
			|| case when n % 3 = 0 then ' common' else '' end as description
	from generate_series(1, $2::integer) n),
part as (
	select n, w, weight, row_number() over (partition by n order by weight) as place
	from m, lateral (
		select w, 'A' as weight from unnest(string_to_array(m.name, ' ') || array['model', n::text]) w
		union all select w, 'B' from unnest(array['team', team]) w
		union all select w, 'C' from unnest(string_to_array(description, ' ')) w
		union all select w, 'D' from unnest(array[kind, kind, algorithm]) w) p),
said as (
	insert into phantom.search_word select distinct $1, 1, w from part),
vector as (
	select n, string_agg(format('''%s/%s'':%s%s', $1::text, w, place, weight) || case weight when 'A' then format(' ''%s#%s''', $1::text, w) else '' end, ' ')::tsvector as words
	from part group by n),
found as (
	insert into phantom.model_search
	select $1, 1, id, name, kind, algorithm, jsonb_build_object('team', team), description, words from m join vector using (n))
insert into phantom.model
	select $1, 1, id, 1, null, name, kind, algorithm, 'created', null, '{}', '[]', 0, '{}', null, null, null, null,
		jsonb_build_object('team', team), description, '', null, 0, 0, 0, 1, now(), '{}', now() from m`

// ilikeSQL is what one would do without a search.
const ilikeSQL = `
select m.model_id, m.name from phantom.model m
where m.tenant_id = $1 and m.generation = 1 and m.to_position is null
	and (m.name ilike $2 or m.description ilike $2 or m.tags::text ilike $2 or m.model_type ilike $2 or m.algorithm ilike $2)
order by m.model_id limit 51`

// BenchmarkSearch asks among 100,000 models of one tenant, beside another one with as many, as the
// serving role. The floor is a p99 of 30 ms.
func BenchmarkSearch(b *testing.B) {
	db := pgtest.New(b)
	pool := db.Pool(b)
	for _, tenant := range []string{"acme", "other"} {
		var batch pgx.Batch
		batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
		batch.Queue(fillSQL, tenant, 100_000)
		batch.Queue(`insert into phantom.projection_generation (projection, log) values ('search', 'lifecycle'), ('catalogue', 'lifecycle'), ('inference-activity', 'inference') on conflict do nothing`)
		require.NoError(b, pool.SendBatch(b.Context(), &batch).Close())
	}
	_, err := pgtest.Pool(b, db.OwnerURL).Exec(b.Context(), "vacuum analyze phantom.model_search, phantom.search_word, phantom.model")
	require.NoError(b, err)
	reader := readmodel.NewReader(pool)
	for _, ask := range []struct{ name, text string }{
		{"one model", "77777"},
		{"a word", "noun77"},
		{"two words", "adj7 team7"},
		{"a beginning", "adj39"},
		{"in a third", "common"},
		{"in all", "model"},
		{"a typo", "comon"},
		{"a typo among like words", "noum77"},
		{"a letter", "w"},
		{"nothing", "qqqqqqqq"},
	} {
		b.Run(ask.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := reader.SearchModels(b.Context(), "acme", ask.text, readmodel.Paging{})
				require.NoError(b, err)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	b.Run("ILIKE", func(b *testing.B) {
		for b.Loop() {
			var batch pgx.Batch
			batch.Queue(`select set_config('phantom.tenant', 'acme', true)`)
			batch.Queue(ilikeSQL, "acme", "%noun77%")
			require.NoError(b, pool.SendBatch(b.Context(), &batch).Close())
		}
	})
}
