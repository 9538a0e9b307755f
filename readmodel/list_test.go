package readmodel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/eventstore"
	"phantom/projection"
	"phantom/readmodel"
)

func (w *world) ids(f readmodel.ModelFilter, size int) []domain.ModelID {
	w.t.Helper()
	var ids []domain.ModelID
	for _, m := range all(w.t, size, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Model], error) {
		return w.reader.ListModels(ctx, w.tenant, f, p)
	}) {
		ids = append(ids, m.ModelID)
	}
	return ids
}

func TestListModelsCombinesFilters(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("a", map[string]string{"team": "vision", "tier": "1"})
	w.create("b", map[string]string{"team": "vision", "tier": "2"})
	w.create("c", map[string]string{"team": "forms"})
	before := w.head
	w.do(domain.CreateModel{ModelID: "d", Name: "D", ModelType: "regression", Algorithm: "linear", Tags: map[string]string{"team": "vision"}})
	w.train("b", 0.5)
	two := "2"
	w.do(domain.UpdateModelMetadata{ModelID: "a", Tags: map[string]*string{"tier": &two, "team": nil}})
	w.catchUp(1, 500)
	for name, check := range map[string]struct {
		filter readmodel.ModelFilter
		want   []domain.ModelID
	}{
		"all":              {readmodel.ModelFilter{}, []domain.ModelID{"a", "b", "c", "d"}},
		"status":           {readmodel.ModelFilter{Status: domain.StatusTrained}, []domain.ModelID{"b"}},
		"type":             {readmodel.ModelFilter{ModelType: "regression"}, []domain.ModelID{"d"}},
		"algorithm":        {readmodel.ModelFilter{Algorithm: "mlp"}, []domain.ModelID{"a", "b", "c"}},
		"tag":              {readmodel.ModelFilter{Tags: map[string]string{"team": "vision"}}, []domain.ModelID{"b", "d"}},
		"tags":             {readmodel.ModelFilter{Tags: map[string]string{"team": "vision", "tier": "2"}}, []domain.ModelID{"b"}},
		"tag and type":     {readmodel.ModelFilter{ModelType: "regression", Tags: map[string]string{"team": "vision"}}, []domain.ModelID{"d"}},
		"no such":          {readmodel.ModelFilter{Tags: map[string]string{"team": "nobody"}}, nil},
		"as of":            {readmodel.ModelFilter{AsOf: before}, []domain.ModelID{"a", "b", "c"}},
		"tag as of":        {readmodel.ModelFilter{AsOf: before, Tags: map[string]string{"team": "vision"}}, []domain.ModelID{"a", "b"}},
		"status as of":     {readmodel.ModelFilter{AsOf: before, Status: domain.StatusTrained}, nil},
		"changed tag":      {readmodel.ModelFilter{Tags: map[string]string{"tier": "2"}}, []domain.ModelID{"a", "b"}},
		"another's filter": {readmodel.ModelFilter{Status: "deployed"}, nil},
	} {
		for _, size := range []int{1, 2, 200} {
			require.Equal(t, check.want, w.ids(check.filter, size), "%s, pages of %d", name, size)
		}
	}
}

func TestCursorsSurviveInsertsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	for i := range 6 {
		w.create(domain.ModelID(fmt.Sprintf("m%02d", 2*i)), nil)
	}
	w.catchUp(1, 500)
	list := func(f readmodel.ModelFilter, p readmodel.Paging) (readmodel.Page[readmodel.Model], error) {
		return w.reader.ListModels(t.Context(), "acme", f, p)
	}
	first, err := list(readmodel.ModelFilter{}, readmodel.Paging{Limit: 3})
	require.NoError(t, err)
	require.True(t, first.HasMore)
	w.create("m01", nil) // before the cursor
	w.create("m05", nil) // behind it
	w.catchUp(1, 500)
	rest, err := list(readmodel.ModelFilter{}, readmodel.Paging{Limit: 4, Cursor: first.NextCursor})
	require.NoError(t, err)
	require.False(t, rest.HasMore, "exactly four are left")
	var left []domain.ModelID
	for _, m := range rest.Items {
		left = append(left, m.ModelID)
	}
	require.Equal(t, []domain.ModelID{"m05", "m06", "m08", "m10"}, left)

	for name, bad := range map[string]readmodel.Paging{
		"cut":       {Cursor: first.NextCursor[1:]},
		"edited":    {Cursor: strings.ToUpper(first.NextCursor)},
		"longer":    {Cursor: first.NextCursor + "AA"},
		"no cursor": {Cursor: "m04"},
		"limit":     {Limit: 201},
		"negative":  {Limit: -1},
	} {
		_, err := list(readmodel.ModelFilter{}, bad)
		require.ErrorIs(t, err, domain.ErrInvalidInput, name)
	}
	_, err = list(readmodel.ModelFilter{Status: domain.StatusCreated}, readmodel.Paging{Cursor: first.NextCursor})
	require.ErrorIs(t, err, domain.ErrInvalidInput, "another filter")
	_, err = w.reader.ListModels(t.Context(), "other", readmodel.ModelFilter{}, readmodel.Paging{Cursor: first.NextCursor})
	require.ErrorIs(t, err, domain.ErrInvalidInput, "another tenant")
}

func TestListsAreNewestFirst(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.create("other", nil)
	var jobs []domain.JobID
	for range 12 {
		jobs = append([]domain.JobID{w.train("digits", 0.5)}, jobs...)
	}
	w.train("other", 0.5)
	w.catchUp(1, 500)
	var versions []domain.Version
	for _, v := range all(t, 5, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Version], error) {
		return w.reader.ListVersions(ctx, "acme", "digits", 0, p)
	}) {
		versions = append(versions, v.Version)
	}
	require.Equal(t, []domain.Version{"12", "11", "10", "9", "8", "7", "6", "5", "4", "3", "2", "1"}, versions)
	trainings := func(f readmodel.TrainingFilter) (found []domain.JobID) {
		for _, training := range all(t, 5, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Training], error) {
			return w.reader.ListTrainings(ctx, "acme", f, p)
		}) {
			found = append(found, training.TrainingJobID)
		}
		return found
	}
	require.Equal(t, jobs, trainings(readmodel.TrainingFilter{ModelID: "digits"}))
	require.Len(t, trainings(readmodel.TrainingFilter{}), 13)
	require.Empty(t, trainings(readmodel.TrainingFilter{State: readmodel.TrainingRunning}))
}

func TestATenantSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	w.create("digits", map[string]string{"team": "vision"})
	job := w.train("digits", 0.9)
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 100}})
	w.do(domain.RequestApproval{ModelID: "digits", Subject: domain.Subject{RolloutID: rollout}, RequestedBy: w.by, ExpiresAt: w.now.Add(time.Hour)})
	w.catchUp(1, 500)
	for table, rows := range h.rows("evil", 1) {
		require.Empty(t, rows, table)
	}
	for _, table := range tables() {
		var seen int
		require.NoError(t, h.pool.QueryRow(t.Context(), `select count(*) from phantom.`+table).Scan(&seen))
		require.Zero(t, seen, "%s without a tenant", table)
	}
	ctx := t.Context()
	_, err := h.reader.GetModel(ctx, "evil", "digits", 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = h.reader.GetVersion(ctx, "evil", "digits", "1", 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = h.reader.GetTraining(ctx, "evil", job, 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = h.reader.GetRollout(ctx, "evil", rollout, 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
	approvals, err := h.reader.ApprovalsWaiting(ctx, "evil", readmodel.Paging{})
	require.NoError(t, err)
	require.Empty(t, approvals.Items)
	deployments, err := h.reader.ListDeployments(ctx, "evil", readmodel.DeploymentFilter{}, readmodel.Paging{})
	require.NoError(t, err)
	require.Empty(t, deployments.Items)
	events, err := h.reader.ListEvents(ctx, "evil", readmodel.EventFilter{}, 0)
	require.NoError(t, err)
	require.Empty(t, events.Items)
}

func TestEventsOfAModelAreThoseOfAllItsStreams(t *testing.T) {
	t.Parallel()
	w := newHouse(t).world("acme")
	w.create("digits", nil)
	w.create("digits-2", nil) // its streams begin alike
	w.train("digits", 0.9)
	w.train("digits-2", 0.9)
	rollout := domain.RolloutID(uuid.NewString())
	w.do(domain.StartRollout{ModelID: "digits", RolloutID: rollout, Version: "1", Target: "prod"})
	w.do(domain.ShiftTraffic{ModelID: "digits", RolloutID: rollout, Weights: domain.Traffic{"1": 100}})
	read := func(f readmodel.EventFilter, size int) (found []eventstore.Event) {
		for {
			page, err := w.reader.ListEvents(t.Context(), "acme", f, size)
			require.NoError(t, err)
			found = append(found, page.Items...)
			if !page.HasMore {
				return found
			}
			f.After = page.Position
			require.Equal(t, strconv.FormatInt(f.After, 10), page.NextCursor)
		}
	}
	names := func(events []eventstore.Event) (found []string) {
		for _, e := range events {
			found = append(found, e.EventType)
		}
		return found
	}
	want := []string{"ModelCreated", "TrainingStarted", "TrainingCompleted", "CandidateEvaluated", "ModelVersionCreated", "RolloutStarted", "TrafficShifted"}
	for _, size := range []int{1, 3, 200} {
		require.Equal(t, want, names(read(readmodel.EventFilter{ModelID: "digits"}, size)))
	}
	require.Len(t, read(readmodel.EventFilter{}, 4), int(w.head))
	require.Equal(t, []string{"ModelCreated", "ModelCreated"}, names(read(readmodel.EventFilter{Types: []string{"ModelCreated"}}, 1)))
	require.Equal(t, []string{"TrafficShifted"}, names(read(readmodel.EventFilter{ModelID: "digits", From: w.now}, 5)))
	require.Len(t, read(readmodel.EventFilter{To: w.now}, 5), int(w.head)-1)
	first := read(readmodel.EventFilter{ModelID: "digits"}, 5)[0]
	require.Equal(t, "digits", first.AggregateID)
	require.EqualValues(t, 1, first.AggregateVersion)
	require.True(t, json.Valid(first.EventData))
	require.Len(t, first.Digest, 32)
	_, err := w.reader.ListEvents(t.Context(), "acme", readmodel.EventFilter{}, 201)
	require.ErrorIs(t, err, domain.ErrInvalidInput)
}

// What a command has written is read when its position is waited for.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.world("acme")
	tail := eventstore.NewTail(h.store, eventstore.Lifecycle)
	r, err := projection.NewRunner(projection.Params{
		Pool: h.pool, Feed: h.store, Projections: readmodel.Projections(),
		Tails: map[eventstore.Log]*eventstore.Tail{eventstore.Lifecycle: tail},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- tail.Run(ctx) }()
	for i := range 10 {
		id := domain.ModelID(fmt.Sprintf("m%d", i))
		w.create(id, nil)
		waiting, stop := context.WithTimeout(t.Context(), limit)
		require.NoError(t, r.WaitFor(waiting, readmodel.CatalogueName, "acme", w.head))
		stop()
		require.GreaterOrEqual(t, w.getModel(id, 0).Position, w.head)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
}
