package domain

// Tensor is one named input or output of a model: an Open Inference Protocol datatype ("FP32",
// "INT64", "BYTES") and a shape in which -1 is the batch.
type Tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// Signature is what a version takes and gives.
type Signature struct {
	Inputs  []Tensor `json:"inputs"`
	Outputs []Tensor `json:"outputs"`
}

// ModelVersionCreated is recorded in the MLModel stream; the number is assigned by Decide.
type ModelVersionCreated struct {
	Version            Version            `json:"version"`
	PreviousVersion    Version            `json:"previous_version,omitempty"`
	ArtifactsLocation  Digest             `json:"artifacts_location"`
	PerformanceMetrics map[string]float64 `json:"performance_metrics,omitempty"`
	Signature          *Signature         `json:"signature,omitempty"`
	TrainingJobID      JobID              `json:"training_job_id,omitempty"`
	Modification       string             `json:"modification,omitempty"`
}

// CreateModelVersion asks for ModelVersionCreated; refused when the location is not the job's artifact.
type CreateModelVersion struct {
	ModelID            ModelID            `json:"model_id"`
	ArtifactsLocation  Digest             `json:"artifacts_location"`
	PerformanceMetrics map[string]float64 `json:"performance_metrics,omitempty"`
	Signature          *Signature         `json:"signature,omitempty"`
	TrainingJobID      JobID              `json:"training_job_id,omitempty"`
	Modification       string             `json:"modification,omitempty"`
}
