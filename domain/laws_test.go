package domain_test

import (
	"strconv"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// laws is a second, naive account of a model's history, kept without any of the domain's states. Each
// event must be lawful when it comes:
//
//	L1  nothing comes before ModelCreated, which comes once, and nothing after ModelDeleted
//	L2  versions are 1, 2, 3, …, and previous_version is the one before
//	L3  a job starts once, ends once, and tells progress only in between, never backwards
//	L4  a target has at most one running rollout; a rollout starts once and ends once
//	L5  a deployed version exists; what is undeployed was deployed; a rollback restores what serves
//	L6  weights are positive, sum to 100, belong to candidate and champion; generations count from 1
//	L7  a model is archived only when nothing runs or serves, and nothing starts afterwards
//	L8  a candidate is evaluated once, after its job; a decision follows its request, once
//	L9  an alias names a version that exists; what it named before is recorded; what is removed was there
type laws struct {
	created, archived, deleted bool
	versions                   int
	jobs                       map[domain.JobID]string // running, completed, failed
	progress                   map[domain.StreamID]domain.TrainingProgressUpdated
	evaluated                  map[domain.StreamID]bool
	asked                      map[domain.StreamID]string // requested, approved, rejected
	rollouts                   map[domain.RolloutID]domain.RolloutStarted
	running                    map[domain.Target]domain.RolloutID
	generation                 map[domain.StreamID]int64
	deployed                   map[domain.Target]domain.Version
	aliases                    map[domain.Alias]domain.Version
}

func newLaws() *laws {
	return &laws{
		jobs:       make(map[domain.JobID]string),
		progress:   make(map[domain.StreamID]domain.TrainingProgressUpdated),
		evaluated:  make(map[domain.StreamID]bool),
		asked:      make(map[domain.StreamID]string),
		rollouts:   make(map[domain.RolloutID]domain.RolloutStarted),
		running:    make(map[domain.Target]domain.RolloutID),
		generation: make(map[domain.StreamID]int64),
		deployed:   make(map[domain.Target]domain.Version),
		aliases:    make(map[domain.Alias]domain.Version),
	}
}

func (l *laws) hold(t require.TestingT, r domain.Recorded) {
	_, creates := r.Event.(domain.ModelCreated)
	require.NotEqual(t, creates, l.created, "L1 %T", r.Event)
	require.False(t, l.deleted, "L1 %T", r.Event)
	switch e := r.Event.(type) {
	case domain.ModelCreated:
		l.created = true
	case domain.ModelVersionCreated:
		require.False(t, l.archived, "L7")
		require.Equal(t, number(l.versions), e.PreviousVersion, "L2")
		l.versions++
		require.Equal(t, number(l.versions), e.Version, "L2")
		if e.TrainingJobID != "" {
			require.Equal(t, "completed", l.jobs[e.TrainingJobID])
			require.Contains(t, []string{"", "approved"}, l.asked[domain.TrainingStream("digits", e.TrainingJobID)])
		}
	case domain.TrainingStarted, domain.TrainingCompleted, domain.TrainingFailed,
		domain.TrainingProgressUpdated, domain.CandidateEvaluated:
		l.training(t, r)
	case domain.ApprovalRequested, domain.ApprovalDecided:
		l.approval(t, r)
	case domain.RolloutStarted, domain.RolloutPromoted, domain.RolloutRolledBack, domain.TrafficShifted, domain.RolloutAssessed:
		l.rollout(t, r)
	case domain.ModelDeployed:
		require.False(t, l.archived, "L7")
		l.exists(t, e.Version)
		require.Empty(t, l.running[e.DeploymentTarget], "L4")
		l.deployed[e.DeploymentTarget] = e.Version
	case domain.ModelUndeployed:
		require.Empty(t, l.running[e.DeploymentTarget], "L4")
		require.Equal(t, l.deployed[e.DeploymentTarget], e.Version, "L5")
		delete(l.deployed, e.DeploymentTarget)
	case domain.AliasAssigned:
		require.False(t, l.archived, "L7")
		l.exists(t, e.Version)
		require.Equal(t, l.aliases[e.Alias], e.PreviousVersion, "L9")
		require.NotEqual(t, e.Version, e.PreviousVersion, "L9")
		l.aliases[e.Alias] = e.Version
	case domain.AliasRemoved:
		require.False(t, l.archived, "L7")
		require.Contains(t, l.aliases, e.Alias, "L9")
		require.Equal(t, l.aliases[e.Alias], e.Version, "L9")
		delete(l.aliases, e.Alias)
	case domain.ModelArchived:
		require.False(t, l.archived, "L7")
		require.Empty(t, l.deployed, "L7")
		require.Empty(t, l.running, "L7")
		for _, state := range l.jobs {
			require.NotEqual(t, "running", state, "L7")
		}
		l.archived = true
	case domain.ModelDeleted:
		require.True(t, l.archived)
		l.deleted = true
	case domain.ModelConfigurationUpdated:
		require.False(t, l.archived)
		require.NotEqual(t, string(e.PreviousConfig), string(e.NewConfig))
	case domain.ModelMetadataUpdated, domain.InferenceMade, domain.FeedbackRecorded:
	}
}

func (l *laws) training(t require.TestingT, r domain.Recorded) {
	require.False(t, l.archived && r.Stream.Type == domain.TypeMLModel, "L7")
	switch e := r.Event.(type) {
	case domain.TrainingStarted:
		require.Empty(t, l.jobs[e.TrainingJobID], "L3")
		for _, state := range l.jobs {
			require.False(t, state == "running" && !e.Concurrent, "L3")
		}
		l.jobs[e.TrainingJobID] = "running"
	case domain.TrainingCompleted:
		require.Equal(t, "running", l.jobs[e.TrainingJobID], "L3")
		l.jobs[e.TrainingJobID] = "completed"
	case domain.TrainingFailed:
		require.Equal(t, "running", l.jobs[e.TrainingJobID], "L3")
		l.jobs[e.TrainingJobID] = "failed"
	case domain.TrainingProgressUpdated:
		require.Equal(t, "running", l.jobs[jobOf(r.Stream)], "L3")
		last := l.progress[r.Stream]
		require.False(t, e.Epoch < last.Epoch || e.Step < last.Step || e.ProgressPercentage < last.ProgressPercentage, "L3")
		l.progress[r.Stream] = e
	case domain.CandidateEvaluated:
		require.Equal(t, "completed", l.jobs[jobOf(r.Stream)], "L8")
		require.False(t, l.evaluated[r.Stream], "L8")
		l.evaluated[r.Stream] = true
		passed := true
		for _, gate := range e.Gates {
			passed = passed && gate.Passed
			require.False(t, gate.Passed && gate.Value == nil)
		}
		require.Equal(t, passed, e.Passed)
	default:
	}
}

func (l *laws) approval(t require.TestingT, r domain.Recorded) {
	if r.Stream.Type == domain.TypeRollout {
		started := l.rollouts[rolloutOf(r.Stream)]
		require.Equal(t, rolloutOf(r.Stream), l.running[started.Target], "L8")
	} else {
		require.True(t, l.evaluated[r.Stream], "L8")
	}
	switch e := r.Event.(type) {
	case domain.ApprovalRequested:
		require.Empty(t, l.asked[r.Stream], "L8")
		l.asked[r.Stream] = "requested"
	case domain.ApprovalDecided:
		require.Equal(t, "requested", l.asked[r.Stream], "L8")
		l.asked[r.Stream] = string(e.Decision)
	default:
	}
}

func (l *laws) rollout(t require.TestingT, r domain.Recorded) {
	switch e := r.Event.(type) {
	case domain.RolloutStarted:
		require.False(t, l.archived, "L7")
		require.NotContains(t, l.rollouts, e.RolloutID, "L4")
		require.Empty(t, l.running[e.Target], "L4")
		l.exists(t, e.Version)
		require.Equal(t, l.deployed[e.Target], e.PreviousVersion, "L5")
		require.NotEqual(t, e.Version, e.PreviousVersion)
		l.rollouts[e.RolloutID] = e
		l.running[e.Target] = e.RolloutID
	case domain.RolloutPromoted:
		require.Equal(t, e.RolloutID, l.running[e.Target], "L4")
		require.Contains(t, []string{"", "approved"}, l.asked[domain.RolloutStream("digits", e.RolloutID)])
		delete(l.running, e.Target)
	case domain.RolloutRolledBack:
		require.Equal(t, e.RolloutID, l.running[e.Target], "L4")
		require.Equal(t, l.deployed[e.Target], e.RestoredVersion, "L5")
		delete(l.running, e.Target)
	case domain.TrafficShifted:
		started := l.rollouts[rolloutOf(r.Stream)]
		require.Equal(t, rolloutOf(r.Stream), l.running[e.Target], "L6")
		l.generation[r.Stream]++
		require.Equal(t, l.generation[r.Stream], e.RouteGeneration, "L6")
		require.Equal(t, 100, e.Weights.Sum(), "L6")
		for version, weight := range e.Weights {
			require.Positive(t, weight, "L6")
			require.Contains(t, []domain.Version{started.Version, started.PreviousVersion}, version, "L6")
		}
	case domain.RolloutAssessed:
		started := l.rollouts[rolloutOf(r.Stream)]
		require.Equal(t, rolloutOf(r.Stream), l.running[started.Target], "L4")
	default:
	}
}

func (l *laws) exists(t require.TestingT, v domain.Version) {
	n, err := strconv.Atoi(string(v))
	require.NoError(t, err, "L5")
	require.True(t, n >= 1 && n <= l.versions, "L5 version %s", v)
}

// status is the rule of the design, read off the naive account.
func (l *laws) status() domain.Status {
	states := map[string]int{}
	for _, state := range l.jobs {
		states[state]++
	}
	switch {
	case !l.created:
		return ""
	case l.deleted:
		return domain.StatusDeleted
	case l.archived:
		return domain.StatusArchived
	case states["running"] > 0:
		return domain.StatusTraining
	case len(l.deployed) > 0:
		return domain.StatusDeployed
	case l.versions > 0 || states["completed"] > 0:
		return domain.StatusTrained
	default:
		return domain.StatusCreated
	}
}

func number(version int) domain.Version {
	if version == 0 {
		return ""
	}
	return domain.Version(strconv.Itoa(version))
}

func jobOf(s domain.StreamID) domain.JobID { return domain.JobID(s.ID[len("digits/"):]) }

func rolloutOf(s domain.StreamID) domain.RolloutID { return domain.RolloutID(s.ID[len("digits/"):]) }
