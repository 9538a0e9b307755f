package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"phantom/activities"
	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/serving/target"
)

// place is two targets, local and prod, of one server; and the gateways before it.
type place struct {
	*canary
	env    *testsuite.TestActivityEnvironment
	files  []artifact.File
	broken error // of the bundle
	loads  error
	golden error

	mu      sync.Mutex
	calls   []string
	lagging [][]string // what Lagging answers, one after the other; then nobody lags
	asked   []int64
}

func newPlace(t *testing.T) *place {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	p := &place{canary: newCanary(t), env: suite.NewTestActivityEnvironment(), files: []artifact.File{
		{Name: artifact.SignatureFile, Body: []byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,64]}],"outputs":[]}`)},
		{Name: artifact.GoldenFile, Body: []byte(`{"inputs":[[1],[2]],"outputs":[[1],[2]],"tolerance":0.001}`)},
	}}
	p.env.RegisterActivity(&activities.Deployment{Models: p.registry, Targets: p, Bundles: p, Log: &memoryLog{store: p.store}, Routes: p})
	p.env.RegisterActivity(&activities.Serving{Models: p.registry, Targets: p, Bundles: p, Routes: p})
	p.env.RegisterActivity(&activities.Routing{Commands: p.registry, Routes: p})
	return p
}

func (p *place) Names() []domain.Target { return []domain.Target{"local", "prod"} }

func (p *place) Target(name domain.Target) (activities.ServingTarget, bool) {
	return p, slices.Contains(p.Names(), name)
}

func (p *place) Sharing(domain.Target) []domain.Target { return p.Names() }

func (p *place) CheckConfig(config json.RawMessage) error {
	if string(config) == `{"logging":"sometimes"}` {
		return &domain.InvalidInput{Field: "deployment_config.logging", Reason: "is not off, async or durable"}
	}
	return nil
}

func (p *place) GetBundle(context.Context, domain.Digest) ([]artifact.File, error) {
	return p.files, p.broken
}

func (p *place) Head(ctx context.Context, tenant domain.Tenant) (int64, error) {
	return p.store.Head(ctx, string(tenant), eventstore.Lifecycle)
}

func (p *place) Lagging(_ context.Context, _ domain.Tenant, position int64) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, position)
	if len(p.lagging) == 0 {
		return nil, nil
	}
	names := p.lagging[0]
	p.lagging = p.lagging[1:]
	return names, nil
}

func (p *place) called(what, name string, err error) error {
	p.calls = append(p.calls, what+" "+name)
	return err
}

func (p *place) Load(_ context.Context, name string, _ []artifact.File) error {
	return p.called("load", name, p.loads)
}
func (p *place) Ready(_ context.Context, name string) error { return p.called("ready", name, nil) }
func (p *place) CheckSignature(_ context.Context, name string, want domain.Signature) error {
	return p.called("signature", fmt.Sprint(name, " of ", len(want.Inputs)), nil)
}

func (p *place) Golden(_ context.Context, name string, golden artifact.Golden) error {
	return p.called("golden", fmt.Sprint(name, " of ", len(golden.Inputs)), p.golden)
}

func (p *place) Unload(_ context.Context, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.called(fmt.Sprintf("after %d asks unload", len(p.asked)), name, nil)
}

// call runs one activity.
func call[R any](p *place, name string, in any) (R, error) {
	p.t.Helper()
	var result R
	value, err := p.env.ExecuteActivity(name, in)
	if err != nil {
		return result, err
	}
	return result, value.Get(&result)
}

func (p *place) plan(in activities.DeploymentRequest) (activities.DeploymentPlan, error) {
	p.t.Helper()
	in.Tenant, in.ModelID = "default", "digits"
	if in.Target == "" {
		in.Target = "local"
	}
	return call[activities.DeploymentPlan](p, "PlanDeployment", in)
}

func TestPlanDeployment(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.infers(request{})
	plan, err := p.plan(activities.DeploymentRequest{Version: "latest"})
	require.NoError(t, err)
	require.Equal(t, activities.DeploymentPlan{
		Version: "2", Artifact: digest, Champion: "1", ObserveAfter: 1, Position: 4, Team: "vision",
	}, plan)

	p.handle(domain.DeployModel{ModelID: "digits", Version: "2", DeploymentTarget: "local", DeploymentConfig: json.RawMessage(`{"logging":"durable","a":1}`)})
	for config, unchanged := range map[string]bool{
		`{"a":1, "logging":"durable"}`: true, `{"logging":"durable"}`: false, ``: true, `{}`: false,
	} {
		plan, err := p.plan(activities.DeploymentRequest{Version: "2", Config: json.RawMessage(config)})
		require.NoError(t, err)
		require.True(t, plan.Served)
		require.Equal(t, domain.Version("1"), plan.Previous)
		require.Equal(t, unchanged, plan.Unchanged, config)
	}
	plan, err = p.plan(activities.DeploymentRequest{Version: "1"})
	require.NoError(t, err)
	require.JSONEq(t, `{"logging":"durable","a":1}`, string(plan.Config), "the target keeps its config")
	p.handle(domain.AssignAlias{ModelID: "digits", Alias: "champion", Version: "1"})
	plan, err = p.plan(activities.DeploymentRequest{Version: "@champion"})
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), plan.Version)
}

func TestPlanDeploymentRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in     activities.DeploymentRequest
		broken error
		kind   string
		says   string
	}{
		"an unknown target":  {in: activities.DeploymentRequest{Version: "1", Target: "moon"}, kind: "InvalidInput", says: "[local prod]"},
		"a bad config":       {in: activities.DeploymentRequest{Version: "1", Config: json.RawMessage(`{"logging":"sometimes"}`)}, kind: "InvalidInput", says: "invalid input: config.logging"},
		"an unknown version": {in: activities.DeploymentRequest{Version: "9"}, kind: "NotFound", says: "version 9 of model digits"},
		"an unknown alias":   {in: activities.DeploymentRequest{Version: "@champion"}, kind: "NotFound", says: "alias champion of model digits"},
		"a missing artifact": {in: activities.DeploymentRequest{Version: "1"}, broken: artifact.ErrNotFound, kind: "NotFound", says: "artifact"},
		"corrupt bytes":      {in: activities.DeploymentRequest{Version: "1"}, broken: artifact.ErrCorrupt, kind: "ArtifactCorrupt", says: string(digest)},
		"a store that is away": {
			in: activities.DeploymentRequest{Version: "1"}, broken: errors.New("no route"), kind: "", says: "no route",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.broken = test.broken
			_, err := p.plan(test.in)
			require.ErrorContains(t, err, test.says)
			require.Equal(t, test.kind != "", activities.Refused(err))
			if test.kind != "" {
				require.Equal(t, test.kind, activities.ErrorType(err))
			}
		})
	}
	p := newPlace(t)
	_, err := call[activities.DeploymentPlan](p, "PlanDeployment", activities.DeploymentRequest{Tenant: "default", ModelID: "letters", Version: "latest", Target: "local"})
	require.Equal(t, "NotFound", activities.ErrorType(err))
}

func TestPlanRollback(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	back := activities.RollbackRequest{Tenant: "default", ModelID: "digits", Target: "local"}
	_, err := call[activities.DeploymentPlan](p, "PlanRollback", back)
	require.Equal(t, "InvalidInput", activities.ErrorType(err))
	require.ErrorContains(t, err, "no version served at local before version 1")
	p.handle(domain.DeployModel{ModelID: "digits", Version: "2", DeploymentTarget: "local", DeploymentConfig: json.RawMessage(`{"logging":"off"}`)})
	plan, err := call[activities.DeploymentPlan](p, "PlanRollback", back)
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), plan.Version)
	require.Equal(t, domain.Version("2"), plan.Champion)
	require.JSONEq(t, `{"logging":"off"}`, string(plan.Config))
	p.handle(domain.AssignAlias{ModelID: "digits", Alias: "stable", Version: "1"})
	back.To = "@stable"
	plan, err = call[activities.DeploymentPlan](p, "PlanRollback", back)
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), plan.Version)
	back.Target = "prod"
	for _, name := range []string{"PlanRollback", "PlanUndeployment"} {
		_, err = call[activities.DeploymentPlan](p, name, back)
		require.Equal(t, "InvalidState", activities.ErrorType(err))
	}
}

func load(p *place) (activities.VersionLoaded, error) {
	return call[activities.VersionLoaded](p, "LoadVersion", activities.VersionLoad{
		Tenant: "default", ModelID: "digits", Version: "2", Target: "local", Artifact: digest,
	})
}

func TestLoadVersionProvesWhatItLoads(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	loaded, err := load(p)
	require.NoError(t, err)
	require.Equal(t, activities.VersionLoaded{Name: "default.digits.v2", GoldenRows: 2}, loaded)
	require.Equal(t, []string{
		"load default.digits.v2", "ready default.digits.v2", "signature default.digits.v2 of 1", "golden default.digits.v2 of 2",
	}, p.calls)
}

func TestLoadVersionTellsARefusalFromTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(p *place)
		kind    string
	}{
		"the server refuses":   {func(p *place) { p.loads = fmt.Errorf("%w: opset 99", target.ErrRefused) }, "TargetRefused"},
		"golden rows differ":   {func(p *place) { p.golden = fmt.Errorf("%w: row 0", target.ErrRefused) }, "TargetRefused"},
		"no golden rows":       {func(p *place) { p.files = p.files[:1] }, "TargetRefused"},
		"unreadable signature": {func(p *place) { p.files[0].Body = []byte("{") }, "TargetRefused"},
		"corrupt":              {func(p *place) { p.broken = artifact.ErrCorrupt }, "ArtifactCorrupt"},
		"away":                 {func(p *place) { p.loads = target.ErrUnavailable }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			test.prepare(p)
			_, err := load(p)
			require.Error(t, err)
			require.Equal(t, test.kind != "", activities.Refused(err))
			if test.kind != "" {
				require.Equal(t, test.kind, activities.ErrorType(err))
			}
		})
	}
}

// What serves is not unloaded, whoever asks: here, at another target of the server, or in a rollout.
func TestUnloadVersionsKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for range 2 {
		p.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: digest, Modification: "imported"})
	}
	p.handle(domain.DeployModel{ModelID: "digits", Version: "2", DeploymentTarget: "prod"})
	p.handle(domain.StartRollout{ModelID: "digits", RolloutID: rolloutID, Version: "3", Target: "prod"})
	p.lagging = [][]string{{"a", "b"}, {"b"}}
	unloaded, err := call[activities.VersionsUnloaded](p, "UnloadVersions", activities.VersionUnload{
		Tenant: "default", ModelID: "digits", Target: "local", Versions: []domain.Version{"1", "2", "3", "4"},
	})
	require.NoError(t, err)
	require.Equal(t, activities.VersionsUnloaded{Unloaded: []domain.Version{"4"}, Kept: []domain.Version{"1", "2", "3"}}, unloaded)
	require.Equal(t, []string{"after 3 asks unload default.digits.v4"}, p.calls, "when no gateway lags any more")
	head, err := p.Head(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, []int64{head, head, head}, p.asked)
}

// A change of traffic is complete when every gateway has it.
func TestRoutingWaitsForTheGateways(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.begin()
	p.lagging = [][]string{{"a"}, {"a"}}
	result, err := call[domain.Result](p, "ShiftTraffic", activities.TrafficShift{
		Origin:  origin("deploy/shift"),
		Command: domain.ShiftTraffic{ModelID: "digits", RolloutID: rolloutID, Weights: domain.Traffic{"1": 90, "2": 10}},
	})
	require.NoError(t, err)
	require.Equal(t, []int64{result.Position, result.Position, result.Position}, p.asked)
	state, err := p.registry.Rollout(t.Context(), "default", "digits", rolloutID)
	require.NoError(t, err)
	require.Equal(t, domain.Traffic{"1": 90, "2": 10}, state.Weights)

	_, err = call[domain.Result](p, "PromoteRollout", activities.RolloutPromotion{
		Origin: origin("deploy/promote"), Command: domain.PromoteRollout{ModelID: "digits", RolloutID: domain.RolloutID(uuid.NewString())},
	})
	require.Equal(t, "InvalidState", activities.ErrorType(err))
	require.Len(t, p.asked, 3, "nobody is asked about what did not happen")
}

// A gateway that is stuck is named, before the attempt's time is over.
func TestRoutingNamesAGatewayThatIsStuck(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.begin()
	for range 1000 {
		p.lagging = append(p.lagging, []string{"edge-7"})
	}
	routing := &activities.Routing{Commands: p.registry, Routes: p}
	p.env.RegisterActivityWithOptions(func(ctx context.Context, in activities.RolloutReturn) (domain.Result, error) {
		ctx, cancel := context.WithTimeout(ctx, 1200*time.Millisecond)
		defer cancel()
		return routing.RollBackRollout(ctx, in)
	}, activity.RegisterOptions{Name: "Hurried"})
	_, err := call[domain.Result](p, "Hurried", activities.RolloutReturn{
		Origin: origin("deploy/back"), Command: domain.RollBackRollout{ModelID: "digits", RolloutID: rolloutID, Reason: "by hand"},
	})
	require.ErrorContains(t, err, "edge-7")
	require.False(t, activities.Refused(err))
}
