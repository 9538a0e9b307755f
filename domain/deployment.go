package domain

import "encoding/json"

// ModelDeployed is recorded in the MLModel stream: the version gets all traffic of the target.
type ModelDeployed struct {
	Version          Version         `json:"version"`
	PreviousVersion  Version         `json:"previous_version,omitempty"`
	DeploymentTarget Target          `json:"deployment_target"`
	DeploymentConfig json.RawMessage `json:"deployment_config,omitempty"`
	RolloutID        RolloutID       `json:"rollout_id,omitempty"` // empty for a rollback
	Reason           string          `json:"reason,omitempty"`
}

// ModelUndeployed is recorded in the MLModel stream: the target serves the model no longer.
type ModelUndeployed struct {
	Version          Version `json:"version"`
	DeploymentTarget Target  `json:"deployment_target"`
	Reason           string  `json:"reason,omitempty"`
}

// DeployModel asks for ModelDeployed alone, as RollbackModel does; refused while a rollout runs at the
// target. The version there already with the same config changes nothing.
type DeployModel struct {
	ModelID          ModelID         `json:"model_id"`
	Version          Version         `json:"version"`
	DeploymentTarget Target          `json:"deployment_target"`
	DeploymentConfig json.RawMessage `json:"deployment_config,omitempty"`
	Reason           string          `json:"reason,omitempty"`
}

// UndeployModel asks for ModelUndeployed; refused when nothing is deployed there or a rollout runs.
type UndeployModel struct {
	ModelID          ModelID `json:"model_id"`
	DeploymentTarget Target  `json:"deployment_target"`
	Reason           string  `json:"reason,omitempty"`
}
