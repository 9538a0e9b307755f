package mainjob

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"phantom/api/client"
)

// modelView is what the job reads of a model.
type modelView struct {
	Status          string   `json:"status"`
	CurrentVersion  string   `json:"current_version"`
	DeployedTargets []string `json:"deployed_targets"`
	Revision        int64    `json:"revision"`

	position int64
}

// event is what the job reads of an event.
type event struct {
	Position      int64           `json:"position"`
	AggregateType string          `json:"aggregate_type"`
	AggregateID   string          `json:"aggregate_id"`
	EventType     string          `json:"event_type"`
	EventData     json.RawMessage `json:"event_data"`
	Metadata      struct {
		Actor struct {
			Subject string `json:"subject"`
		} `json:"actor"`
	} `json:"metadata"`
	OccurredAt time.Time `json:"occurred_at"`
}

// proof trains an undisturbed twin of the killed training, prints the audit trail, and reads the past.
func (j *job) proof(ctx context.Context) error {
	if err := j.compareDigests(ctx); err != nil {
		return err
	}
	events, err := j.events(ctx, model)
	if err != nil {
		return err
	}
	j.panel.line("the audit trail of %s in this run (phantom model events %s prints all):", model, model)
	for _, e := range events {
		if e.AggregateType == "MLModel" && !e.OccurredAt.Before(j.report.StartedAt) {
			j.panel.line("  %5d  %s  %-20s by %-10s %s", e.Position, e.OccurredAt.Format("15:04:05"), e.EventType, e.Metadata.Actor.Subject, e.gist())
		}
	}
	return j.readPast(ctx)
}

// compareDigests trains another model with version A's spec, undisturbed.
func (j *job) compareDigests(ctx context.Context) error {
	if err := j.createModel(ctx, undisturbed, "The same training, undisturbed"); err != nil {
		return err
	}
	twin, err := j.train(ctx, trainingRun{name: "A-undisturbed", model: undisturbed, data: digitsCSV, spec: j.specs["A"]})
	if err != nil {
		return err
	}
	j.report.Digests = DigestReport{Killed: j.report.training("A").ArtifactsLocation, Undisturbed: twin.ArtifactsLocation}
	j.panel.line("killed training      %s", j.report.Digests.Killed)
	j.panel.line("undisturbed training %s", j.report.Digests.Undisturbed)
	if j.report.Digests.Killed != j.report.Digests.Undisturbed {
		return errors.New("the killed training left another artifact than the undisturbed one")
	}
	return nil
}

// readPast shows the model as of before version C's rollout, and now.
func (j *job) readPast(ctx context.Context) error {
	now, err := j.model(ctx, model, j.report.last())
	if err != nil {
		return err
	}
	j.report.After = moment{Position: now.position, CurrentVersion: now.CurrentVersion, Deployed: now.DeployedTargets}
	var then modelView
	query := url.Values{"as_of": {strconv.FormatInt(j.report.Before.Position, 10)}}
	if err := j.API.Do(ctx, client.Request{Path: "/api/v1/models/" + model, Query: query}, &then); err != nil {
		return err
	}
	if then.CurrentVersion != j.report.Before.CurrentVersion || !slices.Equal(then.DeployedTargets, j.report.Before.Deployed) {
		return fmt.Errorf("the model as of position %d is not what it was then", j.report.Before.Position)
	}
	if err := j.printMoment(ctx, j.report.Before.Position, "before C's rollout", then); err != nil {
		return err
	}
	return j.printMoment(ctx, now.position, "now", now)
}

// printMoment shows the model as of a position. The newest version need not be one that serves.
func (j *job) printMoment(ctx context.Context, position int64, when string, m modelView) error {
	var deployed struct {
		Items []struct {
			Target  string `json:"target"`
			Version string `json:"version"`
		} `json:"items"`
	}
	query := url.Values{"as_of": {strconv.FormatInt(position, 10)}, "current": {"true"}}
	if err := j.API.Do(ctx, client.Request{Path: "/api/v1/models/" + model + "/deployments", Query: query}, &deployed); err != nil {
		return err
	}
	serving := make([]string, 0, 1)
	for _, d := range deployed.Items {
		serving = append(serving, fmt.Sprintf("version %s serves at %s", d.Version, d.Target))
	}
	j.panel.line("as of position %d (%s): %s, newest version %s; %s", position, when, m.Status, m.CurrentVersion,
		cmp.Or(strings.Join(serving, ", "), "nothing serves"))
	return nil
}

// model reads a model that has seen a position of the log, and the position that the answer stands for.
func (j *job) model(ctx context.Context, id string, seen int64) (modelView, error) {
	var view modelView
	response, err := j.API.Stream(ctx, client.Request{
		Path: "/api/v1/models/" + id, Header: http.Header{"Phantom-Min-Position": {strconv.FormatInt(seen, 10)}},
	})
	if err != nil {
		return view, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&view); err != nil {
		return view, fmt.Errorf("reading model %s: %w", id, err)
	}
	view.position, err = strconv.ParseInt(response.Header.Get("Phantom-Position"), 10, 64)
	if err != nil {
		return view, fmt.Errorf("the answer for model %s carries no position: %w", id, err)
	}
	return view, nil
}

// events reads all events of a model, its trainings and rollouts, in order.
func (j *job) events(ctx context.Context, id string) ([]event, error) {
	var all []event
	for after := int64(0); ; {
		var page struct {
			Items   []event `json:"items"`
			HasMore bool    `json:"has_more"`
		}
		query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {"200"}}
		if err := j.API.Do(ctx, client.Request{Path: "/api/v1/models/" + id + "/events", Query: query}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if !page.HasMore || len(page.Items) == 0 {
			return all, nil
		}
		after = page.Items[len(page.Items)-1].Position
	}
}

// gist is an event's few telling fields.
func (e event) gist() string {
	var data map[string]json.RawMessage
	if json.Unmarshal(e.EventData, &data) != nil {
		return ""
	}
	var parts []string
	for _, field := range []string{"version", "previous_version", "restored_version", "target", "deployment_target", "reason", "failure_reason", "artifacts_location"} {
		if value, ok := data[field]; ok {
			parts = append(parts, field+"="+short(strings.Trim(string(value), `"`)))
		}
	}
	return strings.Join(parts, " ")
}

// short cuts what is too long for a line.
func short(s string) string {
	const most = 60
	if strings.HasPrefix(s, "sha256:") && len(s) > 19 {
		return s[:19] + "…"
	}
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
