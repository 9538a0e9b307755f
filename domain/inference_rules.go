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
	v.captured(field+".input_features", e.InputFeatures)
	v.content(field+".input_features.clear", e.InputFeatures.Clear)
	v.captured(field+".prediction", e.Prediction)
	v.json(field+".prediction.clear", e.Prediction.Clear)
	v.finite(field+".inference_time_ms", e.InferenceTimeMS)
	v.require(!(e.InferenceTimeMS < 0), field+".inference_time_ms", "must not be negative")
	v.require(outcomeForm.MatchString(e.Outcome), field+".outcome", `must be "ok" or an error class, [a-z][a-z0-9_]{0,31}`)
	v.require(e.SampleRate > 0 && e.SampleRate <= 1, field+".sample_rate", "must be above 0 and at most 1")
	v.text(field+".requested_by", e.RequestedBy, maxName)
	if e.Confidence != nil {
		v.upTo(1, field+".confidence", *e.Confidence)
	}
	v.require(e.SubjectRef == "" || e.SubjectRef.Valid(), field+".subject_ref", "must match [A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}")
}

func (c RecordInferences) decide(Aggregates) ([]Event, error) { //nolint:unparam // every command may refuse
	events := make([]Event, 0, len(c.Inferences))
	for _, inference := range c.Inferences {
		inference.InputFeatures.Clear = canonical(inference.InputFeatures.Clear)
		inference.Prediction.Clear = canonical(inference.Prediction.Clear)
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
