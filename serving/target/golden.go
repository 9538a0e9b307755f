package target

import (
	"context"
	"errors"
	"fmt"
	"math"

	"phantom/artifact"
	"phantom/serving/oip"
)

// Golden sends the golden rows through the server and holds the first output against what the trained
// model gave. A difference is ErrRefused.
func (t *Target) Golden(ctx context.Context, name string, golden artifact.Golden) error {
	if len(golden.Inputs) == 0 || len(golden.Inputs) != len(golden.Outputs) || !(golden.Tolerance >= 0) {
		return fmt.Errorf("%w: the golden rows of %s are incomplete", ErrRefused, name)
	}
	meta, err := t.Metadata(ctx, name)
	if err != nil {
		return err
	}
	if len(meta.Inputs) != 1 {
		return fmt.Errorf("%w: %s takes %d inputs at %s; golden rows are for one", ErrRefused, name, len(meta.Inputs), t.name)
	}
	request, err := goldenRequest(meta, golden)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, name, err)
	}
	response, err := t.Infer(ctx, name, request)
	if err != nil {
		return err
	}
	if err := compare(response, golden); err != nil {
		return fmt.Errorf("%w: the golden test of %s at %s differs: %w", ErrRefused, name, t.name, err)
	}
	return nil
}

func goldenRequest(meta oip.ModelMetadata, golden artifact.Golden) (oip.InferRequest, error) {
	input := meta.Inputs[0]
	shape := append([]int64{int64(len(golden.Inputs))}, input.Shape[min(1, len(input.Shape)):]...)
	var values []float32
	for _, row := range golden.Inputs {
		values = append(values, row...)
	}
	data, finite := oip.FloatData(values)
	if !finite {
		return oip.InferRequest{}, errors.New("a golden input is not finite")
	}
	return oip.InferRequest{ID: "golden", Inputs: []oip.Tensor{
		{Name: input.Name, Datatype: input.Datatype, Shape: shape, Data: data},
	}}, nil
}

func compare(response oip.InferResponse, golden artifact.Golden) error {
	if len(response.Outputs) == 0 {
		return errors.New("there is no output")
	}
	width := len(golden.Outputs[0])
	values, err := oip.Floats(response.Outputs[0].Data, len(golden.Outputs)*width)
	if err != nil {
		return err
	}
	for row, want := range golden.Outputs {
		if len(want) != width {
			return fmt.Errorf("golden row %d has %d outputs, the first %d", row, len(want), width)
		}
		for i := range want {
			got := values[row*width+i]
			if difference := math.Abs(float64(got) - float64(want[i])); !(difference <= golden.Tolerance) {
				return fmt.Errorf("row %d value %d is %g, it should be %g within %g", row, i, got, want[i], golden.Tolerance)
			}
		}
	}
	return nil
}
