package eventstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/internal/pgtest"
)

// step is what a plan tells of one of its steps, under the names that PostgreSQL gives.
//
//nolint:tagliatelle // They are not ours.
type step struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []step  `json:"Plans"`
}

// read is how many events were looked at, and by which indexes.
func (s step) read(indexes map[string]bool) (events float64) {
	if strings.HasPrefix(s.Table, "events") {
		events = (s.Rows + s.Removed) * s.Loops
	}
	if s.Loops > 0 && (s.Index != "" || s.Type == "Seq Scan") {
		indexes[s.Index] = true // a bitmap's index stands in a step of its own
	}
	for _, part := range s.Plans {
		events += part.read(indexes)
	}
	return events
}

// TestListsReadWhatTheyAnswer: of a log of many events a page reads its own, by the index that is there for it.
func TestListsReadWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	store, sent := single(t, db)
	fill(t, store, "acme", 1)
	cram(t, db, "acme", 2, 20_000)
	noon := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		ask   func() error
		most  float64
		index string
	}{
		"occurred": {func() error {
			_, err := store.LoadOccurred(t.Context(), "acme", eventstore.Lifecycle, eventstore.Occurred{Types: []string{"Type7", "Type9"}, From: noon, Limit: 10})
			return err
		}, 30, "events_type_idx"},
		"occurred, backward": {func() error {
			_, err := store.LoadOccurred(t.Context(), "acme", eventstore.Lifecycle, eventstore.Occurred{
				Types: []string{"Type7", "Type9"}, Limit: 10, Backward: true, Behind: &eventstore.Place{OccurredAt: noon, Position: 5},
			})
			return err
		}, 30, "events_type_idx"},
		"trace of few events where others have many": {func() error {
			_, err := store.Trace(t.Context(), "acme", "saga", eventstore.TrailPlace{Lifecycle: 9})
			return err
		}, 50, "events_correlation_idx"},
		"fetch from a snapshot": {func() error {
			_, _, err := store.Fetch(t.Context(), "acme", eventstore.Lifecycle, []eventstore.Want{
				{Stream: stream("crammed"), Fingerprint: "x"},
			}, "")
			return err
		}, 20, "events_pk"},
	}
	require.NoError(t, store.SaveSnapshot(t.Context(), "acme", eventstore.Lifecycle, eventstore.Snapshot{
		Stream: stream("crammed"), Fingerprint: "x", Revision: 19_995, Position: 19_995, State: []byte(`{}`),
	}, eventstore.Keep{Newest: 1, Every: 1}))
	pool := db.Pool(t)
	for name, c := range cases {
		err := c.ask()
		require.True(t, err == nil || errors.Is(err, eventstore.ErrCorrupt), "%s: %v", name, err) // what is crammed has no digest
		looked := 0
		for _, question := range *sent.questions.Load() {
			if !strings.Contains(question.SQL, "lifecycle.events") {
				continue
			}
			plan := generic(t, pool, question)
			var steps []struct{ Plan step }
			require.NoError(t, json.Unmarshal(plan, &steps))
			indexes := map[string]bool{}
			require.LessOrEqual(t, steps[0].Plan.read(indexes), c.most, "%s\n%s", name, plan)
			require.Contains(t, strings.Join(slices.Collect(maps.Keys(indexes)), " "), c.index, name)
			require.NotContains(t, indexes, "", "%s: read without an index", name)
			looked++
		}
		require.Equal(t, 1, looked, name)
	}
}

// generic is the plan that the store runs by: made for every value, under the store's settings, and then run.
func generic(t *testing.T, pool *pgxpool.Pool, question pgx.TraceBatchQueryData) (plan []byte) {
	t.Helper()
	values := make([]string, len(question.Args))
	for i, value := range question.Args {
		switch v := value.(type) {
		case []string:
			values[i] = "'{" + strings.Join(v, ",") + "}'"
		case time.Time:
			values[i] = "'" + v.Format(time.RFC3339Nano) + "'"
		default:
			values[i] = fmt.Sprintf("'%v'", v)
		}
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `select set_config('phantom.tenant', 'acme', true), set_config('plan_cache_mode', 'force_generic_plan', true),
			set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "prepare looked as "+question.SQL)
		require.NoError(t, err)
		err = tx.QueryRow(t.Context(), "explain (analyze, format json) execute looked ("+strings.Join(values, ", ")+")").Scan(&plan)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "deallocate looked")
		return err
	}))
	return plan
}
