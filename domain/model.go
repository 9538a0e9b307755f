package domain

import "encoding/json"

// ModelCreated begins a model's stream.
type ModelCreated struct {
	Name            string            `json:"name"`
	ModelType       string            `json:"model_type"`
	Algorithm       string            `json:"algorithm"`
	InitialConfig   json.RawMessage   `json:"initial_config,omitempty"`
	Description     string            `json:"description,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	IntendedPurpose string            `json:"intended_purpose,omitempty"`
}

// ModelConfigurationUpdated replaces the model's configuration.
type ModelConfigurationUpdated struct {
	PreviousConfig json.RawMessage `json:"previous_config,omitempty"`
	NewConfig      json.RawMessage `json:"new_config"`
	ChangeReason   string          `json:"change_reason"`
}

// ModelMetadataUpdated carries only what changed; a tag with a null value is removed.
type ModelMetadataUpdated struct {
	Description *string            `json:"description,omitempty"`
	Tags        map[string]*string `json:"tags,omitempty"`
}

// ModelArchived ends a model's work; its history and artifacts stay.
type ModelArchived struct {
	Reason string `json:"reason"`
}

// ModelDeleted ends a model's life; its id stays taken.
type ModelDeleted struct {
	Reason              string          `json:"reason"`
	DataRetentionPolicy RetentionPolicy `json:"data_retention_policy"`
}

// RetentionPolicy says what becomes of a deleted model's data, and after which delay (a Go duration).
type RetentionPolicy struct {
	Kind  Retention `json:"kind"`
	Delay string    `json:"delay,omitempty"`
}

// Retention is a kind of retention policy.
type Retention string

// The retention policies.
const (
	RetentionRetain         Retention = "retain"
	RetentionEraseArtifacts Retention = "erase_artifacts"
	RetentionEraseAll       Retention = "erase_all"
)

// CreateModel asks for ModelCreated; refused with ErrAlreadyExists when the id was ever used.
type CreateModel struct {
	ModelID         ModelID           `json:"model_id"`
	Name            string            `json:"name"`
	ModelType       string            `json:"model_type"`
	Algorithm       string            `json:"algorithm"`
	InitialConfig   json.RawMessage   `json:"initial_config,omitempty"`
	Description     string            `json:"description,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	IntendedPurpose string            `json:"intended_purpose,omitempty"`
}

// UpdateModelConfiguration asks for ModelConfigurationUpdated; an equal configuration changes nothing.
type UpdateModelConfiguration struct {
	ModelID      ModelID         `json:"model_id"`
	NewConfig    json.RawMessage `json:"new_config"`
	ChangeReason string          `json:"change_reason"`
}

// UpdateModelMetadata asks for ModelMetadataUpdated; what equals the present state is left out.
type UpdateModelMetadata struct {
	ModelID     ModelID            `json:"model_id"`
	Description *string            `json:"description,omitempty"`
	Tags        map[string]*string `json:"tags,omitempty"`
}

// ArchiveModel asks for ModelArchived; refused while deployed, in rollout or in training.
type ArchiveModel struct {
	ModelID ModelID `json:"model_id"`
	Reason  string  `json:"reason"`
}

// DeleteModel asks for ModelDeleted; refused unless archived.
type DeleteModel struct {
	ModelID             ModelID         `json:"model_id"`
	Reason              string          `json:"reason"`
	DataRetentionPolicy RetentionPolicy `json:"data_retention_policy"`
}
