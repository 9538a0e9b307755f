package readmodel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/readmodel"
)

// What many tenants have done is applied in one transaction, and leaves the rows that it leaves tenant by tenant.
func TestManyTenantsAtOnceLeaveTheSameRows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var town []*gambler
	for seed := range uint64(4) {
		w := h.world(domain.Tenant(fmt.Sprintf("neighbour-%d", seed)))
		town = append(town, &gambler{world: w, random: rand.New(rand.NewPCG(seed, 2))})
	}
	for range 25 {
		for _, g := range town {
			for range 8 {
				_ = g.try(g.command())
			}
		}
		h.catchUp(1, 500)
	}
	h.catchUp(2, 4)
	for _, g := range town {
		live := h.rows(g.tenant, 1)
		require.NotEmpty(t, live["version"])
		require.Equal(t, h.rows(g.tenant, 2), live, "tenant %s", g.tenant)
	}
}

// Whatever commands come, in whatever batches, every answer is what the aggregate says, and a rebuild
// gives the same rows, history included.
func TestReadModelsSayWhatTheAggregatesSay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	type moment struct {
		position int64
		model    domain.Model
	}
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := h.world(domain.Tenant(fmt.Sprintf("tenant-%d", seed)))
		g := &gambler{world: w, random: random}
		var history []moment
		for range 200 {
			if w.try(g.command()) == nil && random.IntN(10) == 0 && w.head > 0 {
				history = append(history, moment{w.head, snapshot(w.model("m0"))})
			}
			if random.IntN(60) == 0 {
				h.catchUp(1, 5+random.IntN(20))
			}
		}
		h.catchUp(1, 500)
		h.catchUp(2, 4)
		h.catchUp(3, 500)
		live := h.rows(w.tenant, 1)
		require.NotEmpty(t, live["model"], "seed %d", seed)
		require.Equal(t, live, h.rows(w.tenant, 2), "seed %d, a rebuild in small batches", seed)
		require.Equal(t, live, h.rows(w.tenant, 3), "seed %d, a rebuild in one batch", seed)
		for id, m := range w.models {
			if m.Exists() {
				w.agree(m, w.getModel(id, 0), fmt.Sprintf("seed %d, model %s", seed, id))
				w.agreeOnParts(m, fmt.Sprintf("seed %d, model %s", seed, id))
			}
		}
		for _, then := range history {
			if then.model.Exists() {
				where := fmt.Sprintf("seed %d as of %d", seed, then.position)
				w.agree(&then.model, w.getModel("m0", then.position), where)
				w.agreeOnAliases(&then.model, then.position, where)
			}
		}
	}
}

// snapshot is a copy that later events do not reach.
func snapshot(m *domain.Model) domain.Model {
	c := *m
	c.Versions, c.Jobs = slices.Clone(m.Versions), cloned(m.Jobs)
	c.Deployed, c.Tags, c.Aliases = cloned(m.Deployed), cloned(m.Tags), cloned(m.Aliases)
	return c
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	c := map[K]V{} // and so never nil
	maps.Copy(c, m)
	return c
}

func (w *world) agree(m *domain.Model, answer readmodel.Model, where string) {
	w.t.Helper()
	require.Equal(w.t, m.Status(), answer.Status, where)
	require.Equal(w.t, m.Revision, answer.Revision, where)
	require.Len(w.t, m.ActiveTrainings(), answer.ActiveTrainings, where)
	require.ElementsMatch(w.t, m.DeployedTargets(), answer.DeployedTargets, where)
	require.EqualValues(w.t, len(m.Versions), answer.Counts.Versions, where)
	require.EqualValues(w.t, len(m.Jobs), answer.Counts.Trainings, where)
	require.Equal(w.t, m.Description, answer.Description, where)
	require.Equal(w.t, cloned(m.Tags), answer.Tags, where)
	if len(m.Versions) == 0 {
		require.Nil(w.t, answer.CurrentVersion, where)
	} else {
		require.Equal(w.t, m.LatestVersion(), *answer.CurrentVersion, where)
	}
	if len(m.Config) == 0 {
		require.Empty(w.t, answer.Config, where)
	} else {
		require.JSONEq(w.t, string(m.Config), string(answer.Config), where)
	}
}

// agreeOnParts compares versions, trainings, rollouts and deployments.
func (w *world) agreeOnParts(m *domain.Model, where string) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, v := range m.Versions {
		answer, err := w.reader.GetVersion(ctx, w.tenant, m.ID, v.Version, 0)
		require.NoError(w.t, err, where)
		var targets []domain.Target
		for _, target := range sortedKeys(m.Deployed) {
			if m.Deployed[target].Version == v.Version {
				targets = append(targets, target)
			}
		}
		require.ElementsMatch(w.t, targets, answer.DeployedTargets, "%s version %s", where, v.Version)
	}
	w.agreeOnAliases(m, 0, where)
	for id, job := range m.Jobs {
		answer, err := w.reader.GetTraining(ctx, w.tenant, id, 0)
		require.NoError(w.t, err, where)
		require.Equal(w.t, string(job.State), string(answer.State), where)
		state := entry(w.trainings, domain.TrainingStream(m.ID, id))
		require.Equal(w.t, state.Epoch, answer.Epoch, where)
		require.Equal(w.t, state.Evaluation != nil, answer.Evaluation != nil, where)
		require.Equal(w.t, state.Approval.Requested != nil, answer.Approval != nil, where)
		if state.Approval.Decided != nil {
			require.Equal(w.t, string(state.Approval.Decided.Decision), string(answer.Approval.State), where)
		}
	}
	for id, end := range m.EndedRollouts {
		answer, err := w.reader.GetRollout(ctx, w.tenant, id, 0)
		require.NoError(w.t, err, where)
		require.Equal(w.t, end == domain.RolloutEndPromoted, answer.State == readmodel.RolloutPromoted, where)
		require.Equal(w.t, end == domain.RolloutEndRolledBack, answer.State == readmodel.RolloutRolledBack, where)
	}
	for _, running := range m.Rollouts {
		answer, err := w.reader.GetRollout(ctx, w.tenant, running.ID, 0)
		require.NoError(w.t, err, where)
		require.Equal(w.t, readmodel.RolloutRunning, answer.State, where)
		state := entry(w.rollouts, domain.RolloutStream(m.ID, running.ID))
		require.Len(w.t, answer.Traffic, int(state.RouteGeneration), where)
	}
	w.agreeOnTraffic(m, where)
}

// agreeOnAliases asks the list, each alias, and each version for the aliases that name it.
func (w *world) agreeOnAliases(m *domain.Model, asOf int64, where string) {
	w.t.Helper()
	ctx := w.t.Context()
	listed := map[domain.Alias]domain.Version{}
	for _, a := range all(w.t, 2, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Alias], error) {
		return w.reader.ListAliases(ctx, w.tenant, m.ID, asOf, p)
	}) {
		listed[a.Alias] = a.Version
	}
	require.Equal(w.t, cloned(m.Aliases), listed, where)
	named := map[domain.Alias]domain.Version{}
	for _, v := range m.Versions {
		answer, err := w.reader.GetVersion(ctx, w.tenant, m.ID, v.Version, asOf)
		require.NoError(w.t, err, where)
		require.IsIncreasing(w.t, append([]domain.Alias{""}, answer.Aliases...), where)
		for _, alias := range answer.Aliases {
			named[alias] = v.Version
		}
	}
	require.Equal(w.t, cloned(m.Aliases), named, where)
	for _, alias := range []domain.Alias{"champion", "challenger", "x-1"} {
		answer, err := w.reader.GetAlias(ctx, w.tenant, m.ID, alias, asOf)
		if version, assigned := m.Aliases[alias]; assigned {
			require.NoError(w.t, err, where)
			require.Equal(w.t, version, answer.Version, where)
		} else {
			require.ErrorIs(w.t, err, domain.ErrNotFound, where)
		}
	}
}

func (w *world) agreeOnTraffic(m *domain.Model, where string) {
	w.t.Helper()
	weights, deployed := map[domain.Target]int{}, map[domain.Target]domain.Version{}
	for _, d := range all(w.t, 3, func(ctx context.Context, p readmodel.Paging) (readmodel.Page[readmodel.Deployment], error) {
		return w.reader.ListDeployments(ctx, w.tenant, readmodel.DeploymentFilter{ModelID: m.ID, Current: true}, p)
	}) {
		weights[d.Target] += d.Weight
		if d.State == readmodel.DeploymentDeployed {
			require.NotContains(w.t, deployed, d.Target, where)
			deployed[d.Target] = d.Version
		}
	}
	for target, sum := range weights {
		require.Equal(w.t, 100, sum, "%s: the weights at %s", where, target)
	}
	standing := map[domain.Target]domain.Version{}
	for target, d := range m.Deployed {
		standing[target] = d.Version
	}
	require.Equal(w.t, standing, deployed, where)
}

// gambler draws commands that often make sense where the world stands.
type gambler struct {
	*world

	random *rand.Rand
}

func pick[E any](g *gambler, from ...E) E { return from[g.random.IntN(len(from))] }

func (g *gambler) command() domain.Command {
	id := pick(g, domain.ModelID("m0"), "m0", "m0", "m1", "m1", "m2")
	m := g.model(id)
	switch {
	case !m.Exists():
		return domain.CreateModel{ModelID: id, Name: "N", ModelType: "t", Algorithm: "a", Tags: map[string]string{"team": "x"}}
	case g.random.IntN(120) == 0 && id != "m0":
		return pick[domain.Command](g, domain.ArchiveModel{ModelID: id, Reason: "old"}, domain.DeleteModel{
			ModelID: id, Reason: "old", DataRetentionPolicy: domain.RetentionPolicy{Kind: domain.RetentionRetain},
		})
	}
	switch g.random.IntN(6) {
	case 0:
		return g.describing(id)
	case 5:
		return g.aliasing(id)
	case 1, 2:
		return g.training(m, id)
	default:
		return g.deploying(m, id)
	}
}

func (g *gambler) describing(id domain.ModelID) domain.Command {
	value := pick(g, "x", "y")
	switch g.random.IntN(3) {
	case 0:
		config := fmt.Sprintf(`{"hidden":%d}`, g.random.IntN(9))
		return domain.UpdateModelConfiguration{ModelID: id, NewConfig: json.RawMessage(config), ChangeReason: "try"}
	case 1:
		return domain.UpdateModelMetadata{ModelID: id, Tags: map[string]*string{pick(g, "team", "tier"): pick(g, &value, nil)}}
	default:
		return domain.UpdateModelMetadata{ModelID: id, Description: &value}
	}
}

func (g *gambler) aliasing(id domain.ModelID) domain.Command {
	alias := pick(g, domain.Alias("champion"), "challenger", "x-1")
	if g.random.IntN(4) == 0 {
		return domain.RemoveAlias{ModelID: id, Alias: alias, Reason: "try"}
	}
	return domain.AssignAlias{ModelID: id, Alias: alias, Version: pick(g, domain.VersionRef("1"), "2", "latest", "@champion")}
}

func (g *gambler) training(m *domain.Model, id domain.ModelID) domain.Command {
	known := sortedKeys(m.Jobs)
	if len(known) == 0 || g.random.IntN(4) == 0 {
		job := domain.JobID(uuid.NewString())
		return domain.StartTraining{
			ModelID: id, TrainingJobID: job, Concurrent: g.random.IntN(2) == 0,
			TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp"}, DatasetInfo: []domain.DatasetInfo{{URI: "u"}},
		}
	}
	job := pick(g, known...)
	subject := domain.Subject{TrainingJobID: job}
	epoch := g.trainings[domain.TrainingStream(id, job)]
	next := 1
	if epoch != nil {
		next = epoch.Epoch + 1
	}
	score := map[string]float64{"accuracy": g.random.Float64()}
	return pick[domain.Command](g,
		domain.RecordTrainingProgress{ModelID: id, TrainingJobID: job, Epoch: next, Step: int64(next), ProgressPercentage: min(100, float64(next)), Metrics: score},
		domain.CompleteTraining{ModelID: id, TrainingJobID: job, ArtifactsLocation: artifact("a"), FinalMetrics: score},
		domain.CompleteTraining{ModelID: id, TrainingJobID: job, ArtifactsLocation: artifact("a"), FinalMetrics: score},
		domain.FailTraining{ModelID: id, TrainingJobID: job, FailureReason: pick(g, domain.FailureFailed, domain.FailureCancelled)},
		domain.EvaluateCandidate{ModelID: id, TrainingJobID: job, Metrics: score, Rows: 3},
		domain.RequestApproval{ModelID: id, Subject: subject, RequestedBy: g.by, ExpiresAt: g.now.Add(time.Hour)},
		domain.DecideApproval{ModelID: id, Subject: subject, By: g.by, Decision: pick(g, domain.Approved, domain.Rejected)},
		domain.CreateModelVersion{ModelID: id, ArtifactsLocation: artifact("a"), TrainingJobID: job, PerformanceMetrics: score},
	)
}

func (g *gambler) deploying(m *domain.Model, id domain.ModelID) domain.Command {
	if len(m.Versions) < 3 {
		return domain.CreateModelVersion{ModelID: id, ArtifactsLocation: artifact("b")}
	}
	target := pick(g, domain.Target("prod"), "local")
	version := pick(g, m.Versions...).Version
	running, runs := m.Rollouts[target]
	if !runs {
		return pick[domain.Command](g,
			domain.StartRollout{ModelID: id, RolloutID: domain.RolloutID(uuid.NewString()), Version: version, Target: target},
			domain.StartRollout{ModelID: id, RolloutID: domain.RolloutID(uuid.NewString()), Version: version, Target: target},
			domain.DeployModel{ModelID: id, Version: version, DeploymentTarget: target, DeploymentConfig: json.RawMessage(pick(g, `{}`, `{"a":1}`))},
			domain.UndeployModel{ModelID: id, DeploymentTarget: target},
		)
	}
	weight := 10 * g.random.IntN(11)
	weights := domain.Traffic{running.Version: 100}
	if running.Champion != "" {
		weights = domain.Traffic{running.Version: weight, running.Champion: 100 - weight}
	}
	subject := domain.Subject{RolloutID: running.ID}
	shift := domain.ShiftTraffic{ModelID: id, RolloutID: running.ID, Weights: weights}
	return pick[domain.Command](g, shift, shift, shift,
		domain.AssessRollout{ModelID: id, RolloutID: running.ID, Step: 1, Verdict: domain.VerdictPassed},
		domain.RequestApproval{ModelID: id, Subject: subject, RequestedBy: g.by, ExpiresAt: g.now.Add(time.Hour)},
		domain.DecideApproval{ModelID: id, Subject: subject, By: g.by, Decision: domain.Approved},
		domain.PromoteRollout{ModelID: id, RolloutID: running.ID},
		domain.RollBackRollout{ModelID: id, RolloutID: running.ID, Reason: "worse"},
	)
}
