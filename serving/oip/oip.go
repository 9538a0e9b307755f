// Package oip holds the words of the Open Inference Protocol v2 over REST
// (github.com/kserve/open-inference-protocol, with the model repository extension), as the model server,
// the target driver and the gateway speak it to each other.
//
// What it promises: tensor values stay the bytes that they were until somebody reads them with Floats or
// Strings; an error travels as {"error": "…"} with its HTTP status and never carries a stack trace.
//
// What it does not: it knows no binary tensor extension and no gRPC.
package oip

import (
	"encoding/json"

	"phantom/domain"
)

// Datatypes of tensors.
const (
	FP32  = "FP32"
	Bytes = "BYTES"
)

// The outputs that a classifier of the phantom layout has beside its probabilities, one value a row.
const (
	Label         = "label"         // BYTES [n]: the name of the most probable class
	Confidence    = "confidence"    // FP32 [n]: its probability
	Probabilities = "probabilities" // FP32 [n, classes]
)

// Tensor is one named input or output with its values in row-major order.
type Tensor struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data"`
}

// RequestedOutput names an output that the client wants.
type RequestedOutput struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// InferRequest asks for an inference. Without Outputs all outputs are given.
type InferRequest struct {
	ID         string            `json:"id,omitempty"`
	Parameters json.RawMessage   `json:"parameters,omitempty"`
	Inputs     []Tensor          `json:"inputs"`
	Outputs    []RequestedOutput `json:"outputs,omitempty"`
}

// Rows is the batch size: the first dimension of the first input, 0 when there is none.
func (r *InferRequest) Rows() int64 {
	if len(r.Inputs) == 0 || len(r.Inputs[0].Shape) == 0 {
		return 0
	}
	return r.Inputs[0].Shape[0]
}

// InferResponse answers an InferRequest.
type InferResponse struct {
	ModelName    string                     `json:"model_name"`
	ModelVersion string                     `json:"model_version,omitempty"`
	ID           string                     `json:"id,omitempty"`
	Parameters   map[string]json.RawMessage `json:"parameters,omitempty"`
	Outputs      []Tensor                   `json:"outputs"`
}

// Output returns the output of the name, or nil.
func (r *InferResponse) Output(name string) *Tensor {
	for i := range r.Outputs {
		if r.Outputs[i].Name == name {
			return &r.Outputs[i]
		}
	}
	return nil
}

// Select leaves only the requested outputs, in the order asked for, or names one that is not there.
func (r *InferResponse) Select(wanted []RequestedOutput) (missing string) {
	if len(wanted) == 0 {
		return ""
	}
	chosen := make([]Tensor, 0, len(wanted))
	for _, want := range wanted {
		output := r.Output(want.Name)
		if output == nil {
			return want.Name
		}
		chosen = append(chosen, *output)
	}
	r.Outputs = chosen
	return ""
}

// ModelMetadata describes a loaded model.
type ModelMetadata struct {
	Name     string          `json:"name"`
	Versions []string        `json:"versions,omitempty"`
	Platform string          `json:"platform"`
	Inputs   []domain.Tensor `json:"inputs"`
	Outputs  []domain.Tensor `json:"outputs"`
}

// ServerMetadata describes a server.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// The states of a model in a repository.
const (
	StateReady       = "READY"
	StateUnavailable = "UNAVAILABLE"
)

// RepositoryModel is one line of a repository's index.
type RepositoryModel struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// ServedName is the name under which a version is loaded into a server.
func ServedName(tenant domain.Tenant, model domain.ModelID, version domain.Version) string {
	return string(tenant) + "." + string(model) + ".v" + string(version)
}
