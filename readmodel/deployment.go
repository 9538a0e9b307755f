package readmodel

import (
	"time"

	"phantom/domain"
)

// DeploymentState is where a deployment stands.
type DeploymentState string

// The states of a deployment.
const (
	DeploymentCanary   DeploymentState = "canary"   // a rollout's candidate that has some of the traffic
	DeploymentDeployed DeploymentState = "deployed" // the target's version; it may share traffic with a canary
	DeploymentEnded    DeploymentState = "ended"
)

// Deployment is a time in which a version serves at a target. The weights of a target's deployments
// that have not ended sum to 100.
type Deployment struct {
	ModelID   domain.ModelID    `json:"model_id"`
	Target    domain.Target     `json:"target"`
	Version   domain.Version    `json:"version"`
	State     DeploymentState   `json:"state"`
	Weight    int               `json:"weight"` // percent of the target's traffic; 0 when ended
	RolloutID *domain.RolloutID `json:"rollout_id"`
	// DeployedAt is when the version became the target's; a canary's, when it got its first traffic.
	DeployedAt time.Time    `json:"deployed_at"`
	DeployedBy domain.Actor `json:"deployed_by"`
	EndedAt    *time.Time   `json:"ended_at"`
	EndReason  string       `json:"end_reason"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// DeploymentFilter narrows ListDeployments; what is empty does not narrow.
type DeploymentFilter struct {
	ModelID domain.ModelID
	Target  domain.Target
	Version domain.Version
	Current bool  // only those that have not ended
	AsOf    int64 // a position of the lifecycle log; 0 means now
}
