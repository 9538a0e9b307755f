package domain

// AliasAssigned is recorded in the MLModel stream: the alias names the version from now on.
type AliasAssigned struct {
	Alias           Alias   `json:"alias"`
	Version         Version `json:"version"`
	PreviousVersion Version `json:"previous_version,omitempty"` // that it named before; empty when it was free
	Reason          string  `json:"reason,omitempty"`
}

// AliasRemoved is recorded in the MLModel stream: the alias names nothing from now on.
type AliasRemoved struct {
	Alias   Alias   `json:"alias"`
	Version Version `json:"version"` // that it named
	Reason  string  `json:"reason,omitempty"`
}

// AssignAlias asks for AliasAssigned; refused for a version that the model does not have, and as *Stale
// when Expected is given and the alias names another version. A version that it names already changes
// nothing.
type AssignAlias struct {
	ModelID ModelID    `json:"model_id"`
	Alias   Alias      `json:"alias"`
	Version VersionRef `json:"version"`
	// Expected is the version that the caller believes the alias names: empty for none, nil for any.
	Expected *Version `json:"expected,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// RemoveAlias asks for AliasRemoved; refused when the alias names nothing, and as *Stale when Expected is
// given and the alias names another version.
type RemoveAlias struct {
	ModelID  ModelID  `json:"model_id"`
	Alias    Alias    `json:"alias"`
	Expected *Version `json:"expected,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}
