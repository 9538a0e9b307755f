package api_test

import (
	"bufio"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/api"
	"phantom/domain"
)

// follow reads a training's log while it grows.
func (h *house) follow(job string) *bufio.Scanner {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+trainingsPath+"/"+job+"/logs?follow=true", http.NoBody)
	require.NoError(h.t, err)
	req.Header.Set(api.HeaderTenant, string(h.tenant))
	response, err := h.http.Do(req)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = response.Body.Close() })
	require.Equal(h.t, http.StatusOK, response.StatusCode)
	return bufio.NewScanner(response.Body)
}

func (h *house) startJob() {
	h.t.Helper()
	h.handle(domain.CreateModel{ModelID: "digits", Name: "Digits", ModelType: "classification", Algorithm: "mlp"})
	h.settled(h.handle(domain.StartTraining{
		ModelID: "digits", TrainingJobID: job, DatasetInfo: []domain.DatasetInfo{{URI: "x", Label: "y"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	}))
}

// Lines come while the job runs, the lines of other jobs do not, and the log ends with the job.
func TestLogIsFollowed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.startJob()
	lines := h.follow(job)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "started")

	const other = "22222222-2222-4222-8222-222222222222"
	h.handle(domain.StartTraining{
		ModelID: "digits", TrainingJobID: other, Concurrent: true, DatasetInfo: []domain.DatasetInfo{{URI: "x", Label: "y"}},
		TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"},
	})
	h.handle(domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: other, Epoch: 9, ProgressPercentage: 9})
	h.handle(domain.RecordTrainingProgress{ModelID: "digits", TrainingJobID: job, Epoch: 1, ProgressPercentage: 5, Metrics: map[string]float64{"loss": 0.5}})
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "epoch 1 loss=0.5")

	h.handle(domain.FailTraining{ModelID: "digits", TrainingJobID: job, FailureReason: domain.FailureCancelled, ErrorDetails: "by\nhand"})
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "cancelled: by hand")
	require.False(t, lines.Scan(), lines.Text())
	require.NoError(t, lines.Err())
}

// Who follows does not keep a process from ending.
func TestFollowingEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	h := newHouse(t, func(_ *house, p *api.Params) { p.Stopping = stopping })
	h.startJob()
	lines := h.follow(job)
	require.True(t, lines.Scan())
	close(stopping)
	require.False(t, lines.Scan())
}
