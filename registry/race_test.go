package registry_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// Creations that race on one model: it is created once. Those of one id all hear of the first, of others that it exists.
func TestCreationsThatRace(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := at(open(t))
			const each = 8
			type answer struct {
				id     string
				result domain.Result
				err    error
			}
			answers := make([]answer, 3*each)
			ids := []string{"one", "two", ""}
			var asked sync.WaitGroup
			for i := range answers {
				answers[i].id = ids[i%len(ids)]
				asked.Go(func() {
					answers[i].result, answers[i].err = d.Handle(t.Context(), d.tenant, create(), domain.Meta{CommandID: answers[i].id})
				})
			}
			asked.Wait()
			made := map[string]int{}
			for _, a := range answers {
				if a.err == nil {
					require.EqualValues(t, 1, a.result.Revision)
					require.Len(t, a.result.Events, 1)
					made[a.id]++
				} else {
					require.ErrorIs(t, a.err, domain.ErrAlreadyExists)
				}
			}
			require.Len(t, made, 1, "one of them was the first")
			for id, n := range made {
				require.Equal(t, map[bool]int{true: 1, false: each}[id == ""], n)
			}
			require.Len(t, d.history(t, domain.ModelStream("digits")), 1)
		})
	}
}
