package modelserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"

	"go.uber.org/zap"

	"phantom/serving/oip"
)

// infer answers a decoded request.
func (s *Server) infer(ctx context.Context, model *instance, request *oip.InferRequest) (*oip.InferResponse, error) {
	values, err := s.values(model, request)
	if err != nil {
		return nil, err
	}
	results, err := s.compute(ctx, model, values)
	if err != nil {
		return nil, err
	}
	response := &oip.InferResponse{ModelName: model.name, ModelVersion: onlyVersion, ID: request.ID}
	rows := int(request.Rows())
	for i, output := range model.outputs {
		data, finite := oip.FloatData(results[i])
		if !finite {
			return nil, oip.Errorf(http.StatusInternalServerError,
				"output %q of model %s is not finite for this input", output.Name, model.name)
		}
		shape := append([]int64{int64(rows)}, output.Shape[1:]...)
		response.Outputs = append(response.Outputs,
			oip.Tensor{Name: output.Name, Datatype: output.Datatype, Shape: shape, Data: data})
	}
	if model.labels != nil {
		response.Outputs = append(response.Outputs, classify(model.labels, results[0])...)
	}
	if missing := response.Select(request.Outputs); missing != "" {
		return nil, oip.Errorf(http.StatusBadRequest, "model %s has no output %q", model.name, missing)
	}
	return response, nil
}

// values holds the request against the signature and reads its numbers.
func (s *Server) values(model *instance, request *oip.InferRequest) ([]float32, error) {
	want := model.meta.Inputs[0]
	if len(request.Inputs) != 1 || request.Inputs[0].Name != want.Name {
		return nil, oip.Errorf(http.StatusBadRequest, "inputs: model %s takes exactly one, %q", model.name, want.Name)
	}
	got := request.Inputs[0]
	if got.Datatype != want.Datatype {
		return nil, oip.Errorf(http.StatusBadRequest, "input %q: datatype %q, the model takes %s",
			got.Name, got.Datatype, want.Datatype)
	}
	fits := len(got.Shape) == len(want.Shape) && got.Shape[0] > 0
	for axis := 1; fits && axis < len(want.Shape); axis++ {
		fits = got.Shape[axis] == want.Shape[axis]
	}
	if !fits {
		return nil, oip.Errorf(http.StatusBadRequest, "input %q: shape %v, the model takes %v",
			got.Name, got.Shape, want.Shape)
	}
	if got.Shape[0] > int64(s.params.MaxRows) {
		return nil, oip.Errorf(http.StatusRequestEntityTooLarge, "input %q: %d rows, at most %d are taken",
			got.Name, got.Shape[0], s.params.MaxRows)
	}
	values, err := oip.Floats(got.Data, int(got.Shape[0])*model.engine.rowIn)
	if err != nil {
		return nil, oip.Errorf(http.StatusBadRequest, "input %q: %s", got.Name, err)
	}
	return values, nil
}

// compute runs the engine with a deadline. The caller's reference is not enough: an overdue inference
// outlives its request, so it holds one of its own.
func (s *Server) compute(ctx context.Context, model *instance, values []float32) ([][]float32, error) {
	if model.overdue.Load() >= maxOverdue {
		return nil, oip.Errorf(http.StatusServiceUnavailable, "model %s hangs; unload it and load it again", model.name)
	}
	ctx, cancel := context.WithTimeout(ctx, s.params.InferTimeout)
	defer cancel()
	select {
	case model.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, oip.Errorf(http.StatusServiceUnavailable, "model %s is busy", model.name)
	}
	model.refs.Add(1)
	var ended atomic.Bool // by whoever comes first: the answer or the deadline
	results := make(chan [][]float32, 1)
	err := s.work.run(ctx, func() error {
		answer, err := model.engine.run(values)
		results <- answer
		return err
	}, func() {
		if !ended.CompareAndSwap(false, true) {
			model.overdue.Add(-1)
		}
		<-model.slots
		model.release()
	})
	switch {
	case errors.Is(err, errOverdue):
		if ended.CompareAndSwap(false, true) {
			model.overdue.Add(1)
		}
		s.params.Log.Error("an inference is overdue", zap.String("model", model.name))
		return nil, oip.Errorf(http.StatusGatewayTimeout, "model %s did not answer in time", model.name)
	case errors.Is(err, errStopped):
		return nil, oip.Errorf(http.StatusServiceUnavailable, "the server has stopped")
	case err != nil:
		s.params.Log.Error("an inference failed", zap.String("model", model.name), zap.Error(err))
		return nil, oip.Errorf(http.StatusInternalServerError, "model %s cannot compute this input", model.name)
	}
	return <-results, nil
}

// classify names the most probable class of each row; of equal ones the first.
func classify(labels []string, probabilities []float32) []oip.Tensor {
	rows := len(probabilities) / len(labels)
	names, confidences := make([]string, rows), make([]float32, rows)
	for row := range rows {
		best := 0
		classes := probabilities[row*len(labels) : (row+1)*len(labels)]
		for class, probability := range classes {
			if probability > classes[best] {
				best = class
			}
		}
		names[row], confidences[row] = labels[best], classes[best]
	}
	// A list of strings always has a JSON form.
	text, _ := json.Marshal(names)
	numbers, _ := oip.FloatData(confidences) // finite: they were looked at as an output
	shape := []int64{int64(rows)}
	return []oip.Tensor{
		{Name: oip.Label, Datatype: oip.Bytes, Shape: shape, Data: text},
		{Name: oip.Confidence, Datatype: oip.FP32, Shape: shape, Data: numbers},
	}
}
