package readmodel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
)

const limit = 20 * time.Second

// house is a database with the log and all projections, caught up by hand.
type house struct {
	t      *testing.T
	db     *pgtest.Database
	pool   *pgxpool.Pool
	store  *eventstore.Store
	reader *readmodel.Reader
}

func newHouse(t *testing.T) *house {
	t.Helper()
	db := pgtest.New(t)
	pool := db.Pool(t)
	return &house{t: t, db: db, pool: pool, store: eventstore.New(pool), reader: readmodel.NewReader(pool)}
}

// anew is a projection whose rows are of a generation of their own; so are its checkpoints, but for the first.
type anew struct {
	projection.Projection

	generation int
}

func (a anew) Name() string {
	if a.generation == 1 {
		return a.Projection.Name()
	}
	return fmt.Sprintf("%s-%d", a.Projection.Name(), a.generation)
}

func (a anew) Apply(ask *projection.Questions, _ int, events []eventstore.Event) (projection.Write, error) {
	return a.Projection.Apply(ask, a.generation, events)
}

// catchUp fills a generation of every projection, some events at a time.
func (h *house) catchUp(generation, batch int) {
	h.t.Helper()
	var all []projection.Projection
	for _, p := range readmodel.Projections() {
		all = append(all, anew{p, generation})
	}
	h.applied(batch, all...)
}

// applied runs projections until they have seen what is there. Nothing may fail.
func (h *house) applied(batch int, all ...projection.Projection) {
	h.t.Helper()
	r, err := projection.NewRunner(projection.Params{
		Pool: h.pool, Feed: h.store, Projections: all, Batch: batch,
		Failed: func(name, tenant string, err error) {
			if !errors.Is(err, context.Canceled) {
				h.t.Errorf("%s, tenant %s: %v", name, tenant, err)
			}
		},
	})
	require.NoError(h.t, err)
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for _, p := range all {
		heads, err := h.store.Heads(h.t.Context(), p.Log())
		require.NoError(h.t, err)
		for tenant, head := range heads {
			require.NoError(h.t, r.WaitFor(h.t.Context(), p.Name(), tenant, head))
		}
	}
	cancel()
	require.NoError(h.t, <-ended)
}

// tables are all that the projections write.
func tables() []string {
	return []string{
		"model", "model_tag", "version", "training", "training_progress", "deployment", "rollout",
		"rollout_traffic", "rollout_verdict", "alias", "model_activity", "model_search", "search_word", "saga",
		"inference_bucket", "inference_label",
	}
}

// rows are a tenant's rows of a generation, but for its number.
func (h *house) rows(tenant domain.Tenant, generation int) map[string][]string {
	h.t.Helper()
	found := map[string][]string{}
	var batch pgx.Batch
	batch.Queue(`select set_config('phantom.tenant', $1, true)`, tenant)
	for _, table := range tables() {
		batch.Queue(`select (to_jsonb(t) - 'generation')::text from phantom.`+table+` t
			where generation = $1 order by 1`, generation).Query(func(rows pgx.Rows) error {
			var err error
			found[table], err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	}
	require.NoError(h.t, h.pool.SendBatch(h.t.Context(), &batch).Close())
	return found
}

// world is one tenant whose commands are decided by the domain and appended to the log.
type world struct {
	*house

	tenant    domain.Tenant
	models    map[domain.ModelID]*domain.Model
	trainings map[domain.StreamID]*domain.TrainingJob
	rollouts  map[domain.StreamID]*domain.Rollout
	by        domain.Actor
	saga      string
	now       time.Time
	head      int64
}

func (h *house) world(tenant domain.Tenant) *world {
	return &world{
		house: h, tenant: tenant, models: map[domain.ModelID]*domain.Model{},
		trainings: map[domain.StreamID]*domain.TrainingJob{}, rollouts: map[domain.StreamID]*domain.Rollout{},
		by:  domain.Actor{Subject: "ann", Auth: domain.AuthLocal, Verified: true},
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
}

func (w *world) model(id domain.ModelID) *domain.Model {
	return entry(w.models, id)
}

func entry[K comparable, V any](m map[K]*V, key K) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

// states are those that a command reads.
func (w *world) states(cmd domain.Command) domain.Aggregates {
	var a domain.Aggregates
	for _, id := range append(cmd.Guards(), cmd.Writes()) {
		switch id.Type {
		case domain.TypeMLModel:
			a.Model = *w.model(id.Model())
		case domain.TypeTrainingJob:
			a.Training = *entry(w.trainings, id)
		case domain.TypeRollout:
			a.Rollout = *entry(w.rollouts, id)
		case domain.TypeInferenceLog:
		}
	}
	return a
}

// do handles a command that must be taken.
func (w *world) do(cmd domain.Command) {
	w.t.Helper()
	require.NoError(w.t, w.try(cmd), "%T", cmd)
}

// try handles a command, or answers with the refusal.
func (w *world) try(cmd domain.Command) error {
	w.t.Helper()
	decided, err := domain.Decide(w.states(cmd), cmd)
	if err != nil {
		return err
	}
	w.now = w.now.Add(time.Second)
	w.record(cmd.Writes(), decided)
	return nil
}

func (w *world) record(stream domain.StreamID, decided []domain.Event) {
	w.t.Helper()
	if len(decided) == 0 {
		return
	}
	command := uuid.NewString()
	meta, err := json.Marshal(domain.EventMetadata{Actor: w.by, CommandID: command, WorkflowID: w.saga})
	require.NoError(w.t, err)
	log := eventstore.Lifecycle
	if stream.Type == domain.TypeInferenceLog {
		log = eventstore.Inference
	}
	events := make([]eventstore.NewEvent, 0, len(decided))
	for i, e := range decided {
		name, version, data, err := domain.Encode(e)
		require.NoError(w.t, err)
		events = append(events, eventstore.NewEvent{
			ID: domain.EventID(command, i, e), Type: name, Version: version, Data: data, Metadata: meta, OccurredAt: w.now,
		})
	}
	done, err := w.store.Append(w.t.Context(), string(w.tenant), log, []eventstore.Append{
		{Stream: eventstore.Stream{Type: string(stream.Type), ID: stream.ID}, Events: events},
	}, nil)
	require.NoError(w.t, err)
	for i, e := range decided {
		behind := int64(len(decided) - 1 - i)
		w.evolve(domain.Recorded{
			Event: e, Stream: stream, OccurredAt: w.now,
			Revision: done[0].Revision - behind, Position: done[0].Position - behind,
		})
	}
	if log == eventstore.Lifecycle {
		w.head = done[0].Position
	}
}

func (w *world) evolve(r domain.Recorded) {
	switch r.Stream.Type {
	case domain.TypeMLModel:
		w.model(r.Stream.Model()).Evolve(r)
	case domain.TypeTrainingJob:
		entry(w.trainings, r.Stream).Evolve(r)
	case domain.TypeRollout:
		entry(w.rollouts, r.Stream).Evolve(r)
	case domain.TypeInferenceLog:
	}
}

// Everyday commands.

func (w *world) create(id domain.ModelID, tags map[string]string) {
	w.t.Helper()
	w.do(domain.CreateModel{
		ModelID: id, Name: "Model " + string(id), ModelType: "classification", Algorithm: "mlp",
		InitialConfig: json.RawMessage(`{"hidden":32}`), Description: "reads digits", Tags: tags, IntendedPurpose: "post codes",
	})
}

func artifact(digit string) domain.Digest {
	return domain.Digest("sha256:" + strings.Repeat(digit, 64))
}

func (w *world) start(id domain.ModelID, job domain.JobID) {
	w.t.Helper()
	w.do(domain.StartTraining{
		ModelID: id, TrainingJobID: job, Concurrent: true,
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Seed: 7},
		DatasetInfo:    []domain.DatasetInfo{{URI: "digits.csv", Label: "label"}},
	})
}

// train takes a job from its start to a version.
func (w *world) train(id domain.ModelID, accuracy float64) domain.JobID {
	w.t.Helper()
	job := domain.JobID(uuid.NewString())
	w.start(id, job)
	w.do(domain.CompleteTraining{
		ModelID: id, TrainingJobID: job, FinalMetrics: map[string]float64{"loss": 0.25},
		ArtifactsLocation: artifact("a"), TrainingDurationMS: 1500, CodeDigest: "code",
	})
	metrics := map[string]float64{"accuracy": accuracy, "precision": 0.7, "recall": 0.6, "f1": 0.65}
	w.do(domain.EvaluateCandidate{
		ModelID: id, TrainingJobID: job, Metrics: metrics,
		ConfusionMatrix: [][]int64{{5, 1}, {0, 4}}, Labels: []string{"0", "1"}, Rows: 10,
		Gates: []domain.GateResult{{Gate: domain.Gate{Metric: "accuracy", Op: ">=", Threshold: 0.5}, Value: &accuracy}},
	})
	w.do(domain.CreateModelVersion{
		ModelID: id, ArtifactsLocation: artifact("a"), TrainingJobID: job, PerformanceMetrics: metrics,
	})
	return job
}

func (w *world) getModel(id domain.ModelID, asOf int64) readmodel.Model {
	w.t.Helper()
	m, err := w.reader.GetModel(w.t.Context(), w.tenant, id, asOf)
	require.NoError(w.t, err)
	return m
}

// all reads a list to its end, in pages of a size.
func all[T any](t *testing.T, size int, next func(context.Context, readmodel.Paging) (readmodel.Page[T], error)) []T {
	t.Helper()
	var items []T
	paging := readmodel.Paging{Limit: size}
	for {
		page, err := next(t.Context(), paging)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Items), size)
		items = append(items, page.Items...)
		require.Equal(t, page.HasMore, page.NextCursor != "")
		if !page.HasMore {
			return items
		}
		require.Len(t, page.Items, size)
		paging.Cursor = page.NextCursor
	}
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
