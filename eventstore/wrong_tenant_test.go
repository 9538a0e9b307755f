package eventstore_test

import (
	"context"
	"iter"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// TestEveryQuerySeesItsTenantOnly calls every exported method under the name of a tenant that has nothing, with the names
// and ids of one that has something. A method without a case fails the test.
func TestEveryQuerySeesItsTenantOnly(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	const wrong, log = "globex", eventstore.Lifecycle
	stored := fill(t, store, "acme", 3)
	trailing := eventstoretest.Batch(1)
	trailing[0].CorrelationID = "trail"
	_, err := store.Append(t.Context(), "acme", log, []eventstore.Append{{Stream: stream("s"), Events: trailing}}, nil)
	require.NoError(t, err)
	past := time.Now()
	anchors, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, anchors.Close()) })
	events := func(found []eventstore.Event, err error) (int, error) { return len(found), err }

	// Each tells how many events and commands it saw.
	cases := map[string]func(ctx context.Context) (int, error){
		"Store.Load": func(ctx context.Context) (int, error) {
			return events(store.Load(ctx, wrong, log, stream("s"), eventstore.Range{}))
		},
		"Store.Fetch": func(ctx context.Context) (int, error) {
			found, command, err := store.Fetch(ctx, wrong, log, eventstore.Whole(stream("s")), "acme/lifecycle")
			if command != nil {
				return 1, err
			}
			return len(found[0].Events), err
		},
		"Store.ReadAt": func(ctx context.Context) (int, error) {
			found, err := store.ReadAt(ctx, wrong, log, []int64{1, 2})
			return len(found), err
		},
		"Store.LoadAt": func(ctx context.Context) (int, error) {
			found, position, err := store.LoadAt(ctx, wrong, log, stream("s"), eventstore.Range{}, past)
			return len(found) + int(position), err
		},
		"Store.PositionAt": func(ctx context.Context) (int, error) {
			position, err := store.PositionAt(ctx, wrong, log, past)
			return int(position), err
		},
		"Store.LoadOccurred": func(ctx context.Context) (int, error) {
			page, err := store.LoadOccurred(ctx, wrong, log, eventstore.Occurred{Types: []string{stored[0].Type}, Limit: 10})
			return len(page.Events), err
		},
		"Store.Trace": func(ctx context.Context) (int, error) {
			trail, err := store.Trace(ctx, wrong, "trail", eventstore.TrailPlace{})
			return len(trail.Lifecycle) + len(trail.Inference), err
		},
		"Store.Walk": func(ctx context.Context) (int, error) {
			return counted(store.Walk(ctx, wrong, log, stream("s"), eventstore.Range{}))
		},
		"Store.WalkLog": func(ctx context.Context) (int, error) {
			return counted(store.WalkLog(ctx, wrong, log, eventstore.Span{}))
		},
		"Store.SaveSnapshot": func(ctx context.Context) (int, error) { // it is seen by nobody else
			snapshot := eventstore.Snapshot{Stream: stream("s"), Fingerprint: "wrong", Revision: 3, Position: 3, State: []byte(`{}`)}
			if err := store.SaveSnapshot(ctx, wrong, log, snapshot, eventstore.Keep{Newest: 1, Every: 1}); err != nil {
				return 0, err
			}
			found, _, err := store.Fetch(ctx, "acme", log, []eventstore.Want{{Stream: stream("s"), Fingerprint: "wrong"}}, "")
			if err == nil && found[0].Snapshot != nil {
				return 1, nil
			}
			return 0, err
		},
		"Store.PruneCommands": func(ctx context.Context) (int, error) { // of all tenants, by design, and only what is old
			pruned, err := store.PruneCommands(ctx, 24*time.Hour, 0)
			return int(pruned.Removed), err
		},
		"Store.Head": func(ctx context.Context) (int, error) {
			head, err := store.Head(ctx, wrong, log)
			return int(head), err
		},
		"Store.ReadLog": func(ctx context.Context) (int, error) {
			return events(store.ReadLog(ctx, wrong, log, 0, nil, 10))
		},
		"Store.ReadAfter": func(ctx context.Context) (int, error) {
			pages, err := store.ReadAfter(ctx, log, []eventstore.Cursor{{Tenant: wrong}}, nil, 10)
			return len(pages), err
		},
		"Store.Heads": func(ctx context.Context) (int, error) { // names and positions of all tenants, by design
			heads, err := store.Heads(ctx, log)
			return int(heads[wrong]), err
		},
		"Store.Append": func(ctx context.Context) (int, error) { // a tenant of its own: it has events afterwards
			command := &eventstore.CommandRecord{ID: "acme/lifecycle", RequestHash: []byte("hash")}
			done, err := store.Append(ctx, "initech", log,
				[]eventstore.Append{{Stream: stream("s"), Expect: eventstore.NoStream(), Events: stored}}, command)
			if err != nil {
				return 0, err
			}
			require.False(t, done[0].Repeated)
			return int(done[0].Position) - len(stored), nil
		},
		"Auditor.Verify": func(ctx context.Context) (int, error) {
			report, err := eventstore.NewAuditor(store, anchors).Verify(ctx, wrong, log)
			return int(report.Events), err
		},
		"Auditor.Tenants": func(ctx context.Context) (int, error) { // the names of all tenants, by design
			tenants, err := eventstore.NewAuditor(store, anchors).Tenants(ctx, log)
			if slices.Contains(tenants, wrong) {
				return 1, err
			}
			return 0, err
		},
	}
	var exported []string
	for name, of := range map[string]reflect.Type{
		"Store": reflect.TypeFor[*eventstore.Store](), "Auditor": reflect.TypeFor[*eventstore.Auditor](),
	} {
		for method := range of.Methods() {
			exported = append(exported, name+"."+method.Name)
		}
	}
	require.ElementsMatch(t, exported, slices.Collect(maps.Keys(cases)), "a new method needs a case here, and one that is gone none")
	for name, sees := range cases {
		seen, err := sees(t.Context())
		require.NoError(t, err, name)
		require.Zero(t, seen, name)
	}
}

// counted is how many events a walk meets.
func counted(walk iter.Seq2[eventstore.Event, error]) (n int, err error) {
	for _, err = range walk {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
