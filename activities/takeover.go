package activities

import "context"

// Sagas ends other sagas; a Temporal client does.
type Sagas interface {
	// CancelAndWait asks a workflow to cancel and returns when it has ended, with everything undone. It says
	// whether one ran.
	CancelAndWait(ctx context.Context, workflowID string) (ran bool, err error)
}

// Takeover ends what stands in a saga's way.
type Takeover struct{ Sagas Sagas }

// DeploymentEnd is the input of EndDeployment.
type DeploymentEnd struct {
	WorkflowID string `json:"workflow_id"`
}

// DeploymentEnded is the result of EndDeployment.
type DeploymentEnded struct {
	Ran bool `json:"ran"`
}

// EndDeployment cancels a running deployment, which gives the traffic back to its champion, and returns
// when it has ended.
func (t *Takeover) EndDeployment(ctx context.Context, in DeploymentEnd) (DeploymentEnded, error) {
	return beating(ctx, func(ctx context.Context) (DeploymentEnded, error) {
		ran, err := t.Sagas.CancelAndWait(ctx, in.WorkflowID)
		return DeploymentEnded{Ran: ran}, err
	})
}
