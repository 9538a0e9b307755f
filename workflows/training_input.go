package workflows

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"phantom/domain"
	"phantom/rollout"
)

// Concurrency says what becomes of a training while another one of the model runs.
type Concurrency string

// The ways to meet another training.
const (
	ConcurrencyForbid Concurrency = "forbid" // refused
	ConcurrencyQueue  Concurrency = "queue"  // waits for its turn
	ConcurrencyAllow  Concurrency = "allow"  // runs beside it
)

// TrainModelInput is what TrainModel is asked for. Fields tagged later are refused as not available yet.
type TrainModelInput struct {
	Tenant      domain.Tenant   `json:"tenant"` // default "default"
	ModelID     domain.ModelID  `json:"model_id"`
	Data        TrainData       `json:"data"`
	Trainer     TrainerChoice   `json:"trainer"`
	Algorithm   string          `json:"algorithm"`        // default "mlp"
	Params      json.RawMessage `json:"params,omitempty"` // the trainer's; default {}
	Seed        *int64          `json:"seed"`             // default 1
	Gates       []domain.Gate   `json:"gates,omitempty"`
	Approval    *ApprovalTerms  `json:"approval,omitempty"` // nil asks nobody
	Concurrency Concurrency     `json:"concurrency"`        // default "forbid"
	Create      *TrainCreate    `json:"create,omitempty"`   // makes the model when it does not exist
	Deploy      *TrainDeploy    `json:"deploy,omitempty"`   // nil deploys nothing
	RequestedBy string          `json:"requested_by,omitempty"`
	Actor       *domain.Actor   `json:"actor,omitempty"` // sent by the HTTP API, replaces requested_by; see Sender
}

// TrainData is what to learn from; without a test channel a row-hash split of train is held out.
type TrainData struct {
	Train *TrainChannel `json:"train"`
	Test  *TrainChannel `json:"test,omitempty"`
}

// TrainChannel is one data set.
type TrainChannel struct {
	URI   string `json:"uri"`
	Label string `json:"label"` // default "label"; of test: that of train
}

// TrainerChoice is who trains.
type TrainerChoice struct {
	Kind       string          `json:"kind"` // "embedded", the default
	Profile    json.RawMessage `json:"profile,omitempty" later:"true"`
	Command    json.RawMessage `json:"command,omitempty" later:"true"`
	Workdir    json.RawMessage `json:"workdir,omitempty" later:"true"`
	Env        json.RawMessage `json:"env,omitempty" later:"true"`
	Metrics    json.RawMessage `json:"metrics,omitempty" later:"true"`
	Address    json.RawMessage `json:"address,omitempty" later:"true"`
	Entrypoint json.RawMessage `json:"entrypoint,omitempty" later:"true"`
	NumCPUs    json.RawMessage `json:"num_cpus,omitempty" later:"true"`
}

// TrainCreate is the model to create when there is none of that id. A created model stays, however the
// training ends: its id is taken.
type TrainCreate struct {
	Name            string            `json:"name"`       // default: the model id
	ModelType       string            `json:"model_type"` // default "classification"
	Description     string            `json:"description,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	IntendedPurpose string            `json:"intended_purpose,omitempty"`
	InitialConfig   json.RawMessage   `json:"initial_config,omitempty"`
}

// TrainDeploy is where the version goes, as DeployModel's input has it.
type TrainDeploy struct {
	Target   domain.Target   `json:"target"`
	Strategy json.RawMessage `json:"strategy,omitempty"` // a rollout.Strategy, handed on as it came
	Approval *ApprovalTerms  `json:"approval,omitempty"`
	Watch    json.RawMessage `json:"watch,omitempty" later:"true"`
}

// ParseTrainModel decodes, checks and normalises the JSON of a TrainModel input: unknown fields are
// refused, defaults filled in. The error joins a *domain.InvalidInput for each bad field.
func ParseTrainModel(text []byte) (TrainModelInput, error) {
	var input TrainModelInput
	if err := decode(text, &input); err != nil {
		return TrainModelInput{}, err
	}
	input.fillDefaults()
	var bad badFields
	input.check(&bad)
	return input, bad.err()
}

func (in *TrainModelInput) fillDefaults() {
	in.Tenant = cmp.Or(in.Tenant, domain.DefaultTenant)
	in.Trainer.Kind = cmp.Or(in.Trainer.Kind, trainerEmbedded)
	in.Algorithm = cmp.Or(in.Algorithm, "mlp")
	in.Concurrency = cmp.Or(in.Concurrency, ConcurrencyForbid)
	if len(in.Params) == 0 {
		in.Params = json.RawMessage("{}")
	}
	if in.Seed == nil {
		in.Seed = new(int64(1))
	}
	if in.Data.Train != nil {
		in.Data.Train.Label = cmp.Or(in.Data.Train.Label, "label")
		if in.Data.Test != nil {
			in.Data.Test.Label = cmp.Or(in.Data.Test.Label, in.Data.Train.Label)
		}
	}
	if in.Create != nil {
		in.Create.Name = cmp.Or(in.Create.Name, string(in.ModelID))
		in.Create.ModelType = cmp.Or(in.Create.ModelType, "classification")
	}
}

const trainerEmbedded = "embedded"

func (in *TrainModelInput) check(bad *badFields) {
	checkScope(bad, in.Tenant, in.ModelID)
	in.checkData(bad)
	switch in.Trainer.Kind {
	case trainerEmbedded:
	case "process", "ray":
		bad.add("trainer.kind", "%s is not available yet; there is embedded", in.Trainer.Kind)
	default:
		bad.add("trainer.kind", "must be embedded, not %q", in.Trainer.Kind)
	}
	checkObject(bad, "params", in.Params)
	for i, gate := range in.Gates {
		checkGate(bad, fmt.Sprintf("gates.%d", i), gate)
	}
	in.Approval.normalise("approval", bad)
	switch in.Concurrency {
	case ConcurrencyForbid, ConcurrencyQueue, ConcurrencyAllow:
	default:
		bad.add("concurrency", "must be forbid, queue or allow, not %q", in.Concurrency)
	}
	if in.Create != nil {
		checkObject(bad, "create.initial_config", in.Create.InitialConfig)
	}
	if in.Deploy != nil {
		in.Deploy.check(bad)
	}
	if _, err := in.requester(); err != nil {
		*bad = append(*bad, err)
	}
}

// requester is who asks for the training: a claim.
func (in *TrainModelInput) requester() (domain.Actor, error) {
	actor, err := claimed(Sender{By: in.RequestedBy, Actor: in.Actor}, false)
	if bad, ok := errors.AsType[*domain.InvalidInput](err); ok && bad.Field == "by" {
		err = &domain.InvalidInput{Field: "requested_by", Reason: bad.Reason}
	}
	return actor, err
}

func (in *TrainModelInput) checkData(bad *badFields) {
	if in.Data.Train == nil {
		bad.add("data.train.uri", "is required")
	} else if strings.TrimSpace(in.Data.Train.URI) == "" {
		bad.add("data.train.uri", "is required")
	}
	if in.Data.Test != nil && strings.TrimSpace(in.Data.Test.URI) == "" {
		bad.add("data.test.uri", "is required")
	}
}

func (d *TrainDeploy) check(bad *badFields) {
	if !d.Target.Valid() {
		bad.add("deploy.target", "must match [a-z0-9][a-z0-9-]{0,62}, not %q", d.Target)
	}
	d.checkStrategy(bad)
	d.Approval.normalise("deploy.approval", bad)
}

// checkStrategy judges the strategy now, so that a bad one does not cost a training first.
func (d *TrainDeploy) checkStrategy(bad *badFields) {
	if len(d.Strategy) == 0 {
		return
	}
	document, err := parse(d.Strategy)
	if err != nil {
		*bad = append(*bad, err)
		return
	}
	before := len(*bad)
	bad.check("deploy.strategy", document, reflect.TypeFor[rollout.Strategy]())
	if len(*bad) > before {
		return
	}
	var strategy rollout.Strategy
	if err := json.Unmarshal(d.Strategy, &strategy); err != nil {
		bad.add("deploy.strategy", "%s", err.Error())
		return
	}
	bad.addRollout("deploy", strategy.WithDefaults().Validate())
}

// addRollout adds the bad fields that the rollout package names, under a path; its steps[0] is steps.0 here.
func (b *badFields) addRollout(path string, err error) {
	switch e := err.(type) { //nolint:errorlint // walks the joined errors, so that no field is lost
	case nil:
	case *rollout.Invalid:
		b.add(under(path, strings.NewReplacer("[", ".", "]", "").Replace(e.Field)), "%s", e.Reason)
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			b.addRollout(path, part)
		}
	default:
		b.add(path, "%s", err.Error())
	}
}

// checkScope refuses a malformed tenant or model id.
func checkScope(bad *badFields, tenant domain.Tenant, model domain.ModelID) {
	if !tenant.Valid() {
		bad.add("tenant", "must match [a-z0-9][a-z0-9-]{0,62}, not %q", tenant)
	}
	switch {
	case model == "":
		bad.add("model_id", "is required")
	case !model.Valid():
		bad.add("model_id", "must match [a-z0-9][a-z0-9._-]{0,62}, not %q", model)
	}
}

func checkGate(bad *badFields, path string, gate domain.Gate) {
	if strings.TrimSpace(gate.Metric) == "" {
		bad.add(path+".metric", "is required")
	}
	switch gate.Op {
	case ">=", ">", "<=", "<":
	default:
		bad.add(path+".op", "must be >=, >, <= or <, not %q", gate.Op)
	}
	if math.IsNaN(gate.Threshold) || math.IsInf(gate.Threshold, 0) {
		bad.add(path+".threshold", "must be a finite number")
	}
}

func checkObject(bad *badFields, path string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		bad.add(path, "must be an object")
	}
}

// channels are the data sets in order: train, and test where there is one.
func (in *TrainModelInput) channels() []domain.DatasetInfo {
	channels := []domain.DatasetInfo{{URI: in.Data.Train.URI, Label: in.Data.Train.Label}}
	if in.Data.Test != nil {
		channels = append(channels, domain.DatasetInfo{URI: in.Data.Test.URI, Label: in.Data.Test.Label})
	}
	return channels
}

// creation is the command that makes the model, or nil.
func (in *TrainModelInput) creation() *domain.CreateModel {
	if in.Create == nil {
		return nil
	}
	return &domain.CreateModel{
		ModelID: in.ModelID, Name: in.Create.Name, ModelType: in.Create.ModelType, Algorithm: in.Algorithm,
		InitialConfig: in.Create.InitialConfig, Description: in.Create.Description, Tags: in.Create.Tags,
		IntendedPurpose: in.Create.IntendedPurpose,
	}
}
