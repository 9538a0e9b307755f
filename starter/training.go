package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// training is what is shown of a training.
type training struct {
	TrainingJobID string             `json:"training_job_id"`
	ModelID       string             `json:"model_id"`
	SagaID        string             `json:"saga_id"`
	State         string             `json:"state"`
	Progress      float64            `json:"progress"`
	Epoch         int                `json:"epoch"`
	Metrics       map[string]float64 `json:"metrics"`
	Config        struct {
		Trainer   string          `json:"trainer"`
		Algorithm string          `json:"algorithm"`
		Params    json.RawMessage `json:"params"`
		Seed      int64           `json:"seed"`
	} `json:"config"`
	Datasets []struct {
		URI    string `json:"uri"`
		Digest string `json:"digest"`
		Rows   int64  `json:"rows"`
		Split  string `json:"split"`
	} `json:"datasets"`
	ArtifactsLocation *string `json:"artifacts_location"`
	Evaluation        *struct {
		Rows  int64 `json:"rows"`
		Gates []struct {
			Metric    string   `json:"metric"`
			Op        string   `json:"op"`
			Threshold float64  `json:"threshold"`
			Value     *float64 `json:"value"`
			Passed    bool     `json:"passed"`
		} `json:"gates"`
	} `json:"evaluation"`
	Approval      *approval  `json:"approval"`
	StartedAt     *time.Time `json:"started_at"`
	StartedBy     actor      `json:"started_by"`
	EndedAt       *time.Time `json:"ended_at"`
	Version       *string    `json:"version"`
	FailureReason *string    `json:"failure_reason"`
	ErrorDetails  string     `json:"error_details"`
}

func (t training) saga() string { return t.SagaID }

// approval is a question to a person, and the answer.
type approval struct {
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at"`
	DecidedBy *actor     `json:"decided_by"`
	Note      string     `json:"note"`
}

// trainings say how a training is found by its ids.
func trainings() kind[training] {
	return kind[training]{noun: "training", path: "trainings", starts: "train"}
}

const (
	trainingArgument = "a training: a model (its latest), a job id or a workflow id"
	trainingIDs      = "\n\nID is a model (its latest training), a job id, or a workflow id."
)

func (p *program) trainingCommand() *cobra.Command {
	return p.group("training", "Look at trainings and steer them",
		p.trainingList(), p.trainingGet(), p.trainingMetrics(), p.trainingLogs(),
		watchCommand(p, trainings()),
		steerCommand(p, trainings(), steering{use: "cancel", short: "Stop a training and undo it", action: "cancel", done: "cancelling"}),
		steerCommand(p, trainings(), steering{use: "approve", short: "Approve a candidate that waits for it", action: "approve", done: "approved", text: "note"}),
		steerCommand(p, trainings(), steering{use: "reject", short: "Reject a candidate that waits for approval", action: "reject", done: "rejected", text: "reason"}),
		steerCommand(p, trainings(), steering{use: "retry", short: "Try a parked step again", action: "retry_step", done: "trying again"}))
}

func (p *program) trainingList() *cobra.Command { return p.listTrainings("list [MODEL]", 0) }

// modelTrainings is `training list` where one looks for it from a model.
func (p *program) modelTrainings() *cobra.Command { return p.listTrainings("trainings ID", 1) }

func (p *program) listTrainings(use string, least int) *cobra.Command {
	var pages paging
	var then moment
	cmd := &cobra.Command{
		Use: use, Short: "List trainings, the newest first", Args: takes(least, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			if err := then.ask(query); err != nil {
				return err
			}
			if then.revision != 0 && len(args) == 0 {
				return usagef("--at-revision is one of a model: name the model")
			}
			path := "/api/v1/trainings"
			if len(args) > 0 {
				path = modelPath(args[0]) + "/trainings"
			}
			return listing[training]{
				path: path, query: query, more: "cursor",
				header: []string{"TRAINING", "MODEL", "STATE", "PROGRESS", "ACCURACY", "VERSION", "STARTED", "TOOK", "BY"},
				row: func(t training) []string {
					return []string{
						t.TrainingJobID, t.ModelID, t.State, fmt.Sprintf("%.0f %%", t.Progress), numberOf(t.Metrics, "accuracy"),
						opt(t.Version), p.ago(t.StartedAt), span(t.StartedAt, t.EndedAt), t.StartedBy.Subject,
					}
				},
				none: "no trainings; start one with `phantom train MODEL --data FILE.csv --wait`",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	then.add(cmd.Flags())
	return cmd
}

func span(from, to *time.Time) string {
	if from == nil {
		return ""
	}
	return took(*from, to)
}

func (p *program) trainingGet() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show a training", Long: "Show a training." + trainingIDs, Args: takes(1, 1, trainingArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			raw, t, err := trainings().find(ctx, p, args[0])
			switch {
			case err != nil:
				return err
			case p.json():
				return p.print(raw)
			case p.quiet:
				fmt.Fprintln(p.out, clean(t.TrainingJobID))
				return nil
			}
			p.fields(p.trainingFields(t))
			if !p.drawn() || t.Epoch < 2 {
				return nil
			}
			return p.drawCurves(ctx, t)
		}),
	}
}

func (p *program) trainingFields(t training) []field {
	fields := []field{
		{"Training", t.TrainingJobID},
		{"Model", t.ModelID},
		{"Workflow", t.SagaID},
		{"State", t.State},
		{"Progress", fmt.Sprintf("%.0f %%, epoch %d", t.Progress, t.Epoch)},
		{"Metrics", metricsText(t.Metrics)},
		{"Trainer", strings.TrimSpace(t.Config.Trainer + ", " + t.Config.Algorithm + " " + configText(t.Config.Params) + fmt.Sprintf(" seed %d", t.Config.Seed))},
	}
	for _, d := range t.Datasets {
		fields = append(fields, field{"Data", strings.TrimSpace(d.URI + " " + d.Split + " " + short(d.Digest))})
	}
	if t.Evaluation != nil {
		for _, g := range t.Evaluation.Gates {
			text := fmt.Sprintf("%s %s %s: ", g.Metric, g.Op, number(g.Threshold))
			if g.Value != nil {
				text += number(*g.Value) + ", "
			}
			fields = append(fields, field{"Gate", text + map[bool]string{true: "met", false: "not met"}[g.Passed]})
		}
	}
	return append(fields,
		field{"Approval", p.approvalText(t.Approval)},
		field{"Version", opt(t.Version)},
		field{"Artifact", opt(t.ArtifactsLocation)},
		field{"Started", p.when(t.StartedAt, t.StartedBy.Subject)},
		field{"Ended", p.when(t.EndedAt, "")},
		field{"Took", span(t.StartedAt, t.EndedAt)},
		field{"Failure", strings.Trim(opt(t.FailureReason)+": "+t.ErrorDetails, ": ")})
}

func (p *program) approvalText(a *approval) string {
	switch {
	case a == nil:
		return ""
	case a.State == "waiting":
		return "waiting, expires " + p.ago(a.ExpiresAt)
	case a.DecidedBy == nil:
		return a.State
	}
	text := a.State + " by " + a.DecidedBy.Subject
	if a.Note != "" {
		text += ": " + a.Note
	}
	return text
}

func (p *program) trainingLogs() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Print a training's log", Long: "Print a training's log." + trainingIDs, Args: takes(1, 1, trainingArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			_, t, err := trainings().find(ctx, p, args[0])
			if err != nil {
				return err
			}
			return p.copyLogs(ctx, t, follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the training ends")
	return cmd
}

// copyLogs has no deadline of its own when it follows: the training's end, or Ctrl-C, is its end.
func (p *program) copyLogs(ctx context.Context, t training, follow bool) error {
	query := url.Values{}
	if follow {
		query.Set("follow", "true")
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerLimit)
		defer cancel()
	}
	path := modelPath(t.ModelID) + "/trainings/" + url.PathEscape(t.TrainingJobID) + "/logs"
	response, err := p.api.Stream(ctx, client.Request{Path: path, Query: query})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if _, err := fmt.Fprintln(p.out, clean(lines.Text())); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %s broke off: %w", client.ErrUnreachable, p.api.URL, err)
	}
	return nil
}
