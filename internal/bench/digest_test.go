package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

// TestTheCopyOfAppendOneMakesNoLink: the copy appends one event and several, as append_one does, but for the link.
func TestTheCopyOfAppendOneMakesNoLink(t *testing.T) {
	t.Parallel()
	admin := pgtest.Pool(t, pgtest.New(t).AdminURL)
	w := &world{admin: admin}
	require.NoError(t, w.copyWithoutLinks(t.Context()))
	for i, function := range []string{"append_one", "append_bare"} {
		for n := range 2 {
			batch := eventstoretest.Batch(n + 1)
			ids, types, versions, data := []uuid.UUID{}, []string{}, []int32{}, []string{}
			for _, e := range batch {
				ids, types, versions, data = append(ids, e.ID), append(types, e.Type), append(versions, int32(e.Version)), append(data, string(e.Data))
			}
			var outcome string
			require.NoError(t, admin.QueryRow(t.Context(), `select outcome from lifecycle.`+function+`(0, $1, 'Thing', $2, 0, 0, $3, $4, $5, $6, $6,
				array_fill(now(), array[$7::integer]), array_fill(null::text, array[$7]), array_fill(null::text, array[$7]),
				array_fill(sha256('x'), array[$7]), null, null, null)`, function, uuid.NewString(), ids, types, versions, data, len(batch)).Scan(&outcome))
			require.Equal(t, "appended", outcome)
		}
		var events, links int
		require.NoError(t, admin.QueryRow(t.Context(), `select count(*), count(link) from lifecycle.events where tenant_id = $1`, function).Scan(&events, &links))
		require.Equal(t, 3, events)
		require.Equal(t, 2*(1-i), links, function)
	}
}
