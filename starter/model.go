package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"phantom/api/client"
)

// model is what is shown of a model.
type model struct {
	ModelID         string             `json:"model_id"`
	Name            string             `json:"name"`
	ModelType       string             `json:"model_type"`
	Algorithm       string             `json:"algorithm"`
	Status          string             `json:"status"`
	CurrentVersion  *string            `json:"current_version"`
	DeployedTargets []string           `json:"deployed_targets"`
	ActiveTrainings int                `json:"active_trainings"`
	Metrics         map[string]float64 `json:"metrics"`
	Tags            map[string]string  `json:"tags"`
	Description     string             `json:"description"`
	IntendedPurpose string             `json:"intended_purpose"`
	Config          json.RawMessage    `json:"config"`
	Counts          struct {
		Versions    int64 `json:"versions"`
		Trainings   int64 `json:"trainings"`
		Deployments int64 `json:"deployments"`
		Inferences  int64 `json:"inferences"`
	} `json:"counts"`
	Revision        int64      `json:"revision"`
	CreatedAt       *time.Time `json:"created_at"`
	CreatedBy       actor      `json:"created_by"`
	UpdatedAt       *time.Time `json:"updated_at"`
	LastInferenceAt *time.Time `json:"last_inference_at"`
}

type actor struct {
	Subject string `json:"subject"`
}

func (p *program) modelCommand() *cobra.Command {
	return p.group("model", "Create models and look at them",
		p.modelCreate(), p.modelGet(), p.modelList(), p.modelSearch(), p.modelVersions(), p.modelDeployments(), p.modelTrainings(),
		p.modelEvents(), p.modelLineage(), p.modelAnalytics(), p.modelConfig(), p.modelTag(), p.modelRegister(), p.modelArchive(), p.modelDelete())
}

const modelArgument = "a model's id"

func modelPath(id string) string { return "/api/v1/models/" + url.PathEscape(id) }

func (p *program) modelGet() *cobra.Command {
	var then moment
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a model, now or as it was", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			if err := then.ask(query); err != nil {
				return err
			}
			return p.showModel(ctx, client.Request{Path: modelPath(args[0]), Query: query})
		}),
	}
	then.add(cmd.Flags())
	return cmd
}

// showModel prints the model that a request answers with.
func (p *program) showModel(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	m, err := decode[model](raw, r.Path)
	if err != nil {
		return err
	}
	if p.quiet {
		fmt.Fprintln(p.out, clean(m.ModelID))
		return nil
	}
	p.fields(p.modelFields(m))
	return nil
}

func (p *program) modelFields(m model) []field {
	inferences := ""
	if m.Counts.Inferences > 0 {
		inferences = humanize.Comma(m.Counts.Inferences) + ", the last " + p.ago(m.LastInferenceAt)
	}
	trainings := strconv.FormatInt(m.Counts.Trainings, 10)
	if m.ActiveTrainings > 0 {
		trainings += fmt.Sprintf(" (%d running)", m.ActiveTrainings)
	}
	return []field{
		{"Model", m.ModelID},
		{"Name", m.Name},
		{"Status", m.Status},
		{"Type", m.ModelType + ", " + m.Algorithm},
		{"Version", opt(m.CurrentVersion)},
		{"Deployed at", strings.Join(m.DeployedTargets, ", ")},
		{"Metrics", metricsText(m.Metrics)},
		{"Trainings", trainings},
		{"Inferences", inferences},
		{"Tags", tagsText(m.Tags)},
		{"Description", m.Description},
		{"Purpose", m.IntendedPurpose},
		{"Config", configText(m.Config)},
		{"Created", p.when(m.CreatedAt, m.CreatedBy.Subject)},
		{"Updated", p.when(m.UpdatedAt, "")},
		{"Revision", strconv.FormatInt(m.Revision, 10)},
	}
}

func configText(raw json.RawMessage) string {
	if text := string(raw); text != "null" && text != "{}" {
		return text
	}
	return ""
}

func tagsText(tags map[string]string) string {
	parts := make([]string, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, key+"="+tags[key])
	}
	return strings.Join(parts, ", ")
}

func (p *program) modelList() *cobra.Command {
	var pages paging
	var status, kind, algorithm, asOf string
	var tags []string
	cmd := &cobra.Command{
		Use: "list", Short: "List models, by id", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			query := pages.query()
			set(query, "status", status)
			set(query, "model_type", kind)
			set(query, "algorithm", algorithm)
			set(query, "as_of", asOf)
			for _, tag := range tags {
				if _, _, err := pair("--tag", tag); err != nil {
					return err
				}
				query.Add("tag", tag)
			}
			return listing[model]{
				path: "/api/v1/models", query: query, more: "cursor",
				header: []string{"MODEL", "STATUS", "VERSION", "ACCURACY", "DEPLOYED AT", "ALGORITHM", "UPDATED", "NAME"},
				row: func(m model) []string {
					return []string{
						m.ModelID, m.Status, opt(m.CurrentVersion), numberOf(m.Metrics, "accuracy"),
						strings.Join(m.DeployedTargets, ","), m.Algorithm, p.ago(m.UpdatedAt), short(m.Name),
					}
				},
				none: "no models; make one with `phantom model create ID --name NAME`",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	cmd.Flags().StringVar(&status, "status", "", "created, training, trained, deployed, archived or deleted")
	cmd.Flags().StringVar(&kind, "type", "", "a model type, such as classification")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "an algorithm, such as mlp")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "key=value; several must all hold")
	cmd.Flags().StringVar(&asOf, "as-of", "", asOfHelp)
	return cmd
}

func (p *program) modelCreate() *cobra.Command {
	var name, kind, algorithm, config, description, purpose string
	var tags []string
	cmd := &cobra.Command{
		Use: "create ID", Short: "Create a model", Args: takes(1, 1, "an id for the model"),
		Example: "  phantom model create digits --name Digits --type classification --algorithm mlp --tag team=vision",
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{"model_id": args[0], "name": name, "model_type": kind, "algorithm": algorithm}
			if name == "" {
				body["name"] = args[0]
			}
			for field, text := range map[string]string{"description": description, "intended_purpose": purpose} {
				if text != "" {
					body[field] = text
				}
			}
			if len(tags) > 0 {
				labels, err := pairs("--tag", tags)
				if err != nil {
					return err
				}
				body["tags"] = labels
			}
			if config != "" {
				fields, err := p.inline("config", config)
				if err != nil {
					return err
				}
				body["initial_config"] = fields
			}
			return p.showModel(ctx, client.Request{Method: http.MethodPost, Path: "/api/v1/models", Body: body})
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "a name for people (default: the id)")
	flags.StringVar(&kind, "type", "classification", "what it does")
	flags.StringVar(&algorithm, "algorithm", "mlp", "how it is trained")
	flags.StringVar(&config, "config", "", "an object: JSON, or @file with JSON or YAML")
	flags.StringVar(&description, "description", "", "what it is")
	flags.StringVar(&purpose, "purpose", "", "what it is meant for")
	flags.StringArrayVar(&tags, "tag", nil, "key=value, as often as needed")
	return cmd
}

func (p *program) modelConfig() *cobra.Command {
	var config, reason string
	cmd := &cobra.Command{
		Use: "config ID --set @FILE --reason WHY", Short: "Replace a model's configuration", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			fields, err := p.inline("set", config)
			if err != nil {
				return err
			}
			body := spec{"new_config": fields, "change_reason": reason}
			return p.showModel(ctx, client.Request{Method: http.MethodPut, Path: modelPath(args[0]) + "/config", Body: body})
		}),
	}
	cmd.Flags().StringVar(&config, "set", "", "the new configuration: JSON, or @file with JSON or YAML")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	require(cmd, "set", "reason")
	return cmd
}

func (p *program) modelTag() *cobra.Command {
	return &cobra.Command{
		Use: "tag ID KEY=VALUE…", Short: "Set tags; KEY- removes one", Args: takes(2, -1, "a model's id and tags"),
		Example: "  phantom model tag digits team=vision stage-",
		RunE: p.does(func(ctx context.Context, args []string) error {
			tags := map[string]*string{}
			for _, text := range args[1:] {
				if key, gone := strings.CutSuffix(text, "-"); gone && key != "" && !strings.Contains(text, "=") {
					tags[key] = nil
					continue
				}
				key, value, err := pair("a tag", text)
				if err != nil {
					return err
				}
				tags[key] = &value
			}
			return p.showModel(ctx, client.Request{Method: http.MethodPatch, Path: modelPath(args[0]), Body: spec{"tags": tags}})
		}),
	}
}

// require marks flags without which there is nothing to do.
func require(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is not defined: a mistake of this file
		}
	}
}
