package domain

import (
	"encoding/json"
	"time"
)

// InferenceMade is one answered row, recorded in the InferenceLog stream that its id names.
type InferenceMade struct {
	InferenceID     InferenceID `json:"inference_id"`
	Row             int         `json:"row"`
	ModelID         ModelID     `json:"model_id"`
	Version         Version     `json:"version"`
	Target          Target      `json:"target"`
	InputFeatures   Content     `json:"input_features,omitzero"` // of the row; in the log never in clear
	Prediction      Content     `json:"prediction,omitzero"`     // class or number; in the log sealed where there is a subject
	Confidence      *float64    `json:"confidence,omitempty"`    // 0 to 1
	InferenceTimeMS float64     `json:"inference_time_ms"`
	Outcome         string      `json:"outcome"` // "ok" or an error class: "timeout", "unavailable", "bad_request", "internal"
	SampleRate      float64     `json:"sample_rate"`
	RequestedBy     string      `json:"requested_by,omitempty"`
	SubjectRef      SubjectRef  `json:"subject_ref,omitempty"`
}

// FeedbackRecorded is the true label of one row, recorded beside its inference.
type FeedbackRecorded struct {
	InferenceID InferenceID     `json:"inference_id"`
	Row         int             `json:"row"`
	Label       json.RawMessage `json:"label"`
	LabelledAt  time.Time       `json:"labelled_at"`
	Source      string          `json:"source"`
}

// RecordInferences asks for InferenceMade; all of one stream. Rows already stored are dropped.
type RecordInferences struct {
	Inferences []InferenceMade `json:"inferences"`
}

// RecordFeedback asks for FeedbackRecorded; all of one stream. Labels already stored are dropped.
type RecordFeedback struct {
	Feedback []FeedbackRecorded `json:"feedback"`
}
