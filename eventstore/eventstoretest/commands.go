package eventstoretest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

func record(id, hash string) *eventstore.CommandRecord {
	return &eventstore.CommandRecord{ID: id, RequestHash: []byte(hash), Result: []byte(`{"by":"` + hash + `"}`)}
}

// handle appends with a command to the lifecycle log.
func (b bench) handle(t *testing.T, cmd *eventstore.CommandRecord, appends ...eventstore.Append) ([]eventstore.Appended, error) {
	t.Helper()
	return b.Append(t.Context(), b.tenant, eventstore.Lifecycle, appends, cmd)
}

func (b bench) known(t *testing.T, id string) *eventstore.CommandRecord {
	t.Helper()
	_, known, err := b.Fetch(t.Context(), b.tenant, eventstore.Lifecycle, nil, id)
	require.NoError(t, err)
	return known
}

func commands(t *testing.T, b bench) {
	t.Helper()
	_, err := b.handle(t, record("c", "hash"), to("s", eventstore.NoStream(), Batch(1)...))
	require.NoError(t, err)
	require.Equal(t, record("c", "hash"), b.known(t, "c"))

	for _, appends := range [][]eventstore.Append{
		{to("s", eventstore.Exact(1), Batch(1)...)},
		{to("s", eventstore.Exact(9), Batch(1)...)}, // told before the conflict
		{to("s", eventstore.Any())},
		{to("s", eventstore.Any(), Batch(1)...), to("r", eventstore.Any(), Batch(1)...)},
		{},
	} {
		_, err = b.handle(t, record("c", "hash"), appends...)
		require.ErrorIs(t, err, eventstore.ErrDuplicateCommand)
	}
	_, err = b.Append(t.Context(), b.tenant, eventstore.Inference, []eventstore.Append{to("s", eventstore.Any(), Batch(1)...)}, record("c", "hash"))
	require.ErrorIs(t, err, eventstore.ErrDuplicateCommand, "both logs know a command")
	require.EqualValues(t, 1, b.head(t))

	_, err = b.handle(t, record("d", "hash"), to("s", eventstore.Exact(9), Batch(1)...))
	require.ErrorIs(t, err, eventstore.ErrWrongVersion)
	require.Nil(t, b.known(t, "d"), "a refused command is not known")
	_, err = b.handle(t, record("d", "hash"), to("s", eventstore.Exact(1), Batch(1)...))
	require.NoError(t, err)

	b.tenant += "-other"
	require.Nil(t, b.known(t, "c"))
	_, err = b.handle(t, record("c", "other"), to("s", eventstore.NoStream(), Batch(1)...))
	require.NoError(t, err)
}

func commandsAndRepetition(t *testing.T, b bench) {
	t.Helper()
	batch := Batch(2)
	first, err := b.handle(t, record("c", "hash"), to("s", eventstore.NoStream(), batch...))
	require.NoError(t, err)
	again, err := b.handle(t, record("c", "hash"), to("s", eventstore.NoStream(), batch...))
	require.NoError(t, err)
	first[0].Repeated = true
	require.Equal(t, first, again)
	again, err = b.handle(t, record("c", "hash"), to("s", eventstore.Exact(2), batch...))
	require.NoError(t, err, "also for who has loaded its own events")
	require.Equal(t, first, again)
	_, err = b.handle(t, record("c", "other"), to("s", eventstore.Exact(2), batch...))
	require.ErrorIs(t, err, eventstore.ErrDuplicateCommand)
	_, err = b.handle(t, record("c", "other"), to("s", eventstore.NoStream(), batch...))
	require.ErrorIs(t, err, eventstore.ErrDuplicateCommand, "the same id for another request")

	again, err = b.handle(t, record("late", "hash"), to("s", eventstore.NoStream(), batch...))
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, record("late", "hash"), b.known(t, "late"), "a repetition is remembered under its own id")

	_, err = b.handle(t, record("c", "hash"), to("r", eventstore.Any(), batch...))
	require.ErrorIs(t, err, eventstore.ErrDuplicateCommand)
	_, err = b.handle(t, record("new", "hash"), to("r", eventstore.Any(), batch...))
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
	require.Nil(t, b.known(t, "new"))
}

func commandsWithoutEvents(t *testing.T, b bench) {
	t.Helper()
	done, err := b.handle(t, record("nothing", "hash"))
	require.NoError(t, err)
	require.Empty(t, done)
	require.Equal(t, record("nothing", "hash"), b.known(t, "nothing"))
	_, err = b.handle(t, record("nothing", "hash"))
	require.ErrorIs(t, err, eventstore.ErrDuplicateCommand)

	_, err = b.handle(t, record("guard", "hash"), to("s", eventstore.Exists()))
	require.ErrorIs(t, err, eventstore.ErrWrongVersion)
	_, err = b.handle(t, record("guard", "hash"), to("s", eventstore.NoStream()))
	require.NoError(t, err)
	require.NotNil(t, b.known(t, "guard"))
	require.Zero(t, b.head(t))

	_, err = b.handle(t, &eventstore.CommandRecord{ID: "bare", RequestHash: []byte("hash")})
	require.NoError(t, err)
	require.JSONEq(t, `null`, string(b.known(t, "bare").Result))
	_, err = b.handle(t, &eventstore.CommandRecord{ID: "bare"})
	require.ErrorIs(t, err, eventstore.ErrMalformed)
}
