package domain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

func (c CreateModel) validate(v *checks) {
	v.model(c.ModelID)
	v.needed("name", c.Name, maxName)
	v.needed("model_type", c.ModelType, maxName)
	v.needed("algorithm", c.Algorithm, maxName)
	v.object("initial_config", c.InitialConfig)
	v.text("description", c.Description, maxDescription)
	v.text("intended_purpose", c.IntendedPurpose, maxDescription)
	v.require(len(c.Tags) <= maxTags, "tags", tooManyTags)
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		value := c.Tags[key]
		v.tag(key, &value)
	}
}

const tooManyTags = "a model has at most 64 tags"

func (c CreateModel) decide(a Aggregates) ([]Event, error) {
	if a.Model.Exists() {
		return nil, &AlreadyExists{Kind: "model", ID: string(c.ModelID)}
	}
	return []Event{ModelCreated{
		Name: c.Name, ModelType: c.ModelType, Algorithm: c.Algorithm, InitialConfig: canonical(c.InitialConfig),
		Description: c.Description, Tags: maps.Clone(c.Tags), IntendedPurpose: c.IntendedPurpose,
	}}, nil
}

func (c UpdateModelConfiguration) validate(v *checks) {
	v.model(c.ModelID)
	v.object("new_config", c.NewConfig)
	v.require(len(c.NewConfig) > 0 && !isNull(c.NewConfig), "new_config", "is required")
	v.needed("change_reason", c.ChangeReason, maxReason)
}

func isNull(raw json.RawMessage) bool {
	value, err := parseJSON(raw)
	return err == nil && value == nil
}

func (c UpdateModelConfiguration) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.active(c.ModelID); err != nil {
		return nil, err
	}
	if sameJSON(a.Model.Config, c.NewConfig) {
		return nil, nil
	}
	return []Event{ModelConfigurationUpdated{
		PreviousConfig: a.Model.Config, NewConfig: canonical(c.NewConfig), ChangeReason: c.ChangeReason,
	}}, nil
}

func (c UpdateModelMetadata) validate(v *checks) {
	v.model(c.ModelID)
	if c.Description != nil {
		v.text("description", *c.Description, maxDescription)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		v.tag(key, c.Tags[key])
	}
}

func (c UpdateModelMetadata) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.alive(c.ModelID); err != nil {
		return nil, err
	}
	var changed ModelMetadataUpdated
	if c.Description != nil && *c.Description != a.Model.Description {
		changed.Description = c.Description
	}
	tags := len(a.Model.Tags)
	for key, value := range c.Tags {
		present, has := a.Model.Tags[key]
		switch {
		case value == nil && has:
			tags--
		case value != nil && !has:
			tags++
		case value == nil || present == *value:
			continue
		}
		put(&changed.Tags, key, value)
	}
	if tags > maxTags {
		return nil, &InvalidInput{Field: "tags", Reason: tooManyTags}
	}
	if changed.Description == nil && len(changed.Tags) == 0 {
		return nil, nil
	}
	return []Event{changed}, nil
}

func (c ArchiveModel) validate(v *checks) {
	v.model(c.ModelID)
	v.needed("reason", c.Reason, maxReason)
}

func (c ArchiveModel) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.active(c.ModelID); err != nil {
		return nil, err
	}
	switch {
	case len(m.ActiveTrainings()) > 0:
		return nil, m.busy("job %s runs", m.ActiveTrainings()[0], "CompleteTraining", "FailTraining")
	case len(m.Rollouts) > 0:
		return nil, m.busy("a rollout runs at %s", firstKey(m.Rollouts), "PromoteRollout", "RollBackRollout")
	case len(m.Deployed) > 0:
		return nil, m.busy("it is deployed at %s", firstKey(m.Deployed), "UndeployModel")
	}
	return []Event{ModelArchived{Reason: c.Reason}}, nil
}

// busy refuses to archive.
func (m Model) busy(why string, what any, allowed ...string) error {
	return &InvalidState{
		Reason:  fmt.Sprintf("model %s cannot be archived while "+why, m.ID, what),
		Current: string(m.Status()), Allowed: allowed,
	}
}

func firstKey[V any](m map[Target]V) Target {
	var first Target
	for key := range m {
		if first == "" || key < first {
			first = key
		}
	}
	return first
}

func (c DeleteModel) validate(v *checks) {
	v.model(c.ModelID)
	v.needed("reason", c.Reason, maxReason)
	switch c.DataRetentionPolicy.Kind {
	case RetentionRetain, RetentionEraseArtifacts, RetentionEraseAll:
	default:
		v.refuse("data_retention_policy.kind", "must be retain, erase_artifacts or erase_all")
	}
	v.duration("data_retention_policy.delay", c.DataRetentionPolicy.Delay)
}

func (c DeleteModel) decide(a Aggregates) ([]Event, error) {
	if err := a.Model.alive(c.ModelID); err != nil {
		return nil, err
	}
	if !a.Model.Archived {
		return nil, &InvalidState{
			Reason:  fmt.Sprintf("model %s must be archived before it is deleted", c.ModelID),
			Current: string(a.Model.Status()), Allowed: []string{"ArchiveModel"},
		}
	}
	return []Event{ModelDeleted{Reason: c.Reason, DataRetentionPolicy: c.DataRetentionPolicy}}, nil
}

// alive refuses what does not exist or is deleted.
func (m Model) alive(id ModelID) error {
	if !m.Exists() {
		return &NotFound{Kind: "model", ID: string(id)}
	}
	if m.Deleted {
		return &InvalidState{Reason: fmt.Sprintf("model %s cannot be changed", id), Current: string(StatusDeleted)}
	}
	return nil
}

// active refuses what is not alive or is archived.
func (m Model) active(id ModelID) error {
	if err := m.alive(id); err != nil {
		return err
	}
	if m.Archived {
		return &InvalidState{
			Reason:  fmt.Sprintf("model %s cannot be changed", id),
			Current: string(StatusArchived), Allowed: []string{"UpdateModelMetadata", "DeleteModel"},
		}
	}
	return nil
}
