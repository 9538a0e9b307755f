package readmodel

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
)

// hitRow is a model with its place among the hits.
type hitRow struct {
	Found   string
	Rank    float32
	Matches int64

	Known bool // else it was created a moment ago, and the catalogue is behind
	modelAnswer
}

// readHit reads only what a search knows where the catalogue has no row.
func readHit(row pgx.CollectableRow) (hitRow, error) {
	columns := row.RawValues()
	var hit hitRow
	own := []any{&hit.Found, &hit.Rank, &hit.Matches}
	if columns[len(own)] != nil {
		hit, err := pgx.RowToStructByNameLax[hitRow](row)
		hit.Known = true
		return hit, err
	}
	return hit, row.Scan(append(own, make([]any, len(columns)-len(own))...)...)
}

// SearchModels finds the models that have every word of the text in name, id, tags, description, model
// type or algorithm, the best first: a word in the name counts more than one in a tag, and so on. A word
// stands for whatever begins with it and, when nothing does, for what is spelled like it. Deleted models
// are not found. The pages end after 1,000 hits: of more, those with the words in the name come before
// others, and some lesser ones are left out. A *domain.InvalidInput
// when the text has no words.
func (r *Reader) SearchModels(ctx context.Context, tenant domain.Tenant, text string, p Paging) (Hits, error) {
	found := wordsAsked(text)
	if len(found) == 0 {
		return Hits{}, &domain.InvalidInput{Field: "q", Reason: "must have a letter or a digit"}
	}
	if utf8.RuneCountInString(text) > maxQuery {
		return Hits{}, &domain.InvalidInput{Field: "q", Reason: "must not be longer than " + strconv.Itoa(maxQuery) + " characters"}
	}
	l := list{"search", tenant, found}
	after, limit, err := l.start(p)
	if err != nil {
		return Hits{}, err
	}
	rows, position, err := askFor(ctx, r, askSearch(tenant, found, after, limit+1), readHit)
	if err != nil {
		return Hits{}, err
	}
	hits := Hits{Total: Total{Relation: "eq"}, Page: Page[Hit]{Items: []Hit{}, Position: position}}
	if len(rows) > limit {
		rows, hits.HasMore = rows[:limit], true
		last := rows[limit-1]
		hits.NextCursor = l.cursor(strconv.FormatFloat(float64(last.Rank), 'g', -1, 32) + "/" + last.Found)
	}
	for _, row := range rows {
		if hits.Total.Value = row.Matches; row.Matches > maxTotal {
			hits.Total = Total{Value: maxTotal, Relation: "gte"}
		}
		if row.Known {
			hits.Items = append(hits.Items, Hit{Model: row.answer(), Score: float64(row.Rank)})
		}
	}
	return hits, nil
}

func askSearch(tenant domain.Tenant, found []string, after string, rows int) *query {
	rank, id, begun := strings.Cut(after, "/")
	q := newQuery(tenant, SearchName, `
select s.model_id as found, s.rank, s.matches, m.*
from phantom.search_models(`+liveSQL(SearchName))
	q.add(`, ?::text[], ?::text, ?::integer, ?::integer`, found, strings.Join(found, " "), maxRanked, maxTotal+1)
	if begun {
		q.add(`, ?::text::real, ?::text`, rank, id)
	} else {
		q.add(`, null, null`)
	}
	return q.add(`, ?::integer) s
left join lateral (
	select `+modelColumns+`, a.inferences, a.last_inference_at
	from phantom.model m
	left join phantom.model_activity a
		on a.tenant_id = m.tenant_id and a.model_id = m.model_id
		and a.generation = `+liveSQL(InferenceActivityName)+`
	where m.tenant_id = $1 and m.generation = `+liveSQL(CatalogueName)+`
		and m.model_id = s.model_id and m.to_position is null
	offset 0) m on true
order by s.rank desc, s.model_id`, rows)
}
