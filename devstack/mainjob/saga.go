package mainjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"phantom/api/client"
)

// poll is how often a saga is looked at.
const poll = 200 * time.Millisecond

// saga is what the job reads of GET /api/v1/sagas/{saga_id}.
type saga struct {
	SagaID string          `json:"saga_id"`
	State  string          `json:"state"` // running, completed, failed, canceled, terminated
	Error  string          `json:"error"`
	Result json.RawMessage `json:"result"`
	Status struct {
		Stage      string `json:"stage"`
		WaitingFor string `json:"waiting_for"`
		LastError  string `json:"last_error"`
	} `json:"status"`
	Progress progress `json:"progress"`
}

type progress struct {
	Percentage float64            `json:"percentage"`
	Epoch      int                `json:"epoch"`
	Epochs     int                `json:"epochs"`
	Metrics    map[string]float64 `json:"metrics"`
	Message    string             `json:"message"`
}

// start posts a saga's input; the key makes a repeated post attach to the same saga.
func (j *job) start(ctx context.Context, path, key string, input any) (string, error) {
	var accepted struct {
		SagaID string `json:"saga_id"`
	}
	err := j.API.Do(ctx, client.Request{
		Method: http.MethodPost, Path: path, Body: input,
		Header: http.Header{"Idempotency-Key": {key}},
	}, &accepted)
	return accepted.SagaID, err
}

// follow looks at a saga until it ends, and calls see at each look. While the worker is away it waits.
func (j *job) follow(ctx context.Context, id string, see func(saga) error) (saga, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var s saga
		err := j.API.Do(ctx, client.Request{Path: "/api/v1/sagas/" + id}, &s)
		switch {
		case errors.Is(err, client.ErrUnreachable):
		case err != nil:
			return s, err
		case s.State == "completed":
			return s, nil
		case s.State != "running":
			return s, &endedError{id: id, state: s.State, reason: s.Error}
		case s.Status.WaitingFor == "retry_step", s.Status.WaitingFor == "decision":
			return s, fmt.Errorf("the saga %s waits for %s in %s: %s", id, s.Status.WaitingFor, s.Status.Stage, s.Status.LastError)
		default:
			if err := see(s); err != nil {
				return s, err
			}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

// clear cancels what an interrupted run of this job left running, and waits until it is undone.
func (j *job) clear(ctx context.Context) error {
	for _, id := range []string{model, undisturbed} {
		var page struct {
			Items []saga `json:"items"`
		}
		running := url.Values{"model_id": {id}, "state": {"running"}}
		if err := j.API.Do(ctx, client.Request{Path: "/api/v1/sagas", Query: running}, &page); err != nil {
			return err
		}
		for _, left := range page.Items {
			if err := j.cancel(ctx, left.SagaID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *job) cancel(ctx context.Context, id string) error {
	j.panel.line("cancelling %s, which an interrupted run left", id)
	err := j.API.Do(ctx, client.Request{Method: http.MethodPost, Path: "/api/v1/sagas/" + id + "/cancel", Body: map[string]any{}}, nil)
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Code == "invalid_state" { // it has ended by itself
		return nil
	}
	if err != nil {
		return err
	}
	_, err = j.follow(ctx, id, func(saga) error { return nil })
	if _, ended := errors.AsType[*endedError](err); ended {
		return nil
	}
	return err
}

// endedError says that a saga ended without a result.
type endedError struct{ id, state, reason string }

func (e *endedError) Error() string {
	return fmt.Sprintf("the saga %s ended as %s: %s", e.id, e.state, e.reason)
}
