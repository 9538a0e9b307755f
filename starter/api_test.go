package main_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"phantom/access"
	"phantom/api"
	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
)

// house is the real API over a database of its own.
type house struct {
	t        *testing.T
	url      string
	registry *registry.Registry
	runner   *projection.Runner
	pool     *pgxpool.Pool
}

func newHouse(t *testing.T, change ...func(*api.Params)) *house {
	t.Helper()
	pool := pgtest.New(t).Pool(t)
	store := eventstore.New(pool)
	h := &house{t: t, registry: registry.New(store)}
	var err error
	h.runner, err = projection.NewRunner(projection.Params{
		Pool: pool, Feed: store, Projections: readmodel.Projections(), Sweep: 20 * time.Millisecond, Workers: 1,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	tail := eventstore.NewTail(store, eventstore.Lifecycle)
	running.Go(func() { _ = tail.Run(ctx) })
	running.Go(func() { _ = h.runner.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	away, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	artifacts, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, artifacts.Close()) })
	params := api.Params{
		Keys: access.NewKeys(pool), Registry: h.registry, Reader: readmodel.NewReader(pool), Feed: eventstore.NewReader(store, tail), Tail: tail, WaitFor: h.runner.WaitFor, Projections: h.runner, Temporal: away,
		Artifacts: artifacts, MaxArtifact: 1 << 20, Queue: "none", Targets: []domain.Target{"local"}, Version: "devel", Log: zap.NewNop(),
	}
	h.pool = pool
	for _, alter := range change {
		alter(&params)
	}
	h.url = serve(t, api.New(params))
	return h
}

func (h *house) records(commands ...domain.Command) {
	h.t.Helper()
	var last domain.Result
	for _, cmd := range commands {
		var err error
		last, err = h.registry.Handle(h.t.Context(), domain.DefaultTenant, cmd, domain.Meta{Actor: domain.Actor{Subject: "bob", Auth: domain.AuthLocal}})
		require.NoError(h.t, err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	for _, name := range []string{
		readmodel.CatalogueName, readmodel.VersionsName, readmodel.TrainingsName, readmodel.DeploymentsName, readmodel.RolloutsName,
		readmodel.AliasesName, readmodel.SearchName,
	} {
		require.NoError(h.t, h.runner.WaitFor(ctx, name, string(domain.DefaultTenant), last.Position))
	}
}

// lives is the life of a model up to its first canary.
func (h *house) lives(id domain.JobID, first, second domain.RolloutID) {
	const model domain.ModelID = "digits"
	artifact := domain.Digest("sha256:" + strings.Repeat("a", 64))
	h.records(
		domain.StartTraining{
			ModelID: model, TrainingJobID: id, DatasetInfo: []domain.DatasetInfo{{URI: "digits.csv", Label: "label"}},
			TrainingConfig: domain.TrainingConfig{Trainer: "embedded", Algorithm: "mlp", Params: json.RawMessage(`{"epochs":1}`), Seed: 7},
		},
		domain.RecordTrainingProgress{ModelID: model, TrainingJobID: id, Epoch: 1, Step: 1, ProgressPercentage: 100, Metrics: map[string]float64{"loss": 0.5}},
		domain.CompleteTraining{ModelID: model, TrainingJobID: id, FinalMetrics: map[string]float64{"loss": 0.5}, ArtifactsLocation: artifact, TrainingDurationMS: 1500},
		domain.EvaluateCandidate{ModelID: model, TrainingJobID: id, Metrics: map[string]float64{"accuracy": 0.97}, Rows: 10},
		domain.CreateModelVersion{ModelID: model, TrainingJobID: id, ArtifactsLocation: artifact, PerformanceMetrics: map[string]float64{"accuracy": 0.97}},
		domain.CreateModelVersion{ModelID: model, ArtifactsLocation: artifact},
		domain.StartRollout{ModelID: model, RolloutID: first, Version: "1", Target: "local"},
		domain.PromoteRollout{ModelID: model, RolloutID: first, Reason: "initial"},
		domain.StartRollout{ModelID: model, RolloutID: second, Version: "2", Target: "local"},
		domain.ShiftTraffic{ModelID: model, RolloutID: second, Weights: domain.Traffic{"1": 90, "2": 10}},
	)
}

func TestTheRealAPIUnderstandsEveryCommand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, first, second := domain.JobID(uuid.NewString()), domain.RolloutID(uuid.NewString()), domain.RolloutID(uuid.NewString())
	does := func(status int, says string, args ...string) {
		t.Helper()
		c := command{environ: []string{"PHANTOM_GATEWAY_ADDR=127.0.0.1:1"}, in: "inference_id,row,label\ndigits:local:2026-11-23:" + uuid.NewString() + ",0,4\n"}
		r := c.run(t.Context(), t, h.url, args...)
		require.Equal(t, status, r.status, "%v: %s", args, r)
		require.Regexp(t, says, r.out+r.errs, "%v", args)
	}
	does(0, `no models; make one`, "model", "list")
	does(0, `Status +created`, "model", "create", "digits", "--name", "Digits", "--tag", "team=vision", "--config", `{"hidden":32}`, "--purpose", "p")
	does(4, `digits already exists`, "model", "create", "digits")
	does(2, `model_id`, "model", "create", "Digits!")
	does(0, `Config +{"hidden":64}`, "model", "config", "digits", "--set", `{"hidden":64}`, "--reason", "wider")
	does(0, `Tags +stage=a`, "model", "tag", "digits", "stage=a", "team-")
	does(0, `Revision +1\n`, "model", "get", "digits", "--at-revision", "1")
	does(0, `Revision +2\n`, "model", "get", "digits", "--as-of", "2")
	does(3, `model nope not found; .phantom model list`, "model", "get", "nope")
	does(3, `digits has no training yet; .phantom train digits. starts one`, "training", "get", "digits")
	does(3, `model nope not found`, "training", "watch", "nope")
	h.lives(id, first, second)
	does(0, `digits +deployed +2 `, "model", "list", "--status", "deployed", "--tag", "stage=a", "--type", "classification", "--algorithm", "mlp", "--limit", "1")
	does(0, `digits +created +- `, "model", "list", "--as-of", "2")
	does(2, `status`, "model", "list", "--status", "fine")
	does(0, `(?s)2 .*\n1 +- +0.97 `, "model", "versions", "digits", "--limit", "2")
	does(0, `there are more: --cursor `, "model", "versions", "digits", "--limit", "1")
	does(0, `no aliases; `, "alias", "list", "digits")
	does(0, `Version +1\n`, "alias", "set", "digits", "champion", "1", "--new")
	does(4, `alias champion of model digits names version 1; expected was no version`, "alias", "set", "digits", "champion", "2", "--new")
	does(0, `Before +1\n`, "alias", "set", "digits", "@champion", "latest", "--expected", "1", "--reason", "better")
	does(0, `champion +2 +1 .* better`, "alias", "list", "digits")
	does(0, `^2\n$`, "alias", "get", "digits", "champion", "--quiet")
	does(0, `(?s)2 +champion .*\n1 +- `, "model", "versions", "digits")
	does(2, `alias: must match`, "alias", "set", "digits", "latest", "1")
	does(3, `phantom model versions`, "alias", "set", "digits", "champion", "9")
	does(4, `names version 2`, "alias", "delete", "digits", "champion", "--expected", "1")
	does(0, `removed champion`, "alias", "delete", "digits", "@champion")
	does(3, `alias champion of model digits not found; .phantom alias list`, "alias", "get", "digits", "champion")
	does(0, `AliasRemoved +\S+ +alias=champion version=2`, "model", "events", "digits", "--type", "AliasRemoved")
	does(4, `cannot be archived while`, "model", "archive", "digits", "--reason", "old")
	does(4, `must be archived before`, "model", "delete", "digits", "--reason", "old")
	does(2, `retention: is not available yet`, "model", "delete", "digits", "--reason", "old", "--retention", "erase_all")
	does(0, `local +2 +canary +10 %`, "model", "deployments", "digits")
	does(0, `digits +Digits +deployed +2 .*stage=a\n`, "model", "search", "digts", "stag")
	does(0, `(?s)Version +2\n.*Previous +1, .*Rollout +to local, running.*Deployed +at local .*, 10 % of the traffic now`, "model", "lineage", "digits")
	does(0, `(?s)Version +1\n.*Metrics +accuracy 0.97.*Rollout +to local, promoted`, "model", "lineage", "digits", "--version", "1")
	does(0, `no model has these words`, "model", "search", "moon")
	does(2, `q: must have a letter or a digit`, "model", "search", "&")
	does(3, `version latest of model digits not found; .phantom model versions`, "model", "lineage", "digits", "--at-revision", "1")
	does(3, `model nope not found; .phantom model list`, "model", "lineage", "nope")
	does(2, `version: expected .* latest, or an alias`, "model", "lineage", "digits", "--version", "first")
	does(0, string(id)+` +digits +completed +100 % +0.97 +1 `, "model", "trainings", "digits")
	does(0, string(id), "training", "list")
	does(0, `Metrics +accuracy 0.97, loss 0.5`, "training", "get", "digits")
	does(0, `Metrics +accuracy 0.97, loss 0.5`, "training", "get", string(id))
	does(0, `loss +1 +1 +0.5\n`, "training", "metrics", "digits")
	does(2, `max_points`, "training", "metrics", "digits", "--max-points", "1")
	does(3, `training .* not found`, "training", "get", uuid.NewString())
	does(3, `no training belongs to workflow`, "training", "get", "train:default:digits:x")
	does(4, `no workflow runs this training`, "training", "cancel", "digits")
	does(0, `epoch 1/1 loss=0.5`, "training", "logs", "digits", "--follow")
	does(0, string(second)+` +digits +2 +1 +local +running +v1 90 % / v2 10 % `, "rollout", "list", "digits")
	does(0, `Version +2 over 1`, "rollout", "get", "digits")
	does(0, `Why +initial`, "rollout", "get", string(first))
	does(0, `(?s)TrainingStarted.*there are more: --after `, "model", "events", "digits", "--limit", "5", "--after", "1")
	does(0, `ModelVersionCreated +bob +version=1`, "model", "events", "digits", "--type", "ModelVersionCreated", "--type", "RolloutStarted")
	does(0, `catalogue +running +1 +\d+ +0 +0 `, "projection", "list")
	does(0, `(?s)Position +\d+ of \d+.*1 +live +100 %`, "projection", "get", "catalogue")
	does(3, `there is no such projection`, "projection", "get", "moon")
	does(0, `(?s)State +paused.*Why +a new index`, "projection", "pause", "catalogue", "--reason", "a new index")
	does(0, `State +running`, "projection", "resume", "catalogue")
	does(2, `--to is required`, "projection", "rewind", "catalogue")
	does(4, `can be rewound to one from 0 to`, "projection", "rewind", "catalogue", "--to", "99999")
	does(0, `Projection +catalogue`, "projection", "rewind", "catalogue", "--to", "1")
	does(0, `Projection +versions`, "projection", "rebuild", "versions", "--throttle", "1000")
	does(2, `three things`, "projection", "rebuild", "versions", "--back", "--drop")
	does(4, `keeps no former generation`, "projection", "rebuild", "trainings", "--back")
	does(0, `nothing is parked`, "projection", "parked", "catalogue")
	does(0, `applied 0, still parked 0`, "projection", "retry", "catalogue")
	does(2, `TYPE:ID`, "projection", "retry", "catalogue", "--stream", "digits")
	does(0, `(?s)Inferences +0.*local +1 +`, "model", "analytics", "digits")
	does(2, `bucket: .*ask for 2m or more`, "model", "analytics", "digits", "--bucket", "1m")
	does(2, `--from must be a time .* or how long ago`, "model", "analytics", "digits", "--from", "soon")
	does(3, `nope not found`, "model", "analytics", "nope")
	does(0, `recorded 1`, "feedback", "-f", "-")
	does(0, `recorded 1`, "feedback", "digits:local:2026-11-23:"+uuid.NewString()+"#3", "--label", "4")
	does(2, `inference_id`, "feedback", "nonsense", "--label", "4")
	does(2, `bogus.*is not a field`, "train", "digits", "--data", "x.csv", "--param", "a=1", "-f", spec(t, "bogus: 1"))
	does(2, `target`, "deploy", "digits", "--version", "2", "--target", "moon")
	does(2, `weight`, "deploy", "digits", "--version", "2", "--target", "local", "--step", "101:1s")
	does(5, `Temporal does not answer now; try again`, "train", "digits", "--data", "x.csv")
	does(5, `Temporal`, "approvals")
	does(5, `Temporal`, "training", "approve", "train:default:digits:x")
	does(3, `nope not found`, "model", "events", "nope", "--tenant", "other")
	does(3, `digits not found`, "model", "get", "digits", "--tenant", "other")
}

func spec(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spec.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCompletionWorksInEveryShell(t *testing.T) {
	t.Parallel()
	for shell, says := range map[string]string{"bash": "__start_phantom", "zsh": "#compdef phantom", "fish": "complete -c phantom"} {
		r := phantom(t, "http://127.0.0.1:1", "completion", shell)
		require.Equal(t, 0, r.status, r)
		require.Contains(t, r.out, says)
	}
	r := phantom(t, "http://127.0.0.1:1", "__complete", "rollout", "pro")
	require.Contains(t, r.out, "promote")
}
