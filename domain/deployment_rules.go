package domain

import "fmt"

func (c DeployModel) validate(v *checks) {
	v.model(c.ModelID)
	v.version("version", c.Version)
	v.target("deployment_target", c.DeploymentTarget)
	v.object("deployment_config", c.DeploymentConfig)
	v.text("reason", c.Reason, maxReason)
}

func (c DeployModel) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.deployable(c.ModelID, c.Version); err != nil {
		return nil, err
	}
	if err := m.noRollout(c.DeploymentTarget); err != nil {
		return nil, err
	}
	standing := m.Deployed[c.DeploymentTarget]
	previous := standing.Version
	if standing.Version == c.Version {
		if sameJSON(standing.Config, c.DeploymentConfig) {
			return nil, nil
		}
		previous = standing.Previous
	}
	return []Event{ModelDeployed{
		Version: c.Version, PreviousVersion: previous, DeploymentTarget: c.DeploymentTarget,
		DeploymentConfig: canonical(c.DeploymentConfig), Reason: c.Reason,
	}}, nil
}

func (c UndeployModel) validate(v *checks) {
	v.model(c.ModelID)
	v.target("deployment_target", c.DeploymentTarget)
	v.text("reason", c.Reason, maxReason)
}

func (c UndeployModel) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.alive(c.ModelID); err != nil {
		return nil, err
	}
	if err := m.noRollout(c.DeploymentTarget); err != nil {
		return nil, err
	}
	standing, deployed := m.Deployed[c.DeploymentTarget]
	if !deployed {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("nothing of model %s is deployed at %s", c.ModelID, c.DeploymentTarget),
			Current: string(m.Status()),
		}
	}
	return []Event{ModelUndeployed{
		Version: standing.Version, DeploymentTarget: c.DeploymentTarget, Reason: c.Reason,
	}}, nil
}

// deployable refuses a model that is not active, and a version that it does not have.
func (m Model) deployable(id ModelID, v Version) error {
	if err := m.active(id); err != nil {
		return err
	}
	if _, has := m.Version(v); !has {
		return &NotFound{Kind: "version", ID: fmt.Sprintf("%s of model %s", v, id)}
	}
	return nil
}
