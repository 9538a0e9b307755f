package eventstore_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/eventstore"
	"phantom/internal/pgtest"
)

// TestEveryQuerySeesItsTenantOnly calls every exported method under the name of a tenant that has nothing, with the names
// and ids of one that has something. A method without a case fails the test.
func TestEveryQuerySeesItsTenantOnly(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	const wrong, log = "globex", eventstore.Lifecycle
	stored := fill(t, store, "acme", 3)
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
			found, command, err := store.Fetch(ctx, wrong, log, []eventstore.Stream{stream("s")}, "acme/lifecycle")
			if command != nil {
				return 1, err
			}
			return len(found[0]), err
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
