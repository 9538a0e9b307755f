package readmodel

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
)

// Projections are all that fill the tables of this package, for projection.Params.
func Projections() []projection.Projection {
	return []projection.Projection{
		Catalogue{},
		Versions{},
		Trainings{},
		Deployments{},
		Rollouts{},
		Aliases{},
		InferenceActivity{},
		Search{},
		Sagas{},
		InferenceAnalytics{},
	}
}

// Names of the projections: what WaitFor waits for, and what the read models are live by.
const (
	CatalogueName          = "catalogue"
	VersionsName           = "versions"
	TrainingsName          = "trainings"
	DeploymentsName        = "deployments"
	RolloutsName           = "rollouts"
	AliasesName            = "aliases"
	InferenceActivityName  = "inference-activity"
	SearchName             = "search"
	SagasName              = "sagas"
	InferenceAnalyticsName = "inference-analytics"
)

// byModel parks together what is of one model: rows of a training or a rollout are made of events of the model's stream and
// of its own, and what one stream does is seen by the others.
type byModel struct{}

// Group is the model of the event's stream.
func (byModel) Group(e eventstore.Event) string {
	return string(domain.StreamID{Type: domain.AggregateType(e.AggregateType), ID: e.AggregateID}.Model())
}

// prompt are rows that people read right after they have changed something; leisurely are those about many changes.
type (
	prompt    struct{}
	leisurely struct{}
)

// Prompt implements projection.Projection.
func (prompt) Prompt() bool { return true }

// Prompt implements projection.Projection.
func (leisurely) Prompt() bool { return false }

// recorded is an event, and whose it is.
type recorded struct {
	domain.Recorded

	model domain.ModelID
}

// by is the actor of the event.
func (r recorded) by() domain.Actor { return r.Metadata.Actor }

// decode reads stored events of one tenant; one that this program does not know fails them all.
func decode(events []eventstore.Event) ([]recorded, error) {
	facts := make([]recorded, 0, len(events))
	for _, e := range events {
		event, err := domain.Decode(e.EventType, e.EventVersion, e.EventData)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Position, err)
		}
		stream := domain.StreamID{Type: domain.AggregateType(e.AggregateType), ID: e.AggregateID}
		fact := recorded{model: stream.Model(), Recorded: domain.Recorded{
			Event: event, Stream: stream, Revision: e.AggregateVersion, Position: e.Position,
			OccurredAt: e.OccurredAt.UTC(), RecordedAt: e.RecordedAt.UTC(),
		}}
		if telling(event) {
			if err := json.Unmarshal(e.Metadata, &fact.Metadata); err != nil {
				return nil, fmt.Errorf("metadata of event %d: %w", e.Position, err)
			}
		}
		facts = append(facts, fact)
	}
	return facts, nil
}

// telling is false of the many events of which no row says who made them: their metadata costs as much as they do.
func telling(e domain.Event) bool {
	switch e.(type) {
	case domain.TrainingProgressUpdated, domain.ModelMetadataUpdated, domain.ModelConfigurationUpdated,
		domain.InferenceMade, domain.FeedbackRecorded:
		return false
	default:
		return true
	}
}

// child is the second part of a stream's id: the job or the rollout of a model.
func (r recorded) child() string {
	if len(r.Stream.ID) <= len(r.model) {
		return ""
	}
	return r.Stream.ID[len(r.model)+1:]
}

// keys are the distinct values in the order of their first appearance.
func keys[K comparable](facts []recorded, of func(recorded) (K, bool)) []K {
	var found []K
	known := map[K]bool{}
	for _, fact := range facts {
		if k, has := of(fact); has && !known[k] {
			known[k] = true
			found = append(found, k)
		}
	}
	return found
}

func models(facts []recorded) []domain.ModelID {
	return keys(facts, func(f recorded) (domain.ModelID, bool) { return f.model, true })
}

// errNoRow says that an event changes what no event has begun: the log does not begin where it should.
var errNoRow = errors.New("nothing has begun it")

func missing(what string, id any) error { return fmt.Errorf("%s %v: %w", what, id, errNoRow) }

// collect queues a query of the batch whose rows become structs by their names.
func collect[R any](batch *pgx.Batch, into *[]R, sql string, args ...any) {
	batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		var err error
		*into, err = pgx.CollectRows(rows, pgx.RowToStructByNameLax[R])
		return err
	})
}

// lookUp queues a look-up by keys whose rows become structs by their names.
func lookUp[R any, K ~string](ask *projection.Questions, into *[]R, sql string, s scope, keys []K) {
	plain := make([]string, len(keys))
	for i, key := range keys {
		plain[i] = string(key)
	}
	ask.LookUp(projection.LookUp{SQL: sql, Tenant: s.tenant, Generation: s.generation, Keys: plain, Take: func(found pgx.CollectableRow) error {
		row, err := pgx.RowToStructByNameLax[R](behind{found, nil})
		*into = append(*into, row)
		return err
	}})
}

// inOrder applies facts one after the other, up to the first that cannot be.
func inOrder(facts []recorded, apply func(recorded) error) error {
	for _, fact := range facts {
		if err := apply(fact); err != nil {
			return err
		}
	}
	return nil
}
