package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"phantom/access"
	"phantom/activities"
	"phantom/domain"
	"phantom/readmodel"
	"phantom/workflows"
)

// ActionHeaders are what an action takes. Who acts is said by the caller's identity, never by the body.
type ActionHeaders struct {
	SagaPath

	IdempotencyKey string `header:"Idempotency-Key" doc:"The same key acts once"`
}

type approveSaga struct {
	ActionHeaders

	Body *struct {
		Note string `json:"note,omitempty"`
	}
}

type rejectSaga struct {
	ActionHeaders

	Body *struct {
		Reason string `json:"reason,omitempty"`
	}
}

type promoteSaga struct {
	ActionHeaders

	Body *struct {
		Full bool `json:"full,omitempty" doc:"All the way, not only to the next step"`
	}
}

type plainAction struct {
	ActionHeaders

	Body *struct{}
}

// acted answers an action, once what it asked for is recorded.
type acted struct {
	Position int64 `header:"Phantom-Position"`
	Body     struct {
		SagaID   string `json:"saga_id"`
		Action   string `json:"action"`
		Revision int64  `json:"revision" doc:"Of the model's stream, after the saga's last write to it"`
		Position int64  `json:"position" doc:"Of the saga's last event in the log"`
	}
}

func (s *server) sagaActions(api huma.API) {
	op := func(action workflows.Action, summary string) huma.Operation {
		return operation(strings.ReplaceAll(string(action), "_", "-")+"-saga", http.MethodPost, "/api/v1/sagas/{saga_id}/"+string(action), summary, "sagas")
	}
	handle(s, api, op(workflows.ActionApprove, "Approve what waits for approval"), func(ctx context.Context, in *approveSaga) (*acted, error) {
		actor, message := callerOf(ctx).claim(), workflows.Approve{}
		if message.Actor = &actor; in.Body != nil {
			message.Note = in.Body.Note
		}
		return s.act(ctx, in.ActionHeaders, workflows.ActionApprove, message)
	})
	handle(s, api, op(workflows.ActionReject, "Reject what waits for approval"), func(ctx context.Context, in *rejectSaga) (*acted, error) {
		actor, message := callerOf(ctx).claim(), workflows.Reject{}
		if message.Actor = &actor; in.Body != nil {
			message.Reason = in.Body.Reason
		}
		return s.act(ctx, in.ActionHeaders, workflows.ActionReject, message)
	})
	handle(s, api, op(workflows.ActionRetryStep, "Try the parked step again"), func(ctx context.Context, in *plainAction) (*acted, error) {
		actor := callerOf(ctx).claim()
		return s.act(ctx, in.ActionHeaders, workflows.ActionRetryStep, workflows.RetryStep{Actor: &actor})
	})
	handle(s, api, op(workflows.ActionPromote, "Pass the canary step now"), func(ctx context.Context, in *promoteSaga) (*acted, error) {
		actor, message := callerOf(ctx).claim(), workflows.Promote{}
		if message.Actor = &actor; in.Body != nil {
			message.Full = in.Body.Full
		}
		return s.act(ctx, in.ActionHeaders, workflows.ActionPromote, message)
	})
	handle(s, api, op(workflows.ActionAbort, "End the rollout and restore the champion"), func(ctx context.Context, in *rejectSaga) (*acted, error) {
		actor, message := callerOf(ctx).claim(), workflows.Abort{}
		if message.Actor = &actor; in.Body != nil {
			message.Reason = in.Body.Reason
		}
		return s.act(ctx, in.ActionHeaders, workflows.ActionAbort, message)
	})
	cancel := op(workflows.ActionCancel, "Undo what the saga did, and end it as canceled")
	cancel.DefaultStatus = http.StatusAccepted
	handle(s, api, cancel, s.cancelSaga)
}

// actions are what each kind of saga takes, whatever it does at the Moment.
func actions(kind string) []workflows.Action {
	switch kind {
	case workflows.KindTrainModel:
		return []workflows.Action{workflows.ActionApprove, workflows.ActionReject, workflows.ActionRetryStep, workflows.ActionCancel}
	case workflows.KindDeployModel:
		return []workflows.Action{
			workflows.ActionApprove, workflows.ActionReject, workflows.ActionRetryStep, workflows.ActionPromote, workflows.ActionAbort,
			workflows.ActionCancel,
		}
	default:
		return []workflows.Action{workflows.ActionRetryStep, workflows.ActionCancel}
	}
}

// takes refuses an action that a saga never takes, or no longer.
func (s *server) takes(ctx context.Context, id string, action workflows.Action) (execution, error) {
	found, err := s.owned(ctx, id)
	if err != nil {
		return found, err
	}
	if found.kind() != workflows.KindTrainModel {
		if err := s.permit(ctx, access.Deployer, string(action)+" of a "+found.kind()); err != nil {
			return found, err
		}
	}
	if state := found.state(); state != stateRunning {
		return found, &domain.InvalidState{Reason: fmt.Sprintf("saga %s has ended; %s comes too late", id, action), Current: string(state)}
	}
	if able := actions(found.kind()); !slices.Contains(able, action) {
		refusal := &domain.InvalidState{Reason: fmt.Sprintf("a %s takes no %s", found.kind(), action)}
		for _, one := range able {
			refusal.Allowed = append(refusal.Allowed, string(one))
		}
		return found, refusal
	}
	return found, nil
}

// act sends an update and waits until the saga has recorded what came of it.
func (s *server) act(ctx context.Context, h ActionHeaders, action workflows.Action, message any) (*acted, error) {
	found, err := s.takes(ctx, h.SagaID, action)
	if err != nil {
		return nil, err
	}
	id, err := updateID(h.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	var receipt workflows.Receipt
	limited, cancel := context.WithTimeout(ctx, temporalWrite)
	defer cancel()
	handle, err := s.Temporal.UpdateWorkflow(limited, client.UpdateWorkflowOptions{
		UpdateID: id, WorkflowID: h.SagaID, RunID: found.info.GetExecution().GetRunId(), UpdateName: string(action),
		Args: []any{message}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(limited, &receipt)
	}
	if err != nil {
		return nil, s.updateError(err, h.SagaID, action)
	}
	s.settle(ctx, receipt.Position, readmodel.TrainingsName, readmodel.RolloutsName, readmodel.DeploymentsName)
	answer := &acted{Position: receipt.Position}
	answer.Body.SagaID, answer.Body.Action = h.SagaID, string(action)
	answer.Body.Revision, answer.Body.Position = receipt.Revision, receipt.Position
	return answer, nil
}

func updateID(key string) (string, error) {
	switch {
	case key == "":
		return uuid.NewString(), nil
	case !keyForm.MatchString(key):
		return "", param("Idempotency-Key", "must match [A-Za-z0-9._-]{1,64}")
	default:
		return "http:" + key, nil
	}
}

// updateError puts a saga's refusal into our words.
func (s *server) updateError(err error, id string, action workflows.Action) error {
	var (
		ended  *serviceerror.NotFound
		slow   *client.WorkflowUpdateServiceTimeoutOrCanceledError
		refuse *temporal.ApplicationError
	)
	switch {
	case errors.As(err, &ended):
		return &domain.InvalidState{Reason: fmt.Sprintf("saga %s has ended; %s comes too late", id, action)}
	case errors.As(err, &slow), temporalAway(err):
		return unavailable(fmt.Sprintf("nobody answered %s for saga %s in time: Temporal or the workers are away; look at the saga before you try again", action, id))
	case !errors.As(err, &refuse):
		return err
	}
	switch refuse.Type() {
	case activities.TypeInvalidInput:
		var fields []activities.FieldError
		if refuse.HasDetails() {
			_ = refuse.Details(&fields) // the message has them too
		}
		return fieldErrors(fields, refuse.Message())
	case activities.TypeNotFound:
		return problem(http.StatusNotFound, CodeNotFound, refuse.Message())
	case activities.TypeConflict, activities.TypeAlreadyExists:
		return problem(http.StatusConflict, CodeConflict, refuse.Message())
	case activities.TypeInvalidState:
		return problem(http.StatusConflict, CodeInvalidState, refuse.Message())
	default:
		return err
	}
}

func fieldErrors(fields []activities.FieldError, message string) error {
	bad := make([]ProblemField, len(fields))
	for i, field := range fields {
		bad[i] = ProblemField{Pointer: pointer(field.Field), Detail: field.Reason}
	}
	return problem(http.StatusUnprocessableEntity, CodeInvalidInput, message, bad...)
}

// cancelSaga asks Temporal to cancel; the saga undoes what it did in its own time.
func (s *server) cancelSaga(ctx context.Context, in *plainAction) (*accepted, error) {
	found, err := s.takes(ctx, in.SagaID, workflows.ActionCancel)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, temporalWrite)
	defer cancel()
	if err := s.Temporal.CancelWorkflow(limited, in.SagaID, found.info.GetExecution().GetRunId()); err != nil {
		return nil, s.temporalError(err, in.SagaID)
	}
	return accept(in.SagaID), nil
}
