package readmodel

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// searchRow is a row of phantom.model_search. It is no history: a search answers about now only.
type searchRow struct {
	TenantID    string            `json:"tenant_id"`
	Generation  int               `json:"generation"`
	ModelID     domain.ModelID    `json:"model_id"`
	Name        string            `json:"name"`
	ModelType   string            `json:"model_type"`
	Algorithm   string            `json:"algorithm"`
	Tags        map[string]string `json:"tags"`
	Description string            `json:"description"`
	Words       string            `json:"words"` // a tsvector
}

// Tenant implements projection.Row.
func (r searchRow) Tenant() string { return r.TenantID }

// wordRow is a row of phantom.search_word.
type wordRow struct {
	TenantID   string `json:"tenant_id"`
	Generation int    `json:"generation"`
	Word       string `json:"word"`
}

// Tenant implements projection.Row.
func (r wordRow) Tenant() string { return r.TenantID }

// Search is the projection of the words by which models are found. A deleted model is not found.
type Search struct {
	byModel
	leisurely
}

// Name is that of its checkpoints.
func (Search) Name() string { return SearchName }

// Log is the lifecycle log.
func (Search) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are the events that give a model its words, or take them.
func (Search) Types() []string {
	return types(domain.ModelCreated{}, domain.ModelMetadataUpdated{}, domain.ModelDeleted{})
}

// Tables are all that it writes.
func (Search) Tables() []projection.Table {
	return []projection.Table{{Name: "model_search", Kind: projection.Counted}, {Name: "search_word", Kind: projection.Counted}}
}

const loadSearchSQL = `
select k.tenant, s.model_id, s.name, s.model_type, s.algorithm, s.tags, s.description
from ` + projection.NamedKeys + ` k
cross join lateral (
	select * from phantom.model_search r where r.tenant_id = k.tenant and r.generation = $2 and r.model_id = k.id offset 0) as s`

const keepSearchSQL = `
on conflict on constraint model_search_pkey do update
set tags = excluded.tags, description = excluded.description, words = excluded.words`

// Apply writes the last state of each model of a batch, and its words.
func (Search) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var rows []searchRow
	if old := keys(facts, oldModel); len(old) > 0 {
		lookUp(ask, &rows, loadSearchSQL, s, old)
	}
	return func(write *projection.Rows) error {
		fold := searchFold{scope: s, rows: map[domain.ModelID]*searchRow{}, words: map[string]bool{}}
		for i := range rows {
			fold.rows[rows[i].ModelID] = &rows[i]
			fold.say(&rows[i], false)
		}
		if err := inOrder(facts, fold.apply); err != nil {
			return err
		}
		return fold.write(write, models(facts))
	}, nil
}

type searchFold struct {
	scope scope
	rows  map[domain.ModelID]*searchRow
	words map[string]bool // that ever stood in them; true of those that are new
}

func (f *searchFold) apply(r recorded) error {
	row := f.rows[r.model]
	switch e := r.Event.(type) {
	case domain.ModelCreated:
		row = &searchRow{
			ModelID: r.model, Name: e.Name, ModelType: e.ModelType, Algorithm: e.Algorithm,
			Tags: map[string]string{}, Description: e.Description,
		}
		maps.Copy(row.Tags, e.Tags)
		f.rows[r.model] = row
	case domain.ModelMetadataUpdated:
		if row == nil {
			return missing("model", r.model)
		}
		described := modelRow{Tags: row.Tags, Description: row.Description}
		described.describe(e)
		row.Tags, row.Description = described.Tags, described.Description
	case domain.ModelDeleted:
		delete(f.rows, r.model)
		return nil
	default:
		return fmt.Errorf("%T at position %d is not for search", r.Event, r.Position)
	}
	row.TenantID, row.Generation = f.scope.tenant, f.scope.generation
	row.Words = f.say(row, true)
	return nil
}

// say takes in the words of a row, which are stored already or new, and answers with its vector.
func (f *searchFold) say(row *searchRow, now bool) string {
	vector := newVector(f.scope.tenant)
	vector.index(row)
	for word := range vector.known {
		if _, said := f.words[word]; !said {
			f.words[word] = now
		}
	}
	return vector.String()
}

func (f *searchFold) write(batch *projection.Rows, touched []domain.ModelID) error {
	var gone []domain.ModelID
	var rows []searchRow
	for _, id := range touched {
		if row := f.rows[id]; row != nil {
			rows = append(rows, *row)
		} else {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		batch.Queue(`delete from phantom.model_search where tenant_id = $1 and generation = $2 and model_id = any ($3)`,
			f.scope.tenant, f.scope.generation, gone)
	}
	if err := projection.Store(batch, storeRowsSQL("model_search")+keepSearchSQL, nil, rows); err != nil {
		return err
	}
	said := make([]wordRow, 0, len(f.words))
	for _, word := range slices.Sorted(maps.Keys(f.words)) {
		if f.words[word] {
			said = append(said, wordRow{f.scope.tenant, f.scope.generation, word})
		}
	}
	return projection.Store(batch, storeRowsSQL("search_word")+` on conflict do nothing`, nil, said)
}

// mostPositions is how many places of its words a tsvector can tell apart; what comes later is found as well.
const mostPositions = 16_000

// vector is a tsvector in the making. A lexeme is a word behind its tenant, so it needs no quotes but
// those around it.
type vector struct {
	tenant string
	text   strings.Builder
	known  map[string]bool
	place  int
}

func newVector(tenant string) *vector { return &vector{tenant: tenant, known: map[string]bool{}} }

// String is the vector as PostgreSQL reads it.
func (v *vector) String() string { return v.text.String() }

// index takes all of a row's words. The model type stands twice and the algorithm once, because there
// are four weights for five kinds of words.
func (v *vector) index(row *searchRow) {
	v.add("A", row.Name)
	v.add("A", string(row.ModelID))
	for _, text := range []string{row.Name, string(row.ModelID)} {
		for _, word := range words(text) {
			fmt.Fprintf(&v.text, "'%s#%s' ", v.tenant, word)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(row.Tags)) {
		v.add("B", key)
		v.add("B", row.Tags[key])
	}
	v.add("C", row.Description)
	v.add("D", row.ModelType)
	v.add("D", row.ModelType)
	v.add("D", row.Algorithm)
}

func (v *vector) add(weight, text string) {
	for _, word := range words(text) {
		v.known[word] = true
		v.place = min(v.place+1, mostPositions)
		fmt.Fprintf(&v.text, "'%s/%s':%d%s ", v.tenant, word, v.place, weight)
	}
}
