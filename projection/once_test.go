package projection_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/projection"
)

// TestARequestThatIsRepeatedIsDoneOnce asks for each thing twice, one after the other and at the same time: a drop that is
// told twice would take the way back too, and a way back that is told twice lead forth again.
func TestARequestThatIsRepeatedIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.runner(&tally{})
	s.start(r)
	s.waitFor(r, "a", s.append("a", good(5)...))
	ask := func(id string, what projection.RebuildRequest) error {
		what.Once = projection.Once{Tenant: "ops", ID: id}
		return r.Regenerate(t.Context(), "tally", what)
	}
	together := func(id string, what projection.RebuildRequest) {
		t.Helper()
		errs := make([]error, 8)
		var asked sync.WaitGroup
		for i := range errs {
			asked.Go(func() { errs[i] = ask(id, what) })
		}
		asked.Wait()
		require.NoError(t, errors.Join(errs...))
	}
	live := func(generation int) {
		t.Helper()
		s.until(r, "it goes live", func(st projection.Status) bool { return st.Generation == generation })
	}

	together("first", projection.RebuildRequest{})
	live(2)
	require.NoError(t, ask("first", projection.RebuildRequest{}), "it has gone live, and another one would begin")
	require.Len(t, s.status(r).Generations, 2)

	require.NoError(t, ask("back", projection.RebuildRequest{Back: true}))
	require.NoError(t, ask("back", projection.RebuildRequest{Back: true}))
	live(1)
	together("forth", projection.RebuildRequest{Back: true})
	live(2)

	limit := 1_000_000
	require.ErrorIs(t, ask("forth", projection.RebuildRequest{Drop: true}), projection.ErrOtherRequest)
	require.NoError(t, r.Pause(t.Context(), "tally", "so that it is not finished"))
	require.NoError(t, ask("pace", projection.RebuildRequest{Throttle: &limit}))
	together("give up", projection.RebuildRequest{Drop: true})
	require.NoError(t, ask("pace", projection.RebuildRequest{Throttle: &limit}), "no other one begins")
	states := map[projection.BuildState]int{}
	for _, g := range s.status(r).Generations {
		states[g.State]++
	}
	require.Equal(t, 1, states[projection.Kept], "the way back is still there: %v", states)
	require.Zero(t, states[projection.Filling])

	require.ErrorIs(t, ask("early", projection.RebuildRequest{Throttle: new(-1)}), projection.ErrRefused)
	require.NoError(t, r.Regenerate(t.Context(), "tally", projection.RebuildRequest{}), "without a name")
	require.ErrorIs(t, ask("again", projection.RebuildRequest{}), projection.ErrRefused)
	require.NoError(t, r.Regenerate(t.Context(), "tally", projection.RebuildRequest{Drop: true}))
	require.NoError(t, ask("again", projection.RebuildRequest{}), "what was refused is decided anew")

	other := projection.RebuildRequest{Drop: true, Once: projection.Once{Tenant: "other", ID: "again"}}
	require.NoError(t, r.Regenerate(t.Context(), "tally", other), "another tenant's name is another name")
}
