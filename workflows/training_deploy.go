package workflows

import (
	"encoding/json"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"phantom/domain"
)

// deployRequest is the DeployModel input of a training's version.
type deployRequest struct {
	Tenant  domain.Tenant  `json:"tenant"`
	ModelID domain.ModelID `json:"model_id"`
	Version domain.Version `json:"version"`
	TrainDeploy
	RequestedBy string        `json:"requested_by,omitempty"`
	Actor       *domain.Actor `json:"actor,omitempty"`
}

// deploy hands the version to a DeployModel of its own. The version is registered whatever becomes of
// it: a deployment that fails or is rolled back is part of the result. Cancelling this saga cancels it.
func (t *trainModel) deploy(ctx workflow.Context) error {
	if t.input.Deploy == nil {
		t.skip(ctx, stepDeploy, "not asked for")
		return nil
	}
	t.begin(ctx, stepDeploy)
	target := t.input.Deploy.Target
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            fmt.Sprintf("deploy:%s:%s:%s", t.tenant, t.model, target),
		TaskQueue:             t.settings.Queues.Orchestration,
		WaitForCancellation:   true,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         fmt.Sprintf("deploy %s version %s to %s", t.model, t.registered.Version, target),
	})
	err := workflow.ExecuteChildWorkflow(ctx, KindDeployModel, deployRequest{
		Tenant: t.tenant, ModelID: t.model, Version: t.registered.Version, TrainDeploy: *t.input.Deploy,
		RequestedBy: t.input.RequestedBy, Actor: t.input.Actor,
	}).Get(ctx, &t.deployment)
	switch {
	case err == nil:
		return t.deployed(ctx)
	case ctx.Err() != nil:
		t.end(ctx, stepDeploy, StepFailed, "cancelled")
		return err
	}
	t.lastError = errorText(err)
	t.end(ctx, stepDeploy, StepFailed, t.lastError)
	t.deployment, err = json.Marshal(map[string]string{"outcome": "failed", "reason": t.lastError})
	return err
}

// deployed takes note of a deployment that ended, well or not.
func (t *trainModel) deployed(ctx workflow.Context) error {
	var ended struct {
		Outcome  string `json:"outcome"`
		Reason   string `json:"reason"`
		Position int64  `json:"position"`
	}
	if err := json.Unmarshal(t.deployment, &ended); err != nil {
		return err
	}
	t.recorded(domain.Result{Position: ended.Position})
	t.done(ctx, stepDeploy, ended.Outcome+parenthesis(ended.Reason))
	return nil
}
