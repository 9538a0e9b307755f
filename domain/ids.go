package domain

import (
	"regexp"
	"strings"

	"github.com/google/uuid"
)

type (
	// Tenant is the owner of models, events and keys: [a-z0-9][a-z0-9-]{0,62}.
	Tenant string
	// ModelID names a model within its tenant: [a-z0-9][a-z0-9._-]{0,62}.
	ModelID string
	// Version is an immutable trained model's number in decimal: "1", "2", …; never reused.
	Version string
	// Target is a named place to serve from: [a-z0-9][a-z0-9-]{0,62}.
	Target string
	// JobID identifies one run of a trainer; a UUID in text.
	JobID string
	// RolloutID identifies one way of a version into a target; a UUID in text.
	RolloutID string
	// Digest is the content address of an artifact: "sha256:" and 64 lower-case hex digits.
	Digest string
)

// DefaultTenant owns what is made when no tenant is named.
const DefaultTenant Tenant = "default"

// AggregateType names one of the four aggregates.
type AggregateType string

// The aggregates. Their names are stored with every event.
const (
	TypeMLModel      AggregateType = "MLModel"
	TypeTrainingJob  AggregateType = "TrainingJob"
	TypeRollout      AggregateType = "Rollout"
	TypeInferenceLog AggregateType = "InferenceLog"
)

// StreamID names one aggregate's stream of events within a tenant.
type StreamID struct {
	Type AggregateType
	ID   string
}

// ModelStream is the stream of the model itself.
func ModelStream(m ModelID) StreamID { return StreamID{TypeMLModel, string(m)} }

// TrainingStream is the stream of one training job of a model.
func TrainingStream(m ModelID, j JobID) StreamID {
	return StreamID{TypeTrainingJob, string(m) + "/" + string(j)}
}

// RolloutStream is the stream of one rollout of a model.
func RolloutStream(m ModelID, r RolloutID) StreamID {
	return StreamID{TypeRollout, string(m) + "/" + string(r)}
}

// InferenceStream is the stream of one UTC day (2006-01-02) of a model's inferences at a target.
func InferenceStream(m ModelID, t Target, day string) StreamID {
	return StreamID{TypeInferenceLog, string(m) + "/" + string(t) + "/" + day}
}

// Model returns the model that a stream belongs to.
func (s StreamID) Model() ModelID {
	model, _, _ := strings.Cut(s.ID, "/")
	return ModelID(model)
}

var (
	tenantForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	versionForm = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
	digestForm  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	tagForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$`)
	outcomeForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	dayForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
)

// Valid reports whether the tenant has its form.
func (t Tenant) Valid() bool { return tenantForm.MatchString(string(t)) }

// Valid reports whether the model id has its form.
func (m ModelID) Valid() bool { return modelForm.MatchString(string(m)) }

// Valid reports whether the version has its form.
func (v Version) Valid() bool { return versionForm.MatchString(string(v)) }

// Valid reports whether the target has its form.
func (t Target) Valid() bool { return tenantForm.MatchString(string(t)) }

// Valid reports whether the job id is a UUID in its canonical text form.
func (j JobID) Valid() bool { return canonicalUUID(string(j)) }

// Valid reports whether the rollout id is a UUID in its canonical text form.
func (r RolloutID) Valid() bool { return canonicalUUID(string(r)) }

// Valid reports whether the digest has its form.
func (d Digest) Valid() bool { return digestForm.MatchString(string(d)) }

func canonicalUUID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}

// InferenceID names one answered request: <model>:<target>:<day>:<uuid>, so that feedback finds its
// stream without a lookup. Rows of a batch are named <id>#<row>.
type InferenceID string

// NewInferenceID joins the parts of an inference id; day is a UTC day, 2006-01-02.
func NewInferenceID(m ModelID, t Target, day string, id uuid.UUID) InferenceID {
	return InferenceID(strings.Join([]string{string(m), string(t), day, id.String()}, ":"))
}

// Stream returns the stream that the inference was recorded in, or false when the id is malformed.
func (i InferenceID) Stream() (StreamID, bool) {
	parts := strings.Split(string(i), ":")
	if len(parts) != 4 || !ModelID(parts[0]).Valid() || !Target(parts[1]).Valid() ||
		!dayForm.MatchString(parts[2]) || !canonicalUUID(parts[3]) {
		return StreamID{}, false
	}
	return InferenceStream(ModelID(parts[0]), Target(parts[1]), parts[2]), true
}

// Day returns the UTC day of the inference, 2006-01-02, or nothing when the id is malformed.
func (i InferenceID) Day() string {
	if _, formed := i.Stream(); !formed {
		return ""
	}
	return strings.Split(string(i), ":")[2]
}
