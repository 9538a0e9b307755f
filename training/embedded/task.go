package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
)

// task is a spec with its data in hand: all that decides what the artifact will be.
type task struct {
	spec    training.Spec // normal: the defaults of its params are written out
	params  params
	sizes   []int // of the layers: features, hidden …, classes
	columns []string
	classes []string
	train   samples
	heldOut samples
}

// samples are rows with the number of the class of each.
type samples struct {
	rows   [][]float32
	labels []int
}

// prepare checks a spec and reads its data; what can never run is a training.ErrInvalidSpec.
func prepare(ctx context.Context, store *artifact.Store, spec training.Spec) (*task, error) {
	spec, p, err := normal(spec)
	if err != nil {
		return nil, err
	}
	table, err := load(ctx, store, "data.train", spec.Train)
	if err != nil {
		return nil, err
	}
	classes := table.Classes()
	if len(classes) < 2 || len(classes) > training.MaxClasses {
		return nil, invalid("data.train.label",
			fmt.Sprintf("the column holds %d classes; expected 2 to %d", len(classes), training.MaxClasses))
	}
	train, heldOut := training.Split(table)
	if spec.Test != nil {
		train = table
		if heldOut, err = load(ctx, store, "data.test", *spec.Test); err != nil {
			return nil, err
		}
		if !slices.Equal(table.Columns, heldOut.Columns) {
			return nil, invalid("data.test", "the columns are not those of data.train, in their order")
		}
	}
	if len(train.Rows) == 0 || len(heldOut.Rows) == 0 {
		return nil, invalid("data.train", fmt.Sprintf("%d rows are too few to learn from one part and hold the other out", len(table.Rows)))
	}
	t := &task{spec: spec, params: p, columns: table.Columns, classes: classes}
	if t.train, err = encode(train, classes, "data.train", spec.Train.Label); err != nil {
		return nil, err
	}
	if t.heldOut, err = encode(heldOut, classes, "data.test", spec.Train.Label); err != nil {
		return nil, err
	}
	t.sizes = slices.Concat([]int{len(t.columns)}, p.Hidden, []int{len(classes)})
	if n := parameters(t.sizes); n > maxParameters {
		return nil, invalid("params.hidden", fmt.Sprintf("%d parameters; at most %d", n, maxParameters))
	}
	return t, nil
}

// normal fills in the defaults, so that specs that mean the same are the same.
func normal(spec training.Spec) (training.Spec, params, error) {
	p, err := parseParams(spec)
	if err != nil {
		return training.Spec{}, params{}, err
	}
	if spec.Params, err = json.Marshal(p); err != nil {
		return training.Spec{}, params{}, fmt.Errorf("encode the params: %w", err)
	}
	return spec, p, nil
}

func load(ctx context.Context, store *artifact.Store, field string, c training.Channel) (*training.Table, error) {
	table, err := training.Load(ctx, store, c)
	if err == nil {
		return table, nil
	}
	err = training.Under(field, err)
	if errors.Is(err, domain.ErrInvalidInput) {
		return nil, fmt.Errorf("%w: %w", training.ErrInvalidSpec, err)
	}
	return nil, fmt.Errorf("%s: %w", field, err)
}

func encode(t *training.Table, classes []string, field, label string) (samples, error) {
	number := make(map[string]int, len(classes))
	for i, class := range classes {
		number[class] = i
	}
	s := samples{rows: t.Rows, labels: make([]int, len(t.Labels))}
	for i, class := range t.Labels {
		n, known := number[class]
		if !known {
			return samples{}, invalid(field, fmt.Sprintf("row %d, column %s: a class that the training rows do not have", i+1, label))
		}
		s.labels[i] = n
	}
	return s, nil
}
