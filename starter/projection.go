package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// readModel is what is shown of a projection.
type readModel struct {
	Name        string       `json:"name"`
	Log         string       `json:"log"`
	State       string       `json:"state"`
	PausedAt    *time.Time   `json:"paused_at"`
	PauseReason string       `json:"pause_reason"`
	Generation  int          `json:"generation"`
	Position    int64        `json:"position"`
	Head        int64        `json:"head"`
	Lag         int64        `json:"lag"`
	Parked      int64        `json:"parked"`
	LastError   string       `json:"last_error"`
	StoppedAt   *int64       `json:"stopped_at"`
	LastAt      *time.Time   `json:"last_progress_at"`
	Generations []generation `json:"generations"`
}

type generation struct {
	Generation int        `json:"generation"`
	State      string     `json:"state"`
	Percentage float64    `json:"percentage"`
	Rate       *float64   `json:"rate"`
	ETASeconds *float64   `json:"eta_seconds"`
	Throttle   *int       `json:"throttle"`
	MadeAt     *time.Time `json:"made_at"`
	Hidden     *int64     `json:"hidden"` // null: not ours to see
}

const (
	projectionArgument = "the name of a projection: `phantom projection list` shows them"
	projectionsPath    = "/api/v1/projections"
)

// operatorsAlone ends the help of what concerns all tenants.
const operatorsAlone = "\nWhere keys are needed, it takes an admin key of an operator tenant."

func projectionPath(name string) string { return projectionsPath + "/" + url.PathEscape(name) }

func (p *program) projectionCommand() *cobra.Command {
	return p.group("projection", "Look at what the read models are made by, and steer it",
		p.projectionList(), p.projectionGet(), p.projectionPause(), p.projectionResume(), p.projectionRewind(), p.projectionRebuild(),
		p.projectionParked(), p.projectionRetry())
}

func (p *program) projectionList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the projections, and how far each is", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			return listing[readModel]{
				path: projectionsPath, query: url.Values{}, more: "cursor",
				header: []string{"NAME", "STATE", "GENERATION", "POSITION", "LAG", "PARKED", "LAST PROGRESS", "ERROR"},
				row: func(m readModel) []string {
					return []string{
						m.Name, m.stateText(), strconv.Itoa(m.Generation), strconv.FormatInt(m.Position, 10), strconv.FormatInt(m.Lag, 10),
						strconv.FormatInt(m.Parked, 10), p.ago(m.LastAt), short(m.LastError),
					}
				},
				none: "there are no projections",
			}.show(ctx, p)
		}),
	}
}

// stateText is the state, while a generation is filled with how far that is.
func (m readModel) stateText() string {
	for _, g := range m.Generations {
		if g.State == "filling" {
			return m.State + " " + percent(g.Percentage)
		}
	}
	return m.State
}

func percent(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) + " %" }

func (p *program) projectionGet() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show a projection with its generations", Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			return p.projectionCall(ctx, client.Request{Path: projectionPath(args[0])})
		}),
	}
}

// projectionCall makes a request that a projection answers, and shows it.
func (p *program) projectionCall(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	m, err := decode[readModel](raw, r.Path)
	if err != nil {
		return err
	}
	p.showProjection(m)
	return nil
}

func (p *program) showProjection(m readModel) {
	stopped := ""
	if m.StoppedAt != nil {
		stopped = "event " + strconv.FormatInt(*m.StoppedAt, 10)
	}
	p.fields([]field{
		{"Projection", m.Name},
		{"State", m.State},
		{"Log", m.Log},
		{"Paused", p.when(m.PausedAt, "")},
		{"Why", m.PauseReason},
		{"Position", fmt.Sprintf("%d of %d", m.Position, m.Head)},
		{"Parked", strconv.FormatInt(m.Parked, 10)},
		{"Stopped at", stopped},
		{"Error", m.LastError},
		{"Last progress", p.when(m.LastAt, "")},
	})
	p.note("")
	p.table([]string{"GENERATION", "STATE", "APPLIED", "RATE", "LEFT", "THROTTLE", "MADE"}, p.generationRows(m))
	for _, g := range m.Generations {
		if g.Hidden != nil && *g.Hidden > 0 {
			p.note("generation %d parks %d events that are shown now, and does not go live: `phantom projection retry %s`, or rebuild --drop",
				g.Generation, *g.Hidden, m.Name)
		}
	}
	if m.Parked > 0 {
		p.note("`phantom projection parked %s` lists what is parked, and why", m.Name)
	}
}

func (p *program) generationRows(m readModel) [][]string {
	rows := make([][]string, len(m.Generations))
	for i, g := range m.Generations {
		rows[i] = []string{
			strconv.Itoa(g.Generation), g.State, percent(g.Percentage), g.rateText(), g.leftText(), g.throttleText(), p.ago(g.MadeAt),
		}
	}
	return rows
}

func (g generation) rateText() string {
	if g.Rate == nil {
		return ""
	}
	return strconv.FormatFloat(*g.Rate, 'f', 0, 64) + "/s"
}

func (g generation) leftText() string {
	if g.ETASeconds == nil {
		return ""
	}
	return time.Duration(*g.ETASeconds * float64(time.Second)).Round(time.Second).String()
}

func (g generation) throttleText() string {
	if g.Throttle == nil {
		return ""
	}
	return strconv.Itoa(*g.Throttle) + "/s"
}

func (p *program) projectionPause() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "pause NAME", Short: "Stop a projection, of all tenants, until resume",
		Long: "Stop a projection, of all tenants, until resume." + operatorsAlone,
		Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{}
			if reason != "" {
				body["reason"] = reason
			}
			return p.projectionTell(ctx, args[0], "pause", body)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "for whoever wonders why")
	return cmd
}

func (p *program) projectionResume() *cobra.Command {
	return &cobra.Command{
		Use: "resume NAME", Short: "Let a paused projection go on",
		Long: "Let a paused projection go on, for all tenants." + operatorsAlone,
		Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			return p.projectionTell(ctx, args[0], "resume", nil)
		}),
	}
}

func (p *program) projectionTell(ctx context.Context, name, what string, body spec) error {
	r := client.Request{Method: http.MethodPost, Path: projectionPath(name) + "/" + what}
	if body != nil {
		r.Body = body
	}
	return p.projectionCall(ctx, r)
}

func (p *program) projectionRewind() *cobra.Command {
	var to int64
	cmd := &cobra.Command{
		Use: "rewind NAME --to POSITION", Short: "Apply again what came after a position of the tenant's log",
		Long: "Take the tenant's rows of the live generation back to a position of its log, and apply again what follows.\n" +
			"Readers see the past meanwhile: use it for rows that were damaged, and rebuild for code that has changed.",
		Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			if to < 0 {
				return usagef("--to is required: a position of the log, 0 for all of it")
			}
			return p.projectionTell(ctx, args[0], "rewind", spec{"position": to})
		}),
	}
	cmd.Flags().Int64Var(&to, "to", -1, "the position, 0 for all of the log")
	return cmd
}

func (p *program) projectionRebuild() *cobra.Command {
	var throttle int
	var back, drop bool
	cmd := &cobra.Command{
		Use: "rebuild NAME", Short: "Fill a new generation beside the live one, which it replaces",
		Long: "Fill a new generation of a projection beside the live one, for all tenants. It goes live by itself when it has caught up;\n" +
			"the former one is kept up to date for the way back, until it is dropped. Again with --throttle it changes the pace." + operatorsAlone,
		Args: takes(1, 1, projectionArgument),
	}
	cmd.RunE = p.does(func(ctx context.Context, args []string) error {
		body := spec{}
		switch {
		case back && drop, (back || drop) && cmd.Flags().Changed("throttle"):
			return usagef("--throttle, --back and --drop are three things: give one of them")
		case back:
			body["back"] = true
		case drop:
			body["drop"] = true
		case cmd.Flags().Changed("throttle"):
			body["throttle"] = throttle
		}
		return p.projectionTell(ctx, args[0], "rebuild", body)
	})
	flags := cmd.Flags()
	flags.IntVar(&throttle, "throttle", 0, "events a second at most, 0 for no limit")
	flags.BoolVar(&back, "back", false, "make the former generation live again, at once")
	flags.BoolVar(&drop, "drop", false, "give up the rebuild that is under way, or else the former generation")
	return cmd
}
