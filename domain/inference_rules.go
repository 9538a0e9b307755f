package domain

import "encoding/json"

func (c RecordInferences) validate(v *checks) {
	v.require(len(c.Inferences) > 0, "inferences", "needs at least one")
	for i, inference := range c.Inferences {
		field := at("inferences", i)
		v.inStream(field+".inference_id", inference.InferenceID, c.Writes())
		v.inference(field, inference)
	}
}

// inStream refuses an id that is malformed or names another stream than the first one of its batch.
func (v *checks) inStream(field string, id InferenceID, batch StreamID) {
	stream, formed := id.Stream()
	switch {
	case !formed:
		v.refuse(field, "must be <model>:<target>:<day>:<uuid>")
	case stream != batch:
		v.refuse(field, "must be of the same model, target and day as the first")
	}
}

func (v *checks) inference(field string, e InferenceMade) {
	stream, _ := e.InferenceID.Stream()
	v.require(stream == InferenceStream(e.ModelID, e.Target, e.InferenceID.Day()), field,
		"model_id and target must be those of the inference_id")
	v.notNegative(field+".row", int64(e.Row))
	v.version(field+".version", e.Version)
	v.json(field+".prediction", e.Prediction)
	v.finite(field+".inference_time_ms", e.InferenceTimeMS)
	v.require(!(e.InferenceTimeMS < 0), field+".inference_time_ms", "must not be negative")
	v.require(outcomeForm.MatchString(e.Outcome), field+".outcome", `must be "ok" or an error class, [a-z][a-z0-9_]{0,31}`)
	v.require(e.SampleRate > 0 && e.SampleRate <= 1, field+".sample_rate", "must be above 0 and at most 1")
	v.text(field+".requested_by", e.RequestedBy, maxName)
	if e.Confidence != nil {
		v.upTo(1, field+".confidence", *e.Confidence)
	}
	// Personal content waits for sealed fields; until then it must not get into the log in clear.
	v.require(len(e.InputFeatures) == 0, field+".input_features", "is not available yet")
	v.require(e.SubjectRef == "", field+".subject_ref", "is not available yet")
}

func (c RecordInferences) decide(Aggregates) ([]Event, error) { //nolint:unparam // every command may refuse
	events := make([]Event, 0, len(c.Inferences))
	for _, inference := range c.Inferences {
		inference.Prediction = canonical(inference.Prediction)
		events = append(events, inference)
	}
	return events, nil
}

func (c RecordFeedback) validate(v *checks) {
	v.require(len(c.Feedback) > 0, "feedback", "needs at least one")
	for i, label := range c.Feedback {
		field := at("feedback", i)
		v.inStream(field+".inference_id", label.InferenceID, c.Writes())
		v.notNegative(field+".row", int64(label.Row))
		v.label(field+".label", label.Label)
		v.require(!label.LabelledAt.IsZero(), field+".labelled_at", "is required")
		v.text(field+".source", label.Source, maxName)
	}
}

func (v *checks) label(field string, label json.RawMessage) {
	if len(label) == 0 {
		v.refuse(field, "is required")
		return
	}
	v.scalar(field, label)
}

func (c RecordFeedback) decide(Aggregates) ([]Event, error) { //nolint:unparam // every command may refuse
	events := make([]Event, 0, len(c.Feedback))
	for _, label := range c.Feedback {
		label.Label = canonical(label.Label)
		label.LabelledAt = label.LabelledAt.Round(0).UTC()
		events = append(events, label)
	}
	return events, nil
}
