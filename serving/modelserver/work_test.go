package modelserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/serving/modelserver"
	"phantom/serving/servingtest"
)

func TestAModelWhoseInferencesHangIsNotReady(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	server, err := modelserver.New(repository, modelserver.Params{})
	require.NoError(t, err)
	require.NoError(t, server.Recover(t.Context()))
	h := &house{repository, servingtest.Serve(t, server), servingtest.Client(t)}
	files := servingtest.Bundle(t, "mlp")
	require.Equal(t, http.StatusOK, h.load(t, "m", files).Status)
	require.Equal(t, http.StatusOK, h.load(t, "other", files).Status)
	body := servingtest.Request(t, "", servingtest.Golden(t, files).Inputs)
	release := server.Hang("m")
	require.Contains(t, refusal(t, h.get(t, "/v2/models/m/ready")), "hangs")
	require.Equal(t, http.StatusServiceUnavailable, h.post(t, "/v2/models/m/infer", body).Status)
	servingtest.Response(t, h.post(t, "/v2/models/other/infer", body))
	release()
	servingtest.Response(t, h.post(t, "/v2/models/m/infer", body))
}

func TestTheEngineIsWatched(t *testing.T) {
	t.Parallel()
	server, err := modelserver.New(t.TempDir(), modelserver.Params{})
	require.NoError(t, err)
	nothing := func() {}
	require.ErrorContains(t, server.Run(t.Context(), func() error { panic("shape mismatch") }, nothing), "shape mismatch")
	broken := errors.New("broken")
	require.ErrorIs(t, server.Run(t.Context(), func() error { panic(broken) }, nothing), broken)

	release, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	overdue := server.Run(ctx, func() error { <-release; return nil }, func() { close(ended) })
	require.ErrorIs(t, overdue, modelserver.ErrOverdue)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorContains(t, server.Close(short), "still run")
	last := false
	require.ErrorIs(t, server.Run(t.Context(), func() error { return nil }, func() { last = true }), modelserver.ErrStopped)
	require.True(t, last) // what the call held is given back even when it never ran
	close(release)
	require.NoError(t, server.Close(t.Context()))
	<-ended
}
