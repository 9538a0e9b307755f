package activities

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"phantom/artifact"
	"phantom/domain"
)

// Models loads a model's present state; the registry does.
type Models interface {
	Model(ctx context.Context, tenant domain.Tenant, id domain.ModelID) (domain.Model, error)
}

// Bundles reads the files of versions; the artifact store does.
type Bundles interface {
	// GetBundle verifies the bytes: artifact.ErrNotFound, ErrCorrupt, ErrMalformedBundle.
	GetBundle(ctx context.Context, digest domain.Digest) ([]artifact.File, error)
}

// Deployment looks at what a deployment, a rollback or an undeployment is about, before their first
// effect.
type Deployment struct {
	Models  Models
	Targets ServingTargets
	Bundles Bundles
	Log     InferenceLog
	Routes  Routes
}

// DeploymentRequest is the input of PlanDeployment.
type DeploymentRequest struct {
	Tenant  domain.Tenant     `json:"tenant"`
	ModelID domain.ModelID    `json:"model_id"`
	Version domain.VersionRef `json:"version"`
	Target  domain.Target     `json:"target"`
	Config  json.RawMessage   `json:"config,omitempty"` // nil keeps what the target has
}

// RollbackRequest is the input of PlanRollback.
type RollbackRequest struct {
	Tenant  domain.Tenant     `json:"tenant"`
	ModelID domain.ModelID    `json:"model_id"`
	Target  domain.Target     `json:"target"`
	To      domain.VersionRef `json:"to,omitempty"` // empty: the version that served before
}

// DeploymentPlan is what there is to bring to a target, and what stands there.
type DeploymentPlan struct {
	Version   domain.Version    `json:"version"`
	Artifact  domain.Digest     `json:"artifact"`
	Signature *domain.Signature `json:"signature,omitempty"`
	Config    json.RawMessage   `json:"config,omitempty"`
	Champion  domain.Version    `json:"champion,omitempty"` // empty when nothing serves there
	Previous  domain.Version    `json:"previous,omitempty"` // what served before the champion
	// Rollout runs at the target, of the version Candidate; empty when none does.
	Rollout   domain.RolloutID `json:"rollout,omitempty"`
	Candidate domain.Version   `json:"candidate,omitempty"`
	// Served: the version is the champion. Unchanged: and its config is the one asked for.
	Served    bool `json:"served,omitempty"`
	Unchanged bool `json:"unchanged,omitempty"`
	// ObserveAfter is the inference log's position now, Position that of the lifecycle log.
	ObserveAfter int64  `json:"observe_after"`
	Position     int64  `json:"position"`
	Team         string `json:"team,omitempty"` // the model's tag "team"
}

// PlanDeployment finds the version and what it meets at the target, and reads the artifact to its last
// byte. Refused: an unknown target or a config that no gateway reads (InvalidInput), an unknown version or
// a missing artifact (NotFound), a broken one (ArtifactCorrupt).
func (d *Deployment) PlanDeployment(ctx context.Context, in DeploymentRequest) (DeploymentPlan, error) {
	return beating(ctx, func(ctx context.Context) (DeploymentPlan, error) {
		err := errors.Join(knownTarget(d.Targets, in.Target), relocated(d.Targets.CheckConfig(in.Config), configField))
		if err != nil {
			return DeploymentPlan{}, Refusal(err)
		}
		model, err := d.Models.Model(ctx, in.Tenant, in.ModelID)
		if err != nil {
			return DeploymentPlan{}, Refusal(err)
		}
		if !model.Exists() {
			return DeploymentPlan{}, Refusal(&domain.NotFound{Kind: "model", ID: string(in.ModelID)})
		}
		standing := model.Deployed[in.Target]
		if in.Config == nil {
			in.Config = standing.Config
		}
		return d.plan(ctx, in, model)
	})
}

// configField is the name that DeployModel's input has for a field of a deployment_config.
func configField(field string) string { return strings.TrimPrefix(field, "deployment_") }

// PlanRollback is PlanDeployment for a version that comes back. Refused as InvalidState when nothing is
// deployed at the target, and as InvalidInput when no version served there before.
func (d *Deployment) PlanRollback(ctx context.Context, in RollbackRequest) (DeploymentPlan, error) {
	return beating(ctx, func(ctx context.Context) (DeploymentPlan, error) {
		if err := knownTarget(d.Targets, in.Target); err != nil {
			return DeploymentPlan{}, Refusal(err)
		}
		model, standing, err := d.standing(ctx, in.Tenant, in.ModelID, in.Target)
		if err != nil {
			return DeploymentPlan{}, Refusal(err)
		}
		to := cmp.Or(in.To, domain.VersionRef(standing.Previous))
		if to == "" {
			return DeploymentPlan{}, Refusal(&domain.InvalidInput{Field: "to", Reason: fmt.Sprintf(
				"is required: no version served at %s before version %s", in.Target, standing.Version)})
		}
		request := DeploymentRequest{
			Tenant: in.Tenant, ModelID: in.ModelID, Version: to, Target: in.Target, Config: standing.Config,
		}
		return d.plan(ctx, request, model)
	})
}

// PlanUndeployment finds what serves at the target. Refused as InvalidState when nothing does.
func (d *Deployment) PlanUndeployment(ctx context.Context, in RollbackRequest) (DeploymentPlan, error) {
	if err := knownTarget(d.Targets, in.Target); err != nil {
		return DeploymentPlan{}, Refusal(err)
	}
	model, standing, err := d.standing(ctx, in.Tenant, in.ModelID, in.Target)
	if err != nil {
		return DeploymentPlan{}, Refusal(err)
	}
	return DeploymentPlan{Champion: standing.Version, Previous: standing.Previous, Team: model.Tags[tagTeam]}, nil
}

const tagTeam = "team"

// standing is what the target serves of the model.
func (d *Deployment) standing(ctx context.Context, tenant domain.Tenant, id domain.ModelID, target domain.Target) (domain.Model, domain.Deployment, error) {
	model, err := d.Models.Model(ctx, tenant, id)
	if err != nil {
		return model, domain.Deployment{}, err
	}
	if !model.Exists() {
		return model, domain.Deployment{}, &domain.NotFound{Kind: "model", ID: string(id)}
	}
	standing, deployed := model.Deployed[target]
	if !deployed {
		return model, standing, &domain.InvalidState{
			Reason:  fmt.Sprintf("nothing of model %s is deployed at %s", id, target),
			Current: string(model.Status()), Allowed: []string{"DeployModel"},
		}
	}
	return model, standing, nil
}

func (d *Deployment) plan(ctx context.Context, in DeploymentRequest, model domain.Model) (DeploymentPlan, error) {
	number, err := model.Resolve(in.Version)
	if err != nil {
		return DeploymentPlan{}, Refusal(err)
	}
	version, _ := model.Version(number)
	if _, err := d.Bundles.GetBundle(ctx, version.ArtifactsLocation); err != nil {
		return DeploymentPlan{}, refusedBundle(version.ArtifactsLocation, err)
	}
	standing, running := model.Deployed[in.Target], model.Rollouts[in.Target]
	plan := DeploymentPlan{
		Version: version.Version, Artifact: version.ArtifactsLocation, Signature: version.Signature, Config: in.Config,
		Champion: standing.Version, Previous: standing.Previous, Team: model.Tags[tagTeam],
		Rollout: running.ID, Candidate: running.Version, Served: standing.Version == version.Version,
	}
	plan.Unchanged = plan.Served && sameDocument(standing.Config, in.Config)
	if plan.ObserveAfter, err = d.Log.Head(ctx, in.Tenant); err != nil {
		return DeploymentPlan{}, err
	}
	plan.Position, err = d.Routes.Head(ctx, in.Tenant)
	return plan, err
}

func knownTarget(targets ServingTargets, name domain.Target) error {
	known := targets.Names()
	if slices.Contains(known, name) {
		return nil
	}
	return &domain.InvalidInput{Field: "target", Reason: fmt.Sprintf("there is no target %q; there are %v", name, known)}
}

// refusedBundle tells an artifact that is gone or broken from a store that is away.
func refusedBundle(digest domain.Digest, err error) error {
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return Refusal(&domain.NotFound{Kind: "artifact", ID: string(digest)})
	case errors.Is(err, artifact.ErrCorrupt), errors.Is(err, artifact.ErrMalformedBundle):
		return refusedAs(TypeArtifactCorrupt, fmt.Errorf("artifact %s: %w", digest, err))
	default:
		return err
	}
}

// sameDocument compares two JSON objects; none is an empty one.
func sameDocument(a, b json.RawMessage) bool {
	return bytes.Equal(sorted(a), sorted(b))
}

// sorted writes a JSON object with its keys in order and its numbers as they came.
func sorted(raw json.RawMessage) []byte {
	document := map[string]any{}
	if len(raw) > 0 {
		reader := json.NewDecoder(bytes.NewReader(raw))
		reader.UseNumber()
		if err := reader.Decode(&document); err != nil || document == nil {
			return raw
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return raw
	}
	return text
}
