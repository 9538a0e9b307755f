package workflows

import (
	"cmp"
	"encoding/json"

	"phantom/domain"
	"phantom/rollout"
)

// DeployModelInput is what DeployModel is asked for.
type DeployModelInput struct {
	Tenant   domain.Tenant     `json:"tenant"` // default "default"
	ModelID  domain.ModelID    `json:"model_id"`
	Version  domain.VersionRef `json:"version"` // a number, "latest" or "@alias", looked up once
	Target   domain.Target     `json:"target"`
	Strategy rollout.Strategy  `json:"strategy"` // default rollout.Default
	// Watch is how long the old version stays warm after the promotion; only "0s" is available yet.
	Watch    Duration       `json:"watch"`
	Approval *ApprovalTerms `json:"approval,omitempty"` // nil asks nobody
	// Config is how gateways treat the version's inferences: {"logging":"async","capture":"prediction"}.
	// Without one the target keeps what it has.
	Config      json.RawMessage `json:"config,omitempty"`
	RequestedBy string          `json:"requested_by,omitempty"`
	Actor       *domain.Actor   `json:"actor,omitempty"` // sent by the HTTP API, replaces requested_by; see Sender
}

// RollbackModelInput is what RollbackModel is asked for.
type RollbackModelInput struct {
	Tenant      domain.Tenant     `json:"tenant"` // default "default"
	ModelID     domain.ModelID    `json:"model_id"`
	Target      domain.Target     `json:"target"`
	To          domain.VersionRef `json:"to,omitempty"` // a number or "@alias"; default: the version that served before
	Reason      string            `json:"reason,omitempty"`
	RequestedBy string            `json:"requested_by,omitempty"`
	Actor       *domain.Actor     `json:"actor,omitempty"`
}

// UndeployModelInput is what UndeployModel is asked for.
type UndeployModelInput struct {
	Tenant      domain.Tenant  `json:"tenant"` // default "default"
	ModelID     domain.ModelID `json:"model_id"`
	Target      domain.Target  `json:"target"`
	Reason      string         `json:"reason,omitempty"`
	RequestedBy string         `json:"requested_by,omitempty"`
	Actor       *domain.Actor  `json:"actor,omitempty"`
}

// ParseDeployModel decodes, checks and normalises the JSON of a DeployModel input: unknown fields are
// refused, defaults filled in. The error joins a *domain.InvalidInput for each bad field.
func ParseDeployModel(text []byte) (DeployModelInput, error) {
	var in DeployModelInput
	if err := decode(text, &in); err != nil {
		return DeployModelInput{}, err
	}
	in.Tenant = cmp.Or(in.Tenant, domain.DefaultTenant)
	in.Strategy = in.Strategy.WithDefaults()
	var bad badFields
	checkPlace(&bad, in.Tenant, in.ModelID, in.Target)
	switch {
	case in.Version == "":
		bad.add("version", `is required: a number, "latest", or an alias like "@champion"`)
	case !in.Version.Valid():
		bad.add("version", "%s, not %q", domain.VersionRefForm, in.Version)
	}
	bad.addRollout("", in.Strategy.Validate())
	if in.Watch != 0 {
		bad.add("watch", `is not available yet, but as "0s"`)
	}
	in.Approval.normalise("approval", &bad)
	if string(in.Config) == "null" {
		in.Config = nil
	}
	checkObject(&bad, "config", in.Config)
	checkSender(&bad, in.RequestedBy, in.Actor)
	return in, bad.err()
}

// ParseRollbackModel is ParseDeployModel for RollbackModel.
func ParseRollbackModel(text []byte) (RollbackModelInput, error) {
	var in RollbackModelInput
	if err := decode(text, &in); err != nil {
		return RollbackModelInput{}, err
	}
	in.Tenant = cmp.Or(in.Tenant, domain.DefaultTenant)
	var bad badFields
	checkPlace(&bad, in.Tenant, in.ModelID, in.Target)
	if in.To != "" && (!in.To.Valid() || in.To == domain.VersionLatest) {
		bad.add("to", `must be a version's number like "1", or an alias like "@champion", not %q`, in.To)
	}
	checkReason(&bad, in.Reason)
	checkSender(&bad, in.RequestedBy, in.Actor)
	return in, bad.err()
}

// ParseUndeployModel is ParseDeployModel for UndeployModel.
func ParseUndeployModel(text []byte) (UndeployModelInput, error) {
	var in UndeployModelInput
	if err := decode(text, &in); err != nil {
		return UndeployModelInput{}, err
	}
	in.Tenant = cmp.Or(in.Tenant, domain.DefaultTenant)
	var bad badFields
	checkPlace(&bad, in.Tenant, in.ModelID, in.Target)
	checkReason(&bad, in.Reason)
	checkSender(&bad, in.RequestedBy, in.Actor)
	return in, bad.err()
}

// checkReason refuses what the domain would refuse as the reason of a command.
func checkReason(bad *badFields, reason string) {
	command := domain.UndeployModel{ModelID: "m", DeploymentTarget: "t", Reason: reason}
	if err := domain.Validate(command); err != nil {
		*bad = append(*bad, err)
	}
}

// checkPlace refuses a malformed tenant, model id or target.
func checkPlace(bad *badFields, tenant domain.Tenant, model domain.ModelID, target domain.Target) {
	checkScope(bad, tenant, model)
	switch {
	case target == "":
		bad.add("target", "is required")
	case !target.Valid():
		bad.add("target", "must match [a-z0-9][a-z0-9-]{0,62}, not %q", target)
	}
}

func checkSender(bad *badFields, by string, actor *domain.Actor) {
	if _, err := claimed(Sender{By: by, Actor: actor}, false); err != nil {
		*bad = append(*bad, err)
	}
}
