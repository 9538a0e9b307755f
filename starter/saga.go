package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"phantom/api/client"
)

// mutedLooks is how often a saga may not say how it stands before a person is told: a busy worker misses
// a query now and then.
const mutedLooks = 10

// patience is how long a wait bears an API that does not answer: a worker may be starting again.
const patience = time.Minute

// saga is what a wait reads of a saga.
type saga struct {
	SagaID    string     `json:"saga_id"`
	Kind      string     `json:"kind"`
	ModelID   string     `json:"model_id"`
	State     string     `json:"state"` // running, completed, failed, canceled, terminated
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Summary   string     `json:"summary"`
	Status    *struct {
		Stage          string   `json:"stage"`
		WaitingFor     *string  `json:"waiting_for"`
		LastError      *string  `json:"last_error"`
		AllowedActions []string `json:"allowed_actions"`
	} `json:"status"`
	Progress *struct {
		Percentage float64            `json:"percentage"`
		Epoch      int                `json:"epoch"`
		Epochs     int                `json:"epochs"`
		Metrics    map[string]float64 `json:"metrics"`
		ETA        *time.Time         `json:"eta"`
	} `json:"progress"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

func sagaPath(id string) string { return "/api/v1/sagas/" + url.PathEscape(id) }

// line is a line of the answer itself.
func (p *program) line(format string, args ...any) {
	fmt.Fprintln(p.out, clean(fmt.Sprintf(format, args...)))
}

// nounOf is the command group that a saga belongs to, by its workflow id.
func nounOf(id string) string {
	if strings.HasPrefix(id, "train:") {
		return "training"
	}
	return "rollout"
}

// start posts a saga's input; with wait it stays until the saga ends. The hints are for a person, once it
// has started.
func (p *program) start(ctx context.Context, r client.Request, wait bool, hints ...string) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	accepted, err := decode[saga](raw, r.Path)
	if err != nil {
		return err
	}
	id := accepted.SagaID
	if wait {
		p.note("started %s", id)
		p.notes(hints)
		return p.wait(ctx, id)
	}
	switch {
	case p.json():
		err = p.print(raw)
	case p.quiet:
		p.line("%s", id)
	default:
		p.line("started %s", id)
		hints = append(hints, "`phantom "+nounOf(id)+" watch "+id+"` shows how it goes")
	}
	p.notes(hints)
	return err
}

// keyed is the header of a training that may be asked for twice and happens once.
func keyed(key string) http.Header {
	if key == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {key}}
}

// wait shows a saga until it ends. When it is interrupted it says how to come back: the saga goes on.
func (p *program) wait(ctx context.Context, id string) error {
	view := p.view()
	raw, s, err := p.follow(ctx, id, func(s saga) { p.see(ctx, view, s) })
	view.end()
	if errors.Is(err, context.Canceled) {
		text := "detached; " + id + " goes on: `phantom " + nounOf(id) + " watch " + id + "` comes back"
		switch nounOf(id) {
		case "training":
			text += ", `phantom training cancel " + id + "` stops it"
		default:
			if strings.HasPrefix(id, "deploy:") {
				text += ", `phantom rollout abort " + id + "` stops it"
			}
		}
		return &failure{exitInterrupted, text}
	}
	if err != nil {
		return err
	}
	return p.ended(raw, s)
}

// follow looks at a saga until it ends, and bears a server that is away for a while.
func (p *program) follow(ctx context.Context, id string, see func(saga)) (json.RawMessage, saga, error) {
	tick := time.NewTicker(p.look)
	defer tick.Stop()
	var away time.Time // since when nobody answers
	for {
		var raw json.RawMessage
		err := p.call(ctx, client.Request{Path: sagaPath(id)}, &raw)
		switch {
		case err == nil:
			s, err := decode[saga](raw, sagaPath(id))
			if err != nil || s.State != "running" {
				return raw, s, err
			}
			away = time.Time{}
			see(s)
		case ctx.Err() != nil:
			return nil, saga{}, ctx.Err()
		case !passing(err):
			return nil, saga{}, err
		case away.IsZero():
			away = p.now()
			p.note("the API does not answer; waiting for it")
		case p.now().Sub(away) > patience:
			return nil, saga{}, err
		}
		select {
		case <-ctx.Done():
			return nil, saga{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// passing tells errors that a restart of the server heals.
func passing(err error) bool {
	status, _ := explain(err)
	return status == exitUnreachable
}

// see shows one look at a running saga.
func (p *program) see(ctx context.Context, v *view, s saga) {
	if s.Status == nil {
		if v.mute++; v.mute > mutedLooks {
			v.status("away", "the saga runs, but no worker says how far; is one up? `phantom doctor` looks")
		}
		return
	}
	v.mute = 0
	if s.Status.WaitingFor != nil {
		last := ""
		if s.Status.LastError != nil {
			last = ": " + *s.Status.LastError
		}
		v.status("waits "+*s.Status.WaitingFor+last, s.Status.Stage+" waits"+asks(s, last))
		return
	}
	if s.Progress != nil && s.Progress.Epochs > 0 && s.Status.Stage == "train" {
		v.progress(s.Status.Stage, s.Progress.Percentage, p.trainingDetail(s))
		return
	}
	if strings.HasPrefix(s.Status.Stage, "canary") {
		if key, text := p.canary(ctx, s); text != "" {
			v.status(key, s.Status.Stage+": "+text)
			return
		}
	}
	v.status(s.Status.Stage, s.Status.Stage)
}

// asks says what a saga waits for, and with which commands a person answers.
func asks(s saga, lastError string) string {
	group, id := "phantom "+nounOf(s.SagaID), s.SagaID
	var commands []string
	for _, a := range []struct{ action, command string }{
		{"approve", "approve"}, {"reject", "reject"}, {"promote", "promote"}, {"abort", "abort"}, {"retry_step", "retry"},
	} {
		if slices.Contains(s.Status.AllowedActions, a.action) {
			commands = append(commands, a.command)
		}
	}
	text := " for " + map[string]string{
		"approval": "approval", "decision": "a decision", "retry_step": "a retry" + lastError, "turn": "its turn: another training runs",
	}[*s.Status.WaitingFor]
	if len(commands) > 0 {
		text += ": `" + group + " " + strings.Join(commands, "|") + " " + id + "`"
	}
	return text
}

func (p *program) trainingDetail(s saga) string {
	parts := []string{fmt.Sprintf("epoch %d/%d", s.Progress.Epoch, s.Progress.Epochs)}
	for _, name := range []string{"loss", "accuracy"} {
		if value, ok := s.Progress.Metrics[name]; ok {
			parts = append(parts, name+" "+number(value))
		}
	}
	if s.Progress.ETA != nil {
		if left := s.Progress.ETA.Sub(p.now()).Round(time.Second); left > 0 {
			parts = append(parts, left.String()+" left")
		}
	}
	return strings.Join(parts, "  ")
}
