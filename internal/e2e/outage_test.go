package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With PostgreSQL and Temporal away a worker still serves: the gateway from its last routes on disk, the
// model server from what it had loaded.
func TestServingStartsWithEverythingElseAway(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.createModel()
	p.champion()
	p.kill()
	nowhere := freeAddress(t)
	p.env = slices.DeleteFunc(p.env, func(entry string) bool {
		return strings.HasPrefix(entry, "DATABASE_URL=") || strings.HasPrefix(entry, "TEMPORAL_ADDRESS=")
	})
	p.env = append(p.env, "PHANTOM_ROLES=gateway,modelserver", "TEMPORAL_ADDRESS="+nowhere,
		"DATABASE_URL=postgres://phantom@"+nowhere+"/phantom?sslmode=disable")
	p.run()

	rows, labels := heldOut(t)
	right := 0
	for i, row := range rows[:50] {
		body, err := json.Marshal(map[string]any{"id": "mine", "inputs": []any{map[string]any{
			"name": "x", "shape": []int{1, len(row)}, "datatype": "FP32", "data": row,
		}}})
		require.NoError(t, err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.gateway+"/v2/models/"+model+"/infer", bytes.NewReader(body))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		var answer struct {
			ID           string `json:"id"`
			ModelVersion string `json:"model_version"`
			Outputs      []struct {
				Name string            `json:"name"`
				Data []json.RawMessage `json:"data"`
			} `json:"outputs"`
		}
		require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, "mine", answer.ID)
		require.Equal(t, "1", answer.ModelVersion)
		for _, output := range answer.Outputs {
			if output.Name == "label" && strings.Trim(string(output.Data[0]), `"`) == labels[i] {
				right++
			}
		}
	}
	require.Greater(t, right, 35, "the model that answers is the one that was trained")
}
