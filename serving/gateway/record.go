package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"phantom/domain"
	"phantom/serving/oip"
)

// record logs the inference as its deployment says. Only a durable log can fail: then nobody may rely on
// the answer, because it is not in the log.
func (g *Gateway) record(ctx context.Context, made *inference, events []domain.InferenceMade) error {
	switch made.route.settings.Logging {
	case LogOff:
	case LogDurable:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.params.RecordTimeout)
		defer cancel()
		if err := g.log.store(ctx, made.tenant, events, made.at); err != nil {
			g.params.Log.Error("an inference could not be logged", zap.String("id", string(made.id)), zap.Error(err))
			g.counts.logged.WithLabelValues(string(made.tenant), fateDropped).Add(float64(len(events)))
			return oip.Errorf(http.StatusServiceUnavailable, "the inference could not be logged, so it is not answered; try again")
		}
		g.counts.logged.WithLabelValues(string(made.tenant), fateRecorded).Add(float64(len(events)))
	case LogAsync, LogSample:
		if made.sampled {
			g.log.add(made.tenant, events, made.at) //nolint:contextcheck // A row outlives its request.
		}
	}
	return nil
}

// events are the rows of an inference. Each has the latency of the whole request.
func (i *inference) events() []domain.InferenceMade {
	events := make([]domain.InferenceMade, i.rows)
	for row := range events {
		events[row] = domain.InferenceMade{
			InferenceID: i.id, Row: row, ModelID: i.route.Model, Version: i.version, Target: i.route.Target,
			InferenceTimeMS: float64(i.took.Microseconds()) / 1000, Outcome: i.outcome,
			SampleRate: i.route.settings.Sample, RequestedBy: i.actor.Subject, SubjectRef: i.subject,
		}
	}
	if i.route.settings.Capture == CaptureFull && i.outcome != outcomeBadRequest {
		for row, inputs := range inputsByRow(i.inputs, i.rows) {
			events[row].InputFeatures = inputs
		}
	}
	if i.outcome != outcomeOK || i.route.settings.Capture == CaptureMetadata {
		return events
	}
	predictions, confidences := predict(i.response, i.rows)
	for row := range events {
		if row < len(predictions) {
			events[row].Prediction = domain.InClear(predictions[row])
		}
		if row < len(confidences) {
			events[row].Confidence = widened(confidences[row])
		}
	}
	return events
}

// predict finds each row's prediction: the label with its confidence, else the only number of the first
// output, else of several probabilities the index of the greatest. Nothing is logged of an output of
// another form.
func predict(response *oip.InferResponse, rows int) (predictions []json.RawMessage, confidences []float32) {
	if label := response.Output(oip.Label); label != nil {
		if json.Unmarshal(label.Data, &predictions) != nil || len(predictions) != rows {
			return nil, nil
		}
		if confidence := response.Output(oip.Confidence); confidence != nil {
			if values, err := oip.Floats(confidence.Data, rows); err == nil {
				confidences = values
			}
		}
		return predictions, confidences
	}
	first := response.Outputs[0]
	width := 1
	for _, dim := range first.Shape[min(1, len(first.Shape)):] {
		if width *= int(min(max(dim, 0), maxAnswer)); width < 1 || width > maxAnswer {
			return nil, nil
		}
	}
	values, err := oip.Floats(first.Data, rows*width)
	switch {
	case err != nil:
		return nil, nil
	case width == 1:
		return numbers(values), nil
	case first.Name != oip.Probabilities:
		return nil, nil
	}
	classes := make([]float32, rows)
	confidences = make([]float32, rows)
	for row := range rows {
		for class, value := range values[row*width : (row+1)*width] {
			if class == 0 || value > confidences[row] {
				classes[row], confidences[row] = float32(class), value
			}
		}
	}
	return numbers(classes), confidences
}

// widened gives a float32 the float64 that is written with the same digits.
func widened(value float32) *float64 {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(float64(value), 'g', -1, 32), 64)
	if err != nil {
		return nil
	}
	return &wide
}

func numbers(values []float32) []json.RawMessage {
	texts := make([]json.RawMessage, len(values))
	for i, value := range values {
		one, _ := oip.FloatData([]float32{value}) // read from JSON, so it is finite
		texts[i] = one[1 : len(one)-1]
	}
	return texts
}
