package mainjob

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"phantom/api/client"
)

// deployment is one DeployModel of the story.
type deployment struct {
	name    string
	version string
	want    string // its outcome
}

// strategy is the canary of every deployment: two steps, decided by labels and by errors. Without a
// champion the saga gives all traffic after the golden check.
func strategy() map[string]any {
	return map[string]any{"canary": map[string]any{
		"steps":    []any{step(10, "3s"), step(50, "3s")},
		"max_hold": "5m",
		"analysis": []any{
			map[string]any{"metric": "error_rate", "op": "<=", "threshold": 0.01, "required": true},
			map[string]any{"metric": "accuracy", "op": ">=", "threshold": 0.9, "required": true},
		},
	}}
}

func step(weight int, hold string) map[string]any {
	return map[string]any{"weight": weight, "hold": hold}
}

// deploy brings a version to the target under live traffic, and checks how it ended.
func (j *job) deploy(ctx context.Context, d deployment) error {
	id, err := j.start(ctx, "/api/v1/models/"+model+"/deployments", j.run+"-deploy-"+d.name,
		map[string]any{"version": d.version, "target": target, "strategy": strategy(), "requested_by": "make-run"})
	if err != nil {
		return err
	}
	j.panel.line("DeployModel of version %s is on its way: %s", d.version, j.sagaLink(id))
	live := j.sendTraffic(ctx)
	s, err := j.follow(ctx, id, func(s saga) error { return j.showCanary(ctx, d, s, live) })
	if stopped := live.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	return j.deployed(d, id, s, live)
}

func (j *job) deployed(d deployment, id string, s saga, live *traffic) error {
	r := DeploymentReport{Name: d.name, SagaID: id, Requests: live.sent()}
	if err := json.Unmarshal(s.Result, &r); err != nil {
		return fmt.Errorf("the result of %s: %w", id, err)
	}
	j.report.Deployments = append(j.report.Deployments, r)
	if r.Outcome != d.want {
		return fmt.Errorf("the deployment of version %s ended as %s (%s), not %s", d.version, r.Outcome, r.Reason, d.want)
	}
	switch {
	case r.Initial:
		j.panel.line("version %s serves at %s: no champion stood there, all traffic after the golden check", r.Version, target)
	case r.Outcome == promoted:
		j.panel.line("version %s is promoted over version %s: %s", r.Version, r.Previous, r.Reason)
	default:
		j.panel.line("version %s is rolled back, version %s serves on: %s", r.Version, r.Previous, r.Reason)
	}
	for _, line := range live.accuracies() {
		j.panel.line("  %s", line)
	}
	return nil
}

// showCanary redraws the panel: the split, each version's accuracy, and how much is still needed.
func (j *job) showCanary(ctx context.Context, d deployment, s saga, live *traffic) error {
	split, needed := j.canary(ctx, d.version)
	if split == "" {
		j.panel.status(s.Status.Stage, "deploying version %s: %s", d.version, s.Status.Stage)
		return nil
	}
	j.panel.status(split, "canary of version %s: %s | accuracy %s | needs %s", d.version, split, live.brief(), needed)
	return nil
}

// rollout is what the job reads of a rollout.
type rollout struct {
	RolloutID string `json:"rollout_id"`
	Version   string `json:"version"`
	State     string `json:"state"`
	Traffic   []struct {
		Weights map[string]int `json:"weights"`
	} `json:"traffic"`
	Verdicts []struct {
		Metrics []struct {
			Metric  string `json:"metric"`
			Verdict string `json:"verdict"`
			Needed  int64  `json:"needed"`
		} `json:"metrics"`
	} `json:"verdicts"`
}

// canary describes the running rollout of a version; empty when none has shifted traffic. A look that
// does not succeed shows nothing: the saga itself is what is followed.
func (j *job) canary(ctx context.Context, version string) (split, needed string) {
	var page struct {
		Items []rollout `json:"items"`
	}
	err := j.API.Do(ctx, client.Request{Path: "/api/v1/models/" + model + "/rollouts", Query: url.Values{"limit": {"1"}}}, &page)
	if err != nil || len(page.Items) == 0 {
		return "", ""
	}
	r := page.Items[0]
	if r.Version != version || len(r.Traffic) == 0 {
		return "", ""
	}
	var shares, open []string
	for v, w := range r.Traffic[len(r.Traffic)-1].Weights {
		shares = append(shares, fmt.Sprintf("v%s %d %%", v, w))
	}
	if n := len(r.Verdicts); n > 0 {
		for _, m := range r.Verdicts[n-1].Metrics {
			open = append(open, need(m.Metric, m.Verdict, m.Needed))
		}
	}
	slices.Sort(shares)
	return strings.Join(shares, " / "), strings.Join(open, ", ")
}

func need(metric, verdict string, needed int64) string {
	switch {
	case verdict != "inconclusive":
		return metric + " nothing: " + verdict
	case metric == "accuracy":
		return fmt.Sprintf("%s %d right labels", metric, needed)
	default:
		return fmt.Sprintf("%s %d clean answers", metric, needed)
	}
}
