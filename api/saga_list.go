package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"phantom/domain"
	"phantom/readmodel"
)

const (
	// listAsking bounds how many sagas are asked for their status at once.
	listAsking = 8
	// mostRunning bounds how many running sagas a list looks at.
	mostRunning = 2_000
	runningPage = 500
)

// sagaAnswer says whether Temporal had a part in it.
type sagaAnswer[T any] struct {
	Live     bool  `header:"Phantom-Live" doc:"false while Temporal does not answer: what is told is what the events tell, and no status"`
	Position int64 `header:"Phantom-Position" doc:"The position of the log that the answer has at least seen"`
	Body     T
}

// temporalIsAway tells an error of a Temporal that does not answer.
func temporalIsAway(err error) bool {
	refusal, ok := errors.AsType[*Problem](err)
	return ok && refusal.Status == http.StatusServiceUnavailable
}

// sagaOfEvents answers for a saga that Temporal does not know any more, or does not tell of now.
func (s *server) sagaOfEvents(ctx context.Context, id string, refusal error) (*sagaAnswer[Saga], error) {
	if !temporalIsAway(refusal) && !errors.Is(refusal, domain.ErrNotFound) {
		return nil, refusal
	}
	found, err := s.Reader.GetSaga(ctx, callerOf(ctx).Tenant, id)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, refusal
	}
	if err != nil {
		return nil, err
	}
	saga := ofEvents(found)
	if found.EndedAt == nil && !temporalIsAway(refusal) {
		saga.State = stateTerminated // Temporal forgets only what has ended, and whatever ends by itself says so
	}
	return &sagaAnswer[Saga]{Live: !temporalIsAway(refusal), Position: found.Position, Body: saga}, nil
}

// ofEvents is a saga as its events tell of it.
func ofEvents(found readmodel.Saga) Saga {
	saga := Saga{
		SagaID: found.SagaID, WorkflowID: found.SagaID, RunID: found.RunID, Kind: found.Kind, ModelID: string(found.ModelID),
		State: sagaState(found.State), StartedAt: found.StartedAt, EndedAt: found.EndedAt, Result: json.RawMessage("null"),
		Summary: strings.TrimSpace(found.Kind + " " + string(found.ModelID) + " " + string(found.Target)),
	}
	if found.State == readmodel.SagaCompleted {
		result := map[string]any{"outcome": found.Outcome}
		if found.Version != nil {
			result["version"] = *found.Version
		}
		saga.Result, _ = json.Marshal(result) // texts always encode
	}
	return saga
}

func (s *server) listSagas(ctx context.Context, in *sagaList) (*sagaAnswer[page[Saga]], error) {
	if in.WaitingFor != "" && in.State != "" && in.State != string(stateRunning) {
		return nil, param("state", "must be running, or left out, beside waiting_for")
	}
	if err := s.fresh(ctx, in.Freshness, readmodel.SagasName); err != nil {
		return nil, err
	}
	running, err := s.running(ctx, in)
	known := err == nil
	if err != nil && (!temporalIsAway(err) || in.WaitingFor != "") {
		return nil, err
	}
	filter := readmodel.SagaFilter{Kind: in.Kind, ModelID: domain.ModelID(in.ModelID), State: in.State}
	if in.WaitingFor != "" {
		filter.State = string(stateRunning)
	}
	if known {
		filter.Live = make([]readmodel.Saga, 0, len(running))
		for _, saga := range running {
			filter.Live = append(filter.Live, readmodel.Saga{
				SagaID: saga.SagaID, RunID: saga.RunID, Kind: saga.Kind, ModelID: domain.ModelID(saga.ModelID), StartedAt: saga.StartedAt,
			})
		}
	}
	answer := &sagaAnswer[page[Saga]]{Live: known, Body: page[Saga]{Items: []Saga{}}}
	for paging := in.of(); ; paging.Cursor = answer.Body.NextCursor {
		found, err := s.Reader.ListSagas(ctx, callerOf(ctx).Tenant, filter, paging)
		if err != nil {
			return nil, err
		}
		answer.Position, answer.Body.NextCursor, answer.Body.HasMore = found.Position, found.NextCursor, found.HasMore
		for _, saga := range s.told(ctx, found.Items, running, known) {
			if in.takes(saga) {
				answer.Body.Items = append(answer.Body.Items, saga)
			}
		}
		if !found.HasMore || len(answer.Body.Items) > 0 {
			return answer, nil
		}
	}
}

// takes filters by what only Temporal knows.
func (in *sagaList) takes(saga Saga) bool {
	return (in.WaitingFor == "" || saga.waitsFor(in.WaitingFor)) && (in.State == "" || string(saga.State) == in.State)
}

// told adds to a page of sagas what Temporal tells of them.
func (s *server) told(ctx context.Context, found []readmodel.Saga, running map[string]Saga, known bool) []Saga {
	sagas := make([]Saga, len(found))
	for i, one := range found {
		live, runs := running[one.RunID]
		switch {
		case runs:
			sagas[i] = live
		case known && one.EndedAt == nil:
			sagas[i] = s.ended(ctx, one)
		default:
			sagas[i] = ofEvents(one)
		}
	}
	if known {
		s.askAll(ctx, sagas)
	}
	return sagas
}

// ended is a saga that no event has ended, and that does not run.
func (s *server) ended(ctx context.Context, one readmodel.Saga) Saga {
	saga := ofEvents(one)
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	description, err := s.Temporal.DescribeWorkflowExecution(ctx, one.SagaID, one.RunID)
	switch {
	case err == nil:
		return execution{description.GetWorkflowExecutionInfo()}.saga()
	case errors.Is(s.temporalError(err, one.SagaID), domain.ErrNotFound):
		saga.State = stateTerminated // see sagaOfEvents
	}
	return saga
}

// running are the tenant's sagas that run now, by their run. What is put into the query has been matched
// against forms without quotes.
func (s *server) running(ctx context.Context, in *sagaList) (map[string]Saga, error) {
	ctx, cancel := context.WithTimeout(ctx, temporalRead)
	defer cancel()
	query := fmt.Sprintf("%s = '%s' and ExecutionStatus = 'Running'", attrTenant, callerOf(ctx).Tenant)
	if in.Kind == "" {
		query += " and WorkflowType in ('" + strings.Join(kinds(), "', '") + "')"
	} else {
		query += " and WorkflowType = '" + in.Kind + "'"
	}
	if in.ModelID != "" {
		query += fmt.Sprintf(" and %s = '%s'", attrModel, in.ModelID)
	}
	sagas := map[string]Saga{}
	for token := []byte(nil); ; {
		found, err := s.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: runningPage, NextPageToken: token, Query: query,
		})
		if err != nil {
			return nil, s.temporalError(err, "list")
		}
		for _, info := range found.GetExecutions() {
			saga := execution{info}.saga()
			saga.StartedAt = saga.StartedAt.Truncate(time.Microsecond) // as PostgreSQL compares them
			sagas[saga.RunID] = saga
		}
		if token = found.GetNextPageToken(); len(token) == 0 || len(sagas) >= mostRunning {
			return sagas, nil
		}
	}
}
