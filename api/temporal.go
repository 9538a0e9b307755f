package api

import (
	"context"
	"errors"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"phantom/domain"
	"phantom/workflows"
)

// Deadlines on Temporal.
const (
	temporalRead  = 5 * time.Second
	temporalWrite = 10 * time.Second
	queryLimit    = 2 * time.Second // of a saga's own answers; its worker may be away
)

// The search attributes by which sagas are found; workflows.SearchAttributes has them all.
const (
	attrTenant  = "MLTenant"
	attrModel   = "MLModelID"
	attrKind    = "MLRunKind"
	attrTarget  = "MLTarget"
	attrVersion = "MLModelVersion"
)

func attribute(name string) temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword(name)
}

// kinds are the sagas that belong to a tenant.
func kinds() []string {
	return []string{workflows.KindTrainModel, workflows.KindDeployModel, workflows.KindRollbackModel, workflows.KindUndeployModel}
}

// temporalError puts an error of Temporal into our words; nil stays nil.
func (s *server) temporalError(err error, id string) error {
	var missing *serviceerror.NotFound
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &missing):
		return &domain.NotFound{Kind: "saga", ID: id}
	case temporalAway(err):
		return unavailable("Temporal does not answer now; try again")
	default:
		return err
	}
}

func temporalAway(err error) bool {
	var (
		unavailable *serviceerror.Unavailable
		deadline    *serviceerror.DeadlineExceeded
		exhausted   *serviceerror.ResourceExhausted
		canceled    *serviceerror.Canceled
	)
	return errors.As(err, &unavailable) || errors.As(err, &deadline) || errors.As(err, &exhausted) || errors.As(err, &canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// execution is a run of a saga as Temporal describes it.
type execution struct {
	info *workflowpb.WorkflowExecutionInfo
}

// describe finds the newest run of a saga, whosever it is. *domain.NotFound.
func (s *server) describe(ctx context.Context, id string) (execution, error) {
	if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) { // Temporal's client can not even ask for it
		return execution{}, &domain.NotFound{Kind: "saga", ID: id}
	}
	ctx, cancel := context.WithTimeout(ctx, temporalRead)
	defer cancel()
	description, err := s.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return execution{}, s.temporalError(err, id)
	}
	return execution{description.GetWorkflowExecutionInfo()}, nil
}

// state is one of the states that a saga can have for our callers.
func (e execution) state() sagaState {
	switch e.info.GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return stateCompleted
	case enums.WORKFLOW_EXECUTION_STATUS_FAILED, enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return stateFailed
	case enums.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return stateCanceled
	case enums.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return stateTerminated
	default:
		return stateRunning
	}
}

// memo is a text of the saga's memo, or empty.
func (e execution) memo(name string) string { return text(e.info.GetMemo().GetFields()[name]) }

// attribute is a search attribute in text, or empty.
func (e execution) attribute(name string) string {
	return text(e.info.GetSearchAttributes().GetIndexedFields()[name])
}

func text(payload *commonpb.Payload) string {
	var value string
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}
