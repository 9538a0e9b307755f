package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"phantom/api"
)

// The log names who asked for what, and repeats nothing that came in a header, a query or a body.
func TestTheAccessLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.DebugLevel)
	h := newHouse(t, func(_ *house, p *api.Params) { p.Log = zap.New(core) })
	const secret = "s3cret"
	model := digits()
	model["description"] = secret
	h.do(request{
		method: http.MethodPost, path: "/api/v1/models", body: model,
		header: map[string]string{"Authorization": "Bearer phk_" + secret, "Cookie": secret, "Idempotency-Key": secret, "X-Request-Id": "mine"},
	}).as(http.StatusCreated)
	h.get("/api/v1/models?tag=a%3D" + secret).as(http.StatusOK)
	h.get("/api/v1/models?cursor="+secret).problem(http.StatusUnprocessableEntity, "invalid_input")

	entries := logged.FilterMessage("request").All()
	require.Len(t, entries, 3)
	first := entries[0].ContextMap()
	require.Equal(t, "mine", first["request_id"])
	require.Equal(t, "/api/v1/models", first["path"])
	require.EqualValues(t, http.StatusCreated, first["status"])
	require.Equal(t, string(h.tenant), first["tenant"])
	require.Equal(t, "ann", first["actor"])
	for _, entry := range logged.All() {
		require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), secret)
	}
}

// A request's id comes back, unless it could do harm in a log.
func TestRequestsAreNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for id, kept := range map[string]bool{"a.b:c/1+2=": true, "": false, "two words": false, `"quoted"`: false} {
		got := h.do(request{path: "/api/v1/models", header: map[string]string{"X-Request-Id": id}}).header.Get("X-Request-Id")
		require.Equal(t, kept, got == id, id)
		require.NotEmpty(t, got)
	}
}
