package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"phantom/domain"
	"phantom/workflows"
)

type sagaState string

const (
	stateRunning    sagaState = "running"
	stateCompleted  sagaState = "completed"
	stateFailed     sagaState = "failed"
	stateCanceled   sagaState = "canceled"
	stateTerminated sagaState = "terminated"
)

// Saga is a run of a workflow. Status and Progress are what it answers itself: null while no worker can
// answer for it.
type Saga struct {
	SagaID     string              `json:"saga_id"`
	WorkflowID string              `json:"workflow_id"`
	RunID      string              `json:"run_id"`
	Kind       string              `json:"kind"`
	ModelID    string              `json:"model_id"`
	State      sagaState           `json:"state" enum:"running,completed,failed,canceled,terminated"`
	StartedAt  time.Time           `json:"started_at"`
	EndedAt    *time.Time          `json:"ended_at"`
	Summary    string              `json:"summary"`
	Status     *workflows.Status   `json:"status"`
	Progress   *workflows.Progress `json:"progress"`
	Result     json.RawMessage     `json:"result" doc:"What a completed saga ended with, else null"`
	Error      string              `json:"error" doc:"Why a saga ended without a result, else empty"`
}

// SagaPath is the part of a path that names a saga.
type SagaPath struct {
	SagaID string `path:"saga_id" maxLength:"1000" doc:"The saga: its workflow id"`
}

type sagaGet struct{ SagaPath }

type sagaList struct {
	Paging

	Freshness

	WaitingFor string `query:"waiting_for" enum:"approval,decision,retry_step,turn" doc:"Only running sagas that wait for it"`
	Kind       string `query:"kind" enum:"TrainModel,DeployModel,RollbackModel,UndeployModel"`
	ModelID    string `query:"model_id" pattern:"^[a-z0-9][a-z0-9._-]{0,62}$" patternDescription:"[a-z0-9][a-z0-9._-]{0,62}"`
	State      string `query:"state" enum:"running,completed,failed,canceled,terminated"`
}

func (s *server) sagas(api huma.API) {
	handle(s, api, operation("list-sagas", http.MethodGet, "/api/v1/sagas",
		"List sagas, the newest first; running ones with their status", "sagas"), s.listSagas)
	handle(s, api, operation("get-saga", http.MethodGet, "/api/v1/sagas/{saga_id}", "Get a saga's newest run, with status, progress and result", "sagas"), s.getSaga)
	s.sagaActions(api)
}

// owned finds the newest run of a saga of the caller's tenant; anything else is not found.
func (s *server) owned(ctx context.Context, id string) (execution, error) {
	found, err := s.describe(ctx, id)
	if err != nil {
		return found, err
	}
	if !slices.Contains(kinds(), found.kind()) || found.tenant() != string(callerOf(ctx).Tenant) {
		return execution{}, &domain.NotFound{Kind: "saga", ID: id}
	}
	return found, nil
}

func (e execution) kind() string { return e.info.GetType().GetName() }

// tenant is what the saga says of itself; before its first task, what its id says.
func (e execution) tenant() string {
	if said := e.attribute(attrTenant); said != "" {
		return said
	}
	return e.idPart(1)
}

func (e execution) idPart(n int) string {
	if parts := strings.Split(e.info.GetExecution().GetWorkflowId(), ":"); n < len(parts) {
		return parts[n]
	}
	return ""
}

// saga is what Temporal alone knows of it.
func (e execution) saga() Saga {
	id := e.info.GetExecution().GetWorkflowId()
	saga := Saga{
		SagaID: id, WorkflowID: id, RunID: e.info.GetExecution().GetRunId(), Kind: e.kind(), ModelID: e.attribute(attrModel),
		State: e.state(), StartedAt: e.info.GetStartTime().AsTime(), Summary: e.memo(memoSummary), Result: json.RawMessage("null"),
	}
	if saga.ModelID == "" {
		saga.ModelID = e.idPart(2)
	}
	if saga.Summary == "" {
		saga.Summary = strings.TrimSpace(saga.Kind + " " + saga.ModelID + " " + e.attribute(attrTarget))
	}
	if closed := e.info.GetCloseTime(); closed != nil {
		ended := closed.AsTime()
		saga.EndedAt = &ended
	}
	return saga
}

func (s *server) getSaga(ctx context.Context, in *sagaGet) (*sagaAnswer[Saga], error) {
	found, err := s.owned(ctx, in.SagaID)
	if err != nil {
		return s.sagaOfEvents(ctx, in.SagaID, err)
	}
	saga := found.saga()
	if saga.State != stateRunning {
		if err := s.ending(ctx, &saga); err != nil {
			return nil, err
		}
	}
	var asking sync.WaitGroup
	asking.Go(func() { saga.Status = ask[workflows.Status](ctx, s, saga, "status") })
	asking.Go(func() { saga.Progress = ask[workflows.Progress](ctx, s, saga, "progress") })
	asking.Wait()
	return &sagaAnswer[Saga]{Live: true, Body: saga}, nil
}

// ending reads how a run ended.
func (s *server) ending(ctx context.Context, saga *Saga) error {
	ctx, cancel := context.WithTimeout(ctx, temporalRead)
	defer cancel()
	var result converter.RawValue
	err := s.Temporal.GetWorkflow(ctx, saga.WorkflowID, saga.RunID).Get(ctx, &result)
	if err == nil {
		if payload := result.Payload(); json.Valid(payload.GetData()) {
			saga.Result = payload.GetData()
		}
		return nil
	}
	if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); !ended {
		return s.temporalError(err, saga.SagaID)
	}
	saga.Error = failure(err, saga.State)
	return nil
}

// failure says why a saga ended, without Temporal's account of types and retries.
func failure(err error, state sagaState) string {
	if refusal, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return refusal.Message()
	}
	return "the saga was " + map[sagaState]string{
		stateCanceled: "cancelled", stateTerminated: "terminated", stateFailed: "not ended in time",
	}[state]
}

// ask asks a saga's own code; nil when nobody answers for it now.
func ask[T any](ctx context.Context, s *server, saga Saga, query string) *T {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	value, err := s.Temporal.QueryWorkflow(ctx, saga.WorkflowID, saga.RunID, query)
	if err != nil {
		return nil
	}
	answer := new(T)
	if value.Get(answer) != nil {
		return nil
	}
	return answer
}

// askAll asks the running sagas of a page for their status, all within the time for one.
func (s *server) askAll(ctx context.Context, sagas []Saga) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(listAsking)
	for i := range sagas {
		if sagas[i].State == stateRunning {
			group.Go(func() error {
				sagas[i].Status = ask[workflows.Status](ctx, s, sagas[i], "status")
				return nil
			})
		}
	}
	_ = group.Wait() // who does not answer has no status
}

func (s Saga) waitsFor(what string) bool {
	return s.Status != nil && s.Status.WaitingFor != nil && string(*s.Status.WaitingFor) == what
}
