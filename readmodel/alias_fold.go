package readmodel

import (
	"time"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// aliasRow is a row of phantom.alias.
type aliasRow struct {
	placed

	ModelID         domain.ModelID  `json:"model_id"`
	Alias           domain.Alias    `json:"alias"`
	Version         domain.Version  `json:"version"`
	PreviousVersion *domain.Version `json:"previous_version"`
	Reason          string          `json:"reason"`
	AssignedAt      time.Time       `json:"assigned_at"`
	AssignedBy      domain.Actor    `json:"assigned_by"`
}

func (a *aliasRow) key() string { return aliasKey(a.ModelID, a.Alias) }
func (a *aliasRow) keys() []any { return []any{a.ModelID, a.Alias} }

func aliasKey(m domain.ModelID, a domain.Alias) string { return string(m) + "/" + string(a) }

const aliasColumns = `a.from_position, a.model_id, a.alias, a.version, a.previous_version, a.reason,
	a.assigned_at, a.assigned_by`

// Aliases is the projection of what a model's aliases name.
type Aliases struct {
	byModel
	prompt
}

// Name is that of its checkpoints.
func (Aliases) Name() string { return AliasesName }

// Log is the lifecycle log.
func (Aliases) Log() eventstore.Log { return eventstore.Lifecycle }

// Types are what moves an alias.
func (Aliases) Types() []string { return types(domain.AliasAssigned{}, domain.AliasRemoved{}) }

// Tables are all that it writes.
func (Aliases) Tables() []projection.Table {
	return []projection.Table{{Name: "alias", Kind: projection.History}}
}

// Apply folds a batch into the aliases' rows.
func (Aliases) Apply(ask *projection.Questions, generation int, events []eventstore.Event) (projection.Write, error) {
	facts, err := decode(events)
	if err != nil {
		return nil, err
	}
	s := scope{tenant: events[0].TenantID, generation: generation}
	var rows []aliasRow
	lookUp(ask, &rows, ofModels("alias", aliasColumns, "a"), s, models(facts))
	return func(write *projection.Rows) error {
		fold := aliasFold{newHistory[aliasRow](table{"alias", []string{"model_id", "alias"}}, s, rows)}
		for _, fact := range facts {
			fold.apply(fact)
		}
		return fold.write(write)
	}, nil
}

type aliasFold struct {
	*history[aliasRow, *aliasRow]
}

func (f aliasFold) apply(r recorded) {
	switch e := r.Event.(type) {
	case domain.AliasAssigned:
		f.put(aliasRow{
			ModelID: r.model, Alias: e.Alias, Version: e.Version, PreviousVersion: given(e.PreviousVersion),
			Reason: e.Reason, AssignedAt: r.OccurredAt, AssignedBy: r.by(),
		}, r.Position)
	case domain.AliasRemoved:
		f.end(aliasKey(r.model, e.Alias), r.Position)
	default:
	}
}
