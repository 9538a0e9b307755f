package gateway_test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/serving/gateway"
	"phantom/serving/servingtest"
)

// split counts which version answers.
func (h *house) split(t *testing.T, requests int, headers func(i int) []string) map[string]int {
	t.Helper()
	body := rows(t, "", 1)
	answered := map[string]int{}
	for i := range requests {
		answered[servingtest.Response(t, h.infer(t, "insects", body, headers(i)...)).ModelVersion]++
	}
	return answered
}

func noHeaders(int) []string { return nil }

// unlikely holds counts against percents: Pearson's chi-square, at 1 in 10^6 for one or two degrees of freedom.
func unlikely(t *testing.T, counts map[string]int, percents map[string]float64) {
	t.Helper()
	total := 0
	for _, n := range counts {
		total += n
	}
	var square float64
	for version, percent := range percents {
		want := float64(total) * percent / 100
		square += math.Pow(float64(counts[version])-want, 2) / want
	}
	require.Less(t, square, 27.7, "%v against %v", counts, percents)
}

func TestRequestsAreSplitByWeight(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1", "2", "10"}))
	h.deploy(t, "insects", "1", "")
	require.Equal(t, map[string]int{"1": 50}, h.split(t, 50, noHeaders))
	h.shift(t, "insects", domain.Traffic{"1": 90, "2": 10})
	unlikely(t, h.split(t, 2000, noHeaders), map[string]float64{"1": 90, "2": 10})
	h.shift(t, "insects", domain.Traffic{"1": 30, "2": 20, "10": 50})
	keys := func(i int) []string { return []string{"Phantom-Route-Key", fmt.Sprint("user-", i)} }
	unlikely(t, h.split(t, 2000, keys), map[string]float64{"1": 30, "2": 20, "10": 50})
	h.shift(t, "insects", domain.Traffic{"1": 0, "10": 100})
	require.Equal(t, map[string]int{"10": 50}, h.split(t, 50, noHeaders))
}

func TestARouteKeySticksAndGrowthMovesKeysOneWayOnly(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"9", "10"}))
	h.deploy(t, "insects", "9", "")
	body := rows(t, "", 1)
	answers := func(key int) string {
		answer := h.infer(t, "insects", body, "Phantom-Route-Key", strconv.Itoa(key))
		return servingtest.Response(t, answer).ModelVersion
	}
	const keys = 150
	before := map[int]string{}
	moved := 0
	for _, weight := range []int{10, 50, 90} {
		h.shift(t, "insects", domain.Traffic{"9": 100 - weight, "10": weight})
		for key := range keys {
			version := answers(key)
			require.Equal(t, version, answers(key))
			if before[key] == "10" {
				require.Equal(t, "10", version, "key %d fell back while the candidate grew", key)
			}
			if version == "10" && before[key] == "9" {
				moved++
			}
			before[key] = version
		}
	}
	require.Positive(t, moved)
}

func TestAPositionIsAcknowledgedOnlyInForceAndOnDisk(t *testing.T) {
	t.Parallel()
	w := newWorld()
	// Hardly any sweep: a hint must be enough.
	h := build(t, w, local(t, "mlp", []domain.Version{"1", "2"}), func(p *gateway.Params) { p.Sweep = time.Hour })
	var missing []int64
	w.set(func(w *world) {
		w.onAck = func(_ domain.Tenant, position int64) {
			text, err := os.ReadFile(h.file)
			if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"position":%d}`, position)) {
				missing = append(missing, position)
			}
		}
	})
	h.deploy(t, "insects", "1", "")
	slowest := time.Duration(0)
	for i := range 20 {
		weight := 100 * (i % 2)
		began := time.Now()
		h.shift(t, "insects", domain.Traffic{"1": weight, "2": 100 - weight})
		slowest = max(slowest, time.Since(began))
		want := map[string]int{"2": 3}
		if weight == 100 {
			want = map[string]int{"1": 3}
		}
		require.Equal(t, want, h.split(t, 3, noHeaders)) // whoever sees the ack sees the traffic
	}
	w.set(func(*world) { require.Empty(t, missing) })
	t.Logf("hint to acknowledgement, slowest of 20: %s", slowest)
	require.Positive(t, h.beatsSeen())
}

func TestAGatewayStartsFromDiskWithTheDatabaseAway(t *testing.T) {
	t.Parallel()
	targets := local(t, "mlp", []domain.Version{"1", "2"})
	folder := t.TempDir()
	at := func(p *gateway.Params) { p.RouteFile = filepath.Join(folder, "routes.json") }
	before := build(t, newWorld(), targets, at)
	before.deploy(t, "insects", "1", `{"logging":"off"}`)
	before.shift(t, "insects", domain.Traffic{"1": 0, "2": 100})
	before.stop()
	require.True(t, before.left)
	w := newWorld()
	w.away = true
	h := build(t, w, targets, at)
	h.ready(t)
	require.Equal(t, map[string]int{"2": 20}, h.split(t, 20, noHeaders))
	require.Zero(t, h.beatsSeen())
	require.Zero(t, h.acked(domain.DefaultTenant))
	// The database comes back: what happened meanwhile is taken in, from where the file stood.
	w.happen(domain.DefaultTenant, "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
	w.happen(domain.DefaultTenant, "insects", domain.TrafficShifted{Target: "local", Weights: domain.Traffic{"1": 0, "2": 100}})
	last := w.happen(domain.DefaultTenant, "insects", domain.TrafficShifted{Target: "local", Weights: domain.Traffic{"1": 100, "2": 0}})
	w.set(func(w *world) { w.away = false })
	h.await(t, domain.DefaultTenant, last)
	require.Equal(t, map[string]int{"1": 20}, h.split(t, 20, noHeaders))
}

// ready waits until the gateway may get requests.
func (h *house) ready(t *testing.T) {
	t.Helper()
	select {
	case <-h.gateway.Ready():
	case <-time.After(servingtest.Patience):
		require.Fail(t, "the gateway does not become ready")
	}
	require.Equal(t, http.StatusOK, h.get(t, "/v2/health/ready").Status)
}

// A shift that nobody made this gateway wait for would be complete without it, so a gateway that starts is ready no
// earlier than it has said that it lives, and knows by then what was shifted before that.
func TestAStartingGatewayIsNotReadyBeforeItsFirstBeat(t *testing.T) {
	t.Parallel()
	for name, fromDisk := range map[string]bool{"from the log": false, "from disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targets := local(t, "mlp", []domain.Version{"1", "2"})
			file := filepath.Join(t.TempDir(), "routes.json")
			w := newWorld()
			// Neither a sweep nor a hint: what is known when the gateway is ready is what it looked for.
			seldom := func(p *gateway.Params) { p.RouteFile, p.Sweep, p.Recheck = file, time.Hour, time.Hour }
			if fromDisk {
				before := build(t, w, targets, func(p *gateway.Params) { p.RouteFile = file })
				before.deploy(t, "insects", "1", "")
				before.stop()
			} else {
				w.happen(domain.DefaultTenant, "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
			}
			reached, beat := make(chan struct{}), make(chan struct{})
			once := sync.OnceFunc(func() {
				close(reached)
				<-beat
				w.append(domain.DefaultTenant, "insects", domain.TrafficShifted{Target: "local", Weights: domain.Traffic{"1": 0, "2": 100}})
			})
			w.set(func(w *world) { w.onBeat = func() error { once(); return nil } })
			h := build(t, w, targets, seldom)
			release := sync.OnceFunc(func() { close(beat) })
			t.Cleanup(release)
			<-reached
			require.Equal(t, http.StatusServiceUnavailable, h.get(t, "/v2/health/ready").Status)
			select {
			case <-h.gateway.Ready():
				require.Fail(t, "ready before its first beat")
			default:
			}
			release()
			h.ready(t)
			require.Equal(t, map[string]int{"2": 10}, h.split(t, 10, noHeaders))
		})
	}
}

// A database that takes the log's questions and no beat is as good as away.
func TestAGatewayWhoseBeatIsRefusedServesItsLastRoutes(t *testing.T) {
	t.Parallel()
	targets := local(t, "mlp", []domain.Version{"1"})
	at := func(file string) func(p *gateway.Params) {
		return func(p *gateway.Params) { p.RouteFile = file }
	}
	file := filepath.Join(t.TempDir(), "routes.json")
	w := newWorld()
	before := build(t, w, targets, at(file))
	before.deploy(t, "insects", "1", "")
	before.stop()
	w.set(func(w *world) { w.onBeat = func() error { return errAway } })
	h := build(t, w, targets, at(file))
	h.ready(t)
	require.Equal(t, map[string]int{"1": 3}, h.split(t, 3, noHeaders))
	fresh := build(t, w, targets, at(filepath.Join(t.TempDir(), "other.json")))
	require.Eventually(t, func() bool { return fresh.infer(t, "insects", rows(t, "", 1)).Status == http.StatusOK }, servingtest.Patience, time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, fresh.get(t, "/v2/health/ready").Status, "it has no word of before")
}

func TestADamagedRouteFileIsFoldedAnew(t *testing.T) {
	t.Parallel()
	targets := local(t, "mlp", []domain.Version{"1"})
	for name, damage := range map[string]string{
		"garbage": "\x00\xff nothing", "empty": "", "truncated": `phantom-state 1 sha256:12`, "foreign": `{"routes":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.away = true
			file := filepath.Join(t.TempDir(), "routes.json")
			require.NoError(t, os.WriteFile(file, []byte(damage), 0o600))
			h := build(t, w, targets, func(p *gateway.Params) { p.RouteFile = file })
			require.Equal(t, http.StatusServiceUnavailable, h.get(t, "/v2/health/ready").Status)
			require.Equal(t, http.StatusServiceUnavailable, h.infer(t, "insects", rows(t, "", 1)).Status)
			w.happen(domain.DefaultTenant, "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
			w.set(func(w *world) { w.away = false })
			h.await(t, domain.DefaultTenant, 1)
			h.ready(t)
			require.Equal(t, map[string]int{"1": 3}, h.split(t, 3, noHeaders))
		})
	}
}

func TestRollbackAndUndeployChangeTheRoute(t *testing.T) {
	t.Parallel()
	h := build(t, newWorld(), local(t, "mlp", []domain.Version{"1", "2"}))
	h.deploy(t, "insects", "1", `{"logging":"off"}`)
	h.shift(t, "insects", domain.Traffic{"1": 50, "2": 50})
	back := domain.RolloutRolledBack{Version: "2", RestoredVersion: "1", Target: "local"}
	h.await(t, domain.DefaultTenant, h.happen(domain.DefaultTenant, "insects", back))
	require.Equal(t, map[string]int{"1": 20}, h.split(t, 20, noHeaders))
	require.Empty(t, h.rows(domain.DefaultTenant)) // the deployment's settings stayed

	gone := domain.ModelUndeployed{Version: "1", DeploymentTarget: "local"}
	h.await(t, domain.DefaultTenant, h.happen(domain.DefaultTenant, "insects", gone))
	require.Equal(t, http.StatusNotFound, h.infer(t, "insects", rows(t, "", 1)).Status)

	h.shift(t, "insects", domain.Traffic{"2": 100})
	require.Equal(t, map[string]int{"2": 3}, h.split(t, 3, noHeaders))
	first := domain.RolloutRolledBack{Version: "2", Target: "local"} // there was no champion
	h.await(t, domain.DefaultTenant, h.happen(domain.DefaultTenant, "insects", first))
	require.Equal(t, http.StatusNotFound, h.infer(t, "insects", rows(t, "", 1)).Status)
}

func TestTheLogOfAnotherDatabaseIsFoldedFromItsBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := build(t, w, local(t, "mlp", []domain.Version{"1", "2"}))
	h.deploy(t, "insects", "1", "")
	h.deploy(t, "insects", "2", "")
	h.shift(t, "insects", domain.Traffic{"1": 50, "2": 50})
	w.set(func(w *world) { w.logs = map[domain.Tenant][]domain.Recorded{} })
	require.Eventually(t, func() bool {
		return h.infer(t, "insects", rows(t, "", 1)).Status == http.StatusNotFound
	}, servingtest.Patience, time.Millisecond)
	w.set(func(w *world) { w.acks = map[domain.Tenant]int64{} })
	h.deploy(t, "insects", "2", "")
	require.Equal(t, map[string]int{"2": 10}, h.split(t, 10, noHeaders))
}

func TestATenantThatIsHeldUpHoldsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := build(t, w, local(t, "mlp", []domain.Version{"1", "2"}, "acme"))
	w.happen("acme", "insects", domain.ModelDeployed{Version: "1", DeploymentTarget: "local"})
	h.await(t, "acme", 1)
	w.set(func(w *world) { w.poison["acme"] = 2 })
	w.happen("acme", "insects", domain.ModelDeployed{Version: "2", DeploymentTarget: "local"})
	h.deploy(t, "insects", "1", "")
	h.deploy(t, "insects", "2", "")
	answer := servingtest.Response(t, h.infer(t, "insects", rows(t, "", 1), "Phantom-Tenant", "acme"))
	require.Equal(t, "1", answer.ModelVersion)
	require.Equal(t, int64(1), h.acked("acme"))
	w.set(func(w *world) { delete(w.poison, "acme") })
	h.await(t, "acme", 2)
}

func TestTenantsAndTargetsAreKeptApart(t *testing.T) {
	t.Parallel()
	targets := local(t, "mlp", []domain.Version{"1", "2"}, "acme")
	targets["prod"] = targets["local"]
	h := build(t, newWorld(), targets)
	h.deploy(t, "insects", "1", "")
	body := rows(t, "", 1)
	require.Equal(t, http.StatusNotFound, h.infer(t, "insects", body, "Phantom-Tenant", "acme").Status)
	require.Equal(t, http.StatusUnauthorized, h.infer(t, "insects", body, "Phantom-Tenant", "No!").Status)

	prod := domain.ModelDeployed{Version: "2", DeploymentTarget: "prod"}
	h.await(t, domain.DefaultTenant, h.happen(domain.DefaultTenant, "insects", prod))
	ambiguous := h.infer(t, "insects", body)
	require.Equal(t, http.StatusBadRequest, ambiguous.Status)
	require.Contains(t, refusal(t, ambiguous), "local, prod")
	for target, version := range map[string]string{"local": "1", "prod": "2"} {
		require.Equal(t, version, servingtest.Response(t, h.infer(t, "insects", body, "Phantom-Target", target)).ModelVersion)
	}
	require.Equal(t, http.StatusNotFound, h.infer(t, "insects", body, "Phantom-Target", "moon").Status)
	moon := domain.ModelDeployed{Version: "2", DeploymentTarget: "moon"}
	h.await(t, domain.DefaultTenant, h.happen(domain.DefaultTenant, "insects", moon))
	require.Equal(t, http.StatusServiceUnavailable, h.infer(t, "insects", body, "Phantom-Target", "moon").Status)
}
