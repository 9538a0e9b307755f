package sealing

import (
	"crypto/sha256"

	"phantom/domain"
)

// Kind is what a data key is of.
type Kind string

// The kinds of keys.
const (
	Subject Kind = "subject"
	Model   Kind = "model"
)

// Scope names a data key within its tenant: of a person, or of a model and one UTC day of its inferences.
type Scope struct {
	Kind Kind
	Name string // the subject_ref or the model_id
	Day  string // of a model, 2006-01-02; empty of a subject
}

// scopeOf is whose key seals the inference: the person's that it is about, if it says so. The day is that
// of the inference's id, so that it is the same however late it is recorded.
func scopeOf(e *domain.InferenceMade) Scope {
	if e.SubjectRef != "" {
		return Scope{Kind: Subject, Name: string(e.SubjectRef)}
	}
	return Scope{Kind: Model, Name: string(e.ModelID), Day: e.InferenceID.Day()}
}

// binding is what is wrapped beside a data key: a wrapped key that was copied to another row, of a person
// who is still there for one who was erased, is not taken for that row's.
func binding(tenant domain.Tenant, keyID string, scope Scope) []byte {
	sum := sha256.Sum256(joined("phantom data key 1", string(tenant), keyID, string(scope.Kind), scope.Name, scope.Day))
	return sum[:]
}
