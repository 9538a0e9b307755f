package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"phantom/domain"
	"phantom/training"
)

// The algorithms of this backend.
const (
	perceptron = "mlp"
	logistic   = "logistic_regression"
)

// The bounds of what a job may ask for.
const (
	maxEpochs     = 10_000
	maxBatch      = 65_536
	maxLayers     = 8
	maxWidth      = 4_096
	maxParameters = 10_000_000
)

// params of a job, with the defaults filled in. Logistic regression has no hidden layers.
type params struct {
	Hidden       []int   `json:"hidden,omitempty"`     // widths of the hidden layers
	Activation   string  `json:"activation,omitempty"` // of the hidden layers; "relu"
	Epochs       int     `json:"epochs"`
	LearningRate float64 `json:"learning_rate"`
	BatchSize    int     `json:"batch_size"`
	Optimizer    string  `json:"optimizer"`    // "adam"
	WeightDecay  float64 `json:"weight_decay"` // decoupled from the gradient, as in AdamW; biases do not decay
}

// parseParams reads a spec's params strictly. An error joins one *domain.InvalidInput a bad field.
func parseParams(spec training.Spec) (params, error) {
	p := params{Epochs: 20, LearningRate: 0.001, BatchSize: 32, Optimizer: "adam"}
	fields := map[string]any{
		"epochs": &p.Epochs, "learning_rate": &p.LearningRate, "batch_size": &p.BatchSize,
		"optimizer": &p.Optimizer, "weight_decay": &p.WeightDecay,
	}
	switch spec.Algorithm {
	case logistic:
	case perceptron:
		p.Hidden, p.Activation = []int{64, 32}, "relu"
		fields["hidden"], fields["activation"] = &p.Hidden, &p.Activation
	default:
		return params{}, invalid("algorithm", `expected "mlp" or "logistic_regression"`)
	}
	if err := decode(spec.Params, fields); err != nil {
		return params{}, err
	}
	return p, p.check(spec.Algorithm == perceptron)
}

func decode(raw json.RawMessage, fields map[string]any) error {
	if len(raw) == 0 {
		return nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return invalid("params", "expected a JSON object")
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		field, known := fields[name]
		if !known {
			errs = append(errs, invalid("params."+name, fmt.Sprintf("unknown; known are %v", slices.Sorted(maps.Keys(fields)))))
			continue
		}
		if err := json.Unmarshal(given[name], field); err != nil || string(given[name]) == "null" {
			errs = append(errs, invalid("params."+name, "expected "+form(field)))
		}
	}
	return errors.Join(errs...)
}

func form(field any) string {
	switch field.(type) {
	case *int:
		return "an integer"
	case *float64:
		return "a number"
	case *[]int:
		return "a list of integers"
	default:
		return "a string"
	}
}

func (p params) check(layered bool) error {
	var errs []error
	require := func(ok bool, field, reason string) {
		if !ok {
			errs = append(errs, invalid("params."+field, reason))
		}
	}
	require(within(p.Epochs, maxEpochs), "epochs", fmt.Sprintf("expected 1 to %d", maxEpochs))
	require(within(p.BatchSize, maxBatch), "batch_size", fmt.Sprintf("expected 1 to %d", maxBatch))
	require(p.LearningRate > 0 && p.LearningRate <= math.MaxFloat32, "learning_rate", "expected a number above 0")
	require(p.WeightDecay >= 0 && p.WeightDecay <= math.MaxFloat32, "weight_decay", "expected a number of at least 0")
	require(p.Optimizer == "adam", "optimizer", `only "adam" is known`)
	if !layered {
		return errors.Join(errs...)
	}
	require(p.Activation == "relu", "activation", `only "relu" is known`)
	require(within(len(p.Hidden), maxLayers), "hidden", fmt.Sprintf("expected 1 to %d layers", maxLayers))
	for _, width := range p.Hidden {
		require(within(width, maxWidth), "hidden", fmt.Sprintf("expected widths of 1 to %d", maxWidth))
	}
	return errors.Join(errs...)
}

func within(n, largest int) bool { return n >= 1 && n <= largest }

func invalid(field, reason string) error {
	return fmt.Errorf("%w: %w", training.ErrInvalidSpec, &domain.InvalidInput{Field: field, Reason: reason})
}
