package activities

import (
	"math"
	"strings"

	"phantom/domain"
	"phantom/training"
)

// spec is the run in the trainer's words.
func (r TrainerRun) spec() training.Spec {
	channel := func(d domain.DatasetInfo) training.Channel {
		return training.Channel{Digest: d.Digest, Format: d.Format, Label: d.Label}
	}
	spec := training.Spec{Algorithm: r.Algorithm, Params: r.Params, Seed: r.Seed}
	if len(r.Data) > 0 {
		spec.Train = channel(r.Data[0])
	}
	if len(r.Data) > 1 {
		spec.Test = new(channel(r.Data[1]))
	}
	return spec
}

// asInputFields renames the fields of a refused spec to those of TrainModel's input.
func asInputFields(err error) error {
	return relocated(err, func(field string) string {
		if strings.HasPrefix(field, "train") || strings.HasPrefix(field, "test") {
			return "data." + field
		}
		return field
	})
}

// finite leaves out what is no number: JSON cannot carry it, and a gate must not see it.
func finite(metrics map[string]float64) map[string]float64 {
	kept := make(map[string]float64, len(metrics))
	for name, value := range metrics {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			kept[name] = value
		}
	}
	return kept
}

func percentage(epoch, epochs int) float64 {
	if epochs <= 0 {
		return 0
	}
	return min(100, 100*float64(epoch)/float64(epochs))
}
