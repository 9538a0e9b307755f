package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// lineage is what is shown of a version's lineage.
type lineage struct {
	Version struct {
		modelVersion

		Modification string `json:"modification"`
	} `json:"version"`
	Training *struct {
		training

		CodeDigest string `json:"code_digest"`
	} `json:"training"`
	Previous    *modelVersion `json:"previous"`
	Rollouts    []rolloutPast `json:"rollouts"`
	Deployments []servedPast  `json:"deployments"`
}

type rolloutPast struct {
	RolloutID string     `json:"rollout_id"`
	Target    string     `json:"target"`
	State     string     `json:"state"`
	Reason    string     `json:"reason"`
	Approval  *approval  `json:"approval"`
	StartedAt *time.Time `json:"started_at"`
	StartedBy actor      `json:"started_by"`
}

type servedPast struct {
	Target     string     `json:"target"`
	Weight     int        `json:"weight"`
	DeployedAt *time.Time `json:"deployed_at"`
	DeployedBy actor      `json:"deployed_by"`
	EndedAt    *time.Time `json:"ended_at"`
	EndReason  string     `json:"end_reason"`
}

func (p *program) modelLineage() *cobra.Command {
	var version string
	var then moment
	cmd := &cobra.Command{
		Use: "lineage ID", Short: "Show where a version comes from and where it went", Args: takes(1, 1, modelArgument),
		Long: "Show where a version comes from and where it went: job, data, parameters, code, who started and approved it, its deployments.",
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			if err := then.ask(query); err != nil {
				return err
			}
			return p.showLineage(ctx, client.Request{Path: modelPath(args[0]) + "/versions/" + url.PathEscape(version) + "/lineage", Query: query})
		}),
	}
	cmd.Flags().StringVar(&version, "version", "latest", "a version's number, latest, or an alias: @champion")
	then.add(cmd.Flags())
	return cmd
}

func (p *program) showLineage(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	l, err := decode[lineage](raw, r.Path)
	if err != nil {
		return err
	}
	seen := "now"
	if r.Query.Has("as_of") || r.Query.Has("at_revision") {
		seen = "then"
	}
	fields := []field{
		{"Version", l.Version.Version},
		{"Artifact", l.Version.ArtifactsLocation},
		{"Created", p.when(l.Version.CreatedAt, l.Version.CreatedBy.Subject)},
		{"Modification", l.Version.Modification},
	}
	if l.Previous != nil {
		fields = append(fields, field{"Previous", l.Previous.Version + ", " + l.Previous.ArtifactsLocation})
	}
	if l.Training != nil {
		for _, of := range p.trainingFields(l.Training.training) {
			if of.name != "Version" && of.name != "Artifact" { // they stand above
				fields = append(fields, of)
			}
		}
		fields = append(fields, field{"Code", l.Training.CodeDigest})
	}
	for _, o := range l.Rollouts {
		text := fmt.Sprintf("to %s, %s, started %s by %s", o.Target, o.State, p.ago(o.StartedAt), o.StartedBy.Subject)
		if o.Approval != nil {
			text += "; approval " + p.approvalText(o.Approval)
		}
		fields = append(fields, field{"Rollout", text})
	}
	for _, d := range l.Deployments {
		text := fmt.Sprintf("at %s from %s", d.Target, p.when(d.DeployedAt, d.DeployedBy.Subject))
		if d.EndedAt != nil {
			text += " to " + p.when(d.EndedAt, "")
		} else {
			text += fmt.Sprintf(", %d %% of the traffic %s", d.Weight, seen)
		}
		fields = append(fields, field{"Deployed", text})
	}
	p.fields(fields)
	return nil
}
