package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// canaryRollout is what is shown of a rollout.
type canaryRollout struct {
	RolloutID       string          `json:"rollout_id"`
	ModelID         string          `json:"model_id"`
	SagaID          string          `json:"saga_id"`
	Version         string          `json:"version"`
	PreviousVersion *string         `json:"previous_version"`
	Target          string          `json:"target"`
	State           string          `json:"state"`
	Strategy        json.RawMessage `json:"strategy"`
	Approval        *approval       `json:"approval"`
	Traffic         []struct {
		Weights map[string]int `json:"weights"`
		At      *time.Time     `json:"at"`
	} `json:"traffic"`
	Verdicts []struct {
		Step    int              `json:"step"`
		Verdict string           `json:"verdict"`
		Reason  string           `json:"reason"`
		Metrics []assessedMetric `json:"metrics"`
	} `json:"verdicts"`
	StartedAt *time.Time `json:"started_at"`
	StartedBy actor      `json:"started_by"`
	EndedAt   *time.Time `json:"ended_at"`
	Reason    string     `json:"reason"`
}

type assessedMetric struct {
	Metric    string   `json:"metric"`
	Op        string   `json:"op"`
	Threshold float64  `json:"threshold"`
	Required  bool     `json:"required"`
	Samples   int64    `json:"samples"`
	Failures  int64    `json:"failures"`
	Estimate  *float64 `json:"estimate"`
	Verdict   string   `json:"verdict"`
	Needed    int64    `json:"needed"`
}

func (r canaryRollout) saga() string { return r.SagaID }

// rollouts say how a rollout is found by its ids.
func rollouts() kind[canaryRollout] {
	return kind[canaryRollout]{noun: "rollout", path: "rollouts", starts: "deploy"}
}

func (p *program) rolloutCommand() *cobra.Command {
	return p.group("rollout", "Look at canaries and steer them",
		p.rolloutList(), p.rolloutGet(), watchCommand(p, rollouts()),
		steerCommand(p, rollouts(), steering{use: "approve", short: "Approve a rollout that waits for it", action: "approve", done: "approved", text: "note"}),
		steerCommand(p, rollouts(), steering{use: "reject", short: "Reject a rollout that waits for approval", action: "reject", done: "rejected", text: "reason"}),
		steerCommand(p, rollouts(), steering{use: "promote", short: "Pass the canary step now, whatever the numbers say", action: "promote", done: "promoted", full: true}),
		steerCommand(p, rollouts(), steering{use: "abort", short: "End a rollout and restore the version that served", action: "abort", done: "aborted", text: "reason"}),
		steerCommand(p, rollouts(), steering{use: "retry", short: "Try a parked step again", action: "retry_step", done: "trying again"}))
}

func (p *program) rolloutList() *cobra.Command {
	var pages paging
	var asOf string
	cmd := &cobra.Command{
		Use: "list [MODEL]", Short: "List rollouts, the newest first", Args: takes(0, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			set(query, "as_of", asOf)
			path := "/api/v1/rollouts"
			if len(args) > 0 {
				path = modelPath(args[0]) + "/rollouts"
			}
			return listing[canaryRollout]{
				path: path, query: query, more: "cursor",
				header: []string{"ROLLOUT", "MODEL", "VERSION", "OVER", "TARGET", "STATE", "TRAFFIC", "STARTED", "TOOK", "WHY"},
				row: func(r canaryRollout) []string {
					return []string{
						r.RolloutID, r.ModelID, r.Version, opt(r.PreviousVersion), r.Target, r.State, r.split(),
						p.ago(r.StartedAt), span(r.StartedAt, r.EndedAt), short(r.Reason),
					}
				},
				none: "no rollouts; start one with `phantom deploy MODEL --version latest --target local --wait`",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	cmd.Flags().StringVar(&asOf, "as-of", "", asOfHelp)
	return cmd
}

func (p *program) rolloutGet() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show a rollout with the numbers that decide it",
		Long: "Show a rollout with the numbers that decide it.\n\n" + rollouts().idHelp(), Args: takes(1, 1, rollouts().argument()),
		RunE: p.does(func(ctx context.Context, args []string) error {
			raw, r, err := rollouts().find(ctx, p, args[0])
			if err != nil {
				return err
			}
			// Lists carry the last verdict only; the rollout itself has them all.
			path := "/api/v1/rollouts/" + url.PathEscape(r.RolloutID)
			if err := p.call(ctx, client.Request{Path: path}, &raw); err != nil {
				return err
			}
			switch {
			case p.json():
				return p.print(raw)
			case p.quiet:
				p.line("%s", r.RolloutID)
				return nil
			}
			if r, err = decode[canaryRollout](raw, path); err != nil {
				return err
			}
			p.showRollout(r)
			return nil
		}),
	}
}

func (p *program) showRollout(r canaryRollout) {
	fields := []field{
		{"Rollout", r.RolloutID},
		{"Model", r.ModelID},
		{"Workflow", r.SagaID},
		{"Version", r.Version + map[bool]string{true: " over " + opt(r.PreviousVersion)}[r.PreviousVersion != nil]},
		{"Target", r.Target},
		{"State", r.State},
		{"Why", r.Reason},
		{"Approval", p.approvalText(r.Approval)},
	}
	for _, t := range r.Traffic {
		fields = append(fields, field{"Traffic", split(t.Weights) + ", " + p.ago(t.At)})
	}
	fields = append(fields,
		field{"Started", p.when(r.StartedAt, r.StartedBy.Subject)}, field{"Ended", p.when(r.EndedAt, "")},
		field{"Took", span(r.StartedAt, r.EndedAt)})
	if len(r.Verdicts) == 0 {
		p.fields(fields)
		return
	}
	last := r.Verdicts[len(r.Verdicts)-1]
	p.fields(append(fields, field{"Verdict", strings.TrimSuffix(fmt.Sprintf("%s at step %d: %s", last.Verdict, last.Step, last.Reason), ": ")}))
	fmt.Fprintln(p.out)
	rows := make([][]string, len(last.Metrics))
	for i, m := range last.Metrics {
		estimate, needed := "", ""
		if m.Estimate != nil {
			estimate = number(*m.Estimate)
		}
		if m.Needed > 0 {
			needed = strconv.FormatInt(m.Needed, 10) + " " + sample(m.Metric)
		}
		rows[i] = []string{
			m.Metric, m.Op + " " + number(m.Threshold), map[bool]string{true: "yes", false: "no"}[m.Required], estimate,
			strconv.FormatInt(m.Samples, 10), strconv.FormatInt(m.Failures, 10), m.Verdict, needed,
		}
	}
	p.table([]string{"METRIC", "THRESHOLD", "REQUIRED", "ESTIMATE", "SAMPLES", "BAD", "VERDICT", "STILL NEEDED"}, rows)
}

// split is the present traffic; "" when the rollout gives it no more.
func (r canaryRollout) split() string {
	if len(r.Traffic) == 0 || r.State != "running" {
		return ""
	}
	return split(r.Traffic[len(r.Traffic)-1].Weights)
}

// split is "v1 90 % / v2 10 %".
func split(weights map[string]int) string {
	shares := make([]string, 0, len(weights))
	for _, version := range slices.SortedFunc(maps.Keys(weights), byNumber) {
		shares = append(shares, fmt.Sprintf("v%s %d %%", version, weights[version]))
	}
	return strings.Join(shares, " / ")
}

// byNumber orders versions as numbers: 2 before 10.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// canary describes the running rollout of a saga; "" when none has shifted traffic, or when this look
// does not succeed: the saga itself is what is waited for. The key changes with split and verdicts.
func (p *program) canary(ctx context.Context, s saga) (key, text string) {
	found, err := rollouts().page(ctx, p, s.ModelID, url.Values{"limit": {"1"}})
	if err != nil || len(found.Items) == 0 {
		return "", ""
	}
	r, err := decode[canaryRollout](found.Items[0], "rollouts")
	if err != nil || r.SagaID != s.SagaID || r.State != "running" || len(r.Traffic) == 0 {
		return "", ""
	}
	keys, texts := []string{r.split()}, []string{r.split()}
	if n := len(r.Verdicts); n > 0 {
		for _, m := range r.Verdicts[n-1].Metrics {
			keys = append(keys, m.Metric+" "+m.Verdict)
			texts = append(texts, need(m))
		}
	}
	return strings.Join(keys, " | "), strings.Join(texts, " | ")
}
