package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

const championPath = "/api/v1/models/digits/aliases/champion"

// versioned is a house with a model of three versions.
func versioned(t *testing.T, changes ...change) *house {
	t.Helper()
	h := newHouse(t, changes...)
	h.createDigits()
	for _, name := range []string{"a", "b", "c"} {
		h.settled(h.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: domain.Digest(h.keep(name))}))
	}
	return h
}

func TestAnAliasMovesAndCanBeAskedAsItWas(t *testing.T) {
	t.Parallel()
	h := versioned(t)
	first := h.do(put(championPath, object{"version": "1", "reason": "the first"}))
	made := first.as(http.StatusOK)
	require.Equal(t, "1", made["version"])
	require.Nil(t, made["previous_version"])
	require.Equal(t, "ann", made["assigned_by"].(object)["subject"])
	require.Equal(t, `"5"`, first.header.Get("ETag"))
	require.Equal(t, made, h.get(championPath).as(http.StatusOK), "what was written can be read at once")

	again := h.do(put(championPath, object{"version": "1", "reason": "again"}))
	require.Equal(t, made, again.as(http.StatusOK), "what changes nothing is no event")
	require.Equal(t, `"5"`, again.header.Get("ETag"))
	require.Equal(t, first.position(), again.position())

	h.do(put("/api/v1/models/digits/aliases/challenger", object{"version": "latest"})).as(http.StatusOK)
	moved := h.do(put(championPath, object{"version": "@challenger", "expected": "1"}))
	require.Equal(t, "3", moved.as(http.StatusOK)["version"])
	require.Equal(t, "1", moved.as(http.StatusOK)["previous_version"])

	past := fmt.Sprintf("?as_of=%d", first.position())
	require.Equal(t, "1", h.get(championPath + past).as(http.StatusOK)["version"])
	require.Equal(t, "1", h.get("/api/v1/models/digits/versions/@champion" + past).as(http.StatusOK)["version"])
	require.Equal(t, []any{"champion"}, h.get("/api/v1/models/digits/versions/1" + past).as(http.StatusOK)["aliases"])
	require.Len(t, h.get("/api/v1/models/digits/aliases"+past).items(), 1)

	now := h.get("/api/v1/models/digits/versions/@champion").as(http.StatusOK)
	require.Equal(t, "3", now["version"])
	require.Equal(t, []any{"challenger", "champion"}, now["aliases"])
	require.Equal(t, now, h.get("/api/v1/models/digits/versions/latest").as(http.StatusOK))
	require.Equal(t, []any{}, h.get("/api/v1/models/digits/versions/1").as(http.StatusOK)["aliases"])
	require.Len(t, h.get("/api/v1/models/digits/aliases").items(), 2)

	removed := h.do(request{method: http.MethodDelete, path: championPath + "?expected=3&reason=done"})
	require.Equal(t, http.StatusNoContent, removed.status)
	require.Empty(t, removed.body)
	require.Equal(t, `"8"`, removed.header.Get("ETag"))
	h.get(championPath).problem(http.StatusNotFound, "not_found")
	h.get("/api/v1/models/digits/versions/@champion").problem(http.StatusNotFound, "not_found")
	require.Equal(t, "1", h.get(championPath + past).as(http.StatusOK)["version"], "the past stays")
	require.EqualValues(t, 8, h.get("/api/v1/models/digits").as(http.StatusOK)["revision"], "the catalogue counts aliases' events")
}

// Of many who move an alias from what they all saw, one gets through.
func TestAnAliasIsMovedByOneOfManyWhoExpectTheSame(t *testing.T) {
	t.Parallel()
	h := versioned(t)
	h.do(put(championPath, object{"version": "1"})).as(http.StatusOK)
	var group sync.WaitGroup
	statuses := make([]int, 16)
	for i := range statuses {
		group.Go(func() {
			statuses[i] = h.do(put(championPath, object{"version": strconv.Itoa(2 + i%2), "expected": "1"})).status
		})
	}
	group.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 15}, count)
}

func TestAnAliasIsWrittenOnce(t *testing.T) {
	t.Parallel()
	h := versioned(t)
	assign := with("Idempotency-Key", "k1", put(championPath, object{"version": "1", "expected": ""}))
	first := h.do(assign)
	h.do(put(championPath, object{"version": "2"})).as(http.StatusOK)
	require.Equal(t, first.as(http.StatusOK), h.do(assign).as(http.StatusOK), "the first result, though it is stale by now")
	assign.body = object{"version": "3"}
	h.do(assign).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")

	h.do(with("If-Match", `"5"`, put(championPath, object{"version": "3"}))).problem(http.StatusPreconditionFailed, "precondition_failed")
	h.do(with("If-Match", `"6"`, put(championPath, object{"version": "3"}))).as(http.StatusOK)

	remove := with("Idempotency-Key", "k2", request{method: http.MethodDelete, path: championPath})
	require.Equal(t, http.StatusNoContent, h.do(remove).status)
	require.Equal(t, http.StatusNoContent, h.do(remove).status)
	h.do(request{method: http.MethodDelete, path: championPath}).problem(http.StatusNotFound, "not_found")
}

func TestADeploymentGoesByAnAlias(t *testing.T) {
	t.Parallel()
	h := versioned(t, withTemporal)
	h.do(put(championPath, object{"version": "2"})).as(http.StatusOK)
	const deployments = "/api/v1/models/digits/deployments"
	h.post(deployments, object{"version": "@nobody", "target": "local"}).problem(http.StatusNotFound, "not_found")
	id := text(h.start(http.MethodPost, deployments, "", object{"version": "@champion", "target": "local"}).as(http.StatusAccepted)["saga_id"])
	h.do(put(championPath, object{"version": "3"})).as(http.StatusOK)
	require.Contains(t, h.get("/api/v1/sagas/" + id).as(http.StatusOK)["summary"], "version 2", "what it named when it was asked for")
}

func TestAModelIsArchivedAndDeleted(t *testing.T) {
	t.Parallel()
	h := versioned(t)
	h.post("/api/v1/models/digits/delete", object{"reason": "old"}).problem(http.StatusConflict, "invalid_state")
	require.Equal(t, "archived", h.post("/api/v1/models/digits/archive", object{"reason": "old"}).as(http.StatusOK)["status"])
	h.post("/api/v1/models/digits/archive", object{"reason": "old"}).problem(http.StatusConflict, "invalid_state")
	h.do(put(championPath, object{"version": "1"})).problem(http.StatusConflict, "invalid_state")
	require.Equal(t, "deleted", h.post("/api/v1/models/digits/delete", object{"reason": "old", "retention": "retain"}).as(http.StatusOK)["status"])
	h.post("/api/v1/models", digits()).problem(http.StatusConflict, "already_exists")
	require.Len(t, h.get("/api/v1/models?status=deleted").items(), 1)
}
