package domain

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Model is the state of an MLModel stream. The zero value is a model that does not exist.
//
// It is saved as JSON, see MarshalState; a json.RawMessage that is nil is left out, as null would come back as text.
//
// Invariants: Versions[i].Version is i+1; every deployed version and every alias's is among them; a target has at most
// one running rollout; an archived model has no running job, no rollout and no deployment.
type Model struct {
	ID              ModelID
	Name            string
	Type            string
	Algorithm       string
	Config          json.RawMessage `json:"config,omitempty"` // canonical JSON, or nil
	Description     string
	Tags            map[string]string
	IntendedPurpose string
	Versions        []ModelVersion // oldest first
	Jobs            map[JobID]Job
	Deployed        map[Target]Deployment
	Rollouts        map[Target]RunningRollout
	EndedRollouts   map[RolloutID]RolloutEnd
	Aliases         map[Alias]Version
	Archived        bool
	Deleted         bool
	Revision        int64
}

// ModelVersion is one registered version of a model.
type ModelVersion struct {
	Version            Version
	PreviousVersion    Version
	ArtifactsLocation  Digest
	PerformanceMetrics map[string]float64
	Signature          *Signature
	TrainingJobID      JobID
	Modification       string
	Revision           int64 // of the model when it was registered
}

// Job is a training job as the model's stream knows it.
type Job struct {
	State             JobState
	Config            TrainingConfig
	DatasetInfo       []DatasetInfo
	Concurrent        bool
	ArtifactsLocation Digest // once completed
	FinalMetrics      map[string]float64
	Revision          int64 // of the model when it started
}

// JobState is where a training job stands.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobCompleted JobState = "completed"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Deployment is what a target serves.
type Deployment struct {
	Version    Version
	Previous   Version         // served before it there; empty for the first
	Config     json.RawMessage `json:"config,omitempty"`
	RolloutID  RolloutID       // empty when no rollout brought it
	Revision   int64           // of the model when it was deployed
	DeployedAt time.Time       // when that occurred
}

// RunningRollout is a rollout that has started and not ended.
type RunningRollout struct {
	ID           RolloutID
	Version      Version // the candidate
	Champion     Version // empty for a first deployment
	Target       Target
	Strategy     json.RawMessage `json:"strategy,omitempty"`
	ObserveAfter int64
	Revision     int64 // of the model when it started
}

// RolloutEnd is how a rollout ended.
type RolloutEnd string

// The ends of a rollout.
const (
	RolloutEndPromoted   RolloutEnd = "promoted"
	RolloutEndRolledBack RolloutEnd = "rolled back"
)

// Status is derived from a model's state, never set.
type Status string

// The statuses, in the order in which they hide each other, from the last to the first.
const (
	StatusCreated  Status = "created"
	StatusTrained  Status = "trained"
	StatusDeployed Status = "deployed"
	StatusTraining Status = "training"
	StatusArchived Status = "archived"
	StatusDeleted  Status = "deleted"
)

// Exists tells whether the stream has an event. A deleted model exists: its id stays taken.
func (m Model) Exists() bool { return m.Revision > 0 }

// Status is deleted, else archived, else training (a job runs), else deployed (at any target), else
// trained (a version or a completed job), else created; empty for a model that does not exist.
func (m Model) Status() Status {
	switch {
	case !m.Exists():
		return ""
	case m.Deleted:
		return StatusDeleted
	case m.Archived:
		return StatusArchived
	case len(m.ActiveTrainings()) > 0:
		return StatusTraining
	case len(m.Deployed) > 0:
		return StatusDeployed
	case len(m.Versions) > 0 || m.anyCompleted():
		return StatusTrained
	default:
		return StatusCreated
	}
}

// ActiveTrainings are the jobs that run, oldest first.
func (m Model) ActiveTrainings() []JobID {
	var running []JobID
	for id, job := range m.Jobs {
		if job.State == JobRunning {
			running = append(running, id)
		}
	}
	slices.SortFunc(running, func(a, b JobID) int { return int(m.Jobs[a].Revision - m.Jobs[b].Revision) })
	return running
}

// DeployedTargets are the targets that serve the model, sorted.
func (m Model) DeployedTargets() []Target { return slices.Sorted(maps.Keys(m.Deployed)) }

// Champion is the version that the target serves, or empty.
func (m Model) Champion(t Target) Version { return m.Deployed[t].Version }

// LatestVersion is the newest version, or empty.
func (m Model) LatestVersion() Version {
	if len(m.Versions) == 0 {
		return ""
	}
	return m.Versions[len(m.Versions)-1].Version
}

// Version finds a version by its number.
func (m Model) Version(v Version) (ModelVersion, bool) {
	number, err := strconv.Atoi(string(v))
	if err != nil || number < 1 || number > len(m.Versions) {
		return ModelVersion{}, false
	}
	return m.Versions[number-1], m.Versions[number-1].Version == v
}

// RunningRollout finds a rollout that runs.
func (m Model) RunningRollout(id RolloutID) (RunningRollout, bool) {
	for _, running := range m.Rollouts {
		if running.ID == id {
			return running, true
		}
	}
	return RunningRollout{}, false
}

func (m Model) anyCompleted() bool {
	for _, job := range m.Jobs {
		if job.State == JobCompleted {
			return true
		}
	}
	return false
}

func (m Model) nextVersion() Version { return Version(strconv.Itoa(len(m.Versions) + 1)) }
