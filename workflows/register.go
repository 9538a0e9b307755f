package workflows

import "go.temporal.io/sdk/workflow"

// The kinds of sagas: the names of their workflow types.
const (
	KindTrainModel       = "TrainModel"
	KindDeployModel      = "DeployModel"
	KindRollbackModel    = "RollbackModel"
	KindUndeployModel    = "UndeployModel"
	KindProjectionRunner = "ProjectionRunner"
)

// Settings are what all sagas of a worker share.
type Settings struct {
	Queues Queues
	// Attempts bounds the attempts of an activity before its saga parks; 0 means what its class says.
	Attempts int32
}

// Sagas holds the workflows.
type Sagas struct{ settings Settings }

// New makes the workflows for the given settings.
func New(settings Settings) *Sagas { return &Sagas{settings: settings} }

// Registry is the part of a Temporal worker that takes workflows.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Register registers every workflow under its public name.
func (w *Sagas) Register(r Registry) {
	r.RegisterWorkflowWithOptions(w.TrainModel, workflow.RegisterOptions{Name: KindTrainModel})
	r.RegisterWorkflowWithOptions(w.DeployModel, workflow.RegisterOptions{Name: KindDeployModel})
	r.RegisterWorkflowWithOptions(w.RollbackModel, workflow.RegisterOptions{Name: KindRollbackModel})
	r.RegisterWorkflowWithOptions(w.UndeployModel, workflow.RegisterOptions{Name: KindUndeployModel})
	r.RegisterWorkflowWithOptions(w.ProjectionRunner, workflow.RegisterOptions{Name: KindProjectionRunner})
}
