package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// modelVersion is what is shown of a version.
type modelVersion struct {
	Version           string             `json:"version"`
	ArtifactsLocation string             `json:"artifacts_location"`
	Metrics           map[string]float64 `json:"metrics"`
	TrainingJobID     *string            `json:"training_job_id"`
	CreatedAt         *time.Time         `json:"created_at"`
	CreatedBy         actor              `json:"created_by"`
	DeployedTargets   []string           `json:"deployed_targets"`
	Aliases           []string           `json:"aliases"`
}

func (p *program) modelVersions() *cobra.Command {
	var pages paging
	var then moment
	cmd := &cobra.Command{
		Use: "versions ID", Short: "List a model's versions, the newest first", Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			if err := then.ask(query); err != nil {
				return err
			}
			return listing[modelVersion]{
				path: modelPath(args[0]) + "/versions", query: query, more: "cursor",
				header: []string{"VERSION", "ALIASES", "ACCURACY", "F1", "DEPLOYED AT", "CREATED", "BY", "ARTIFACT", "TRAINING"},
				row: func(v modelVersion) []string {
					return []string{
						v.Version, strings.Join(v.Aliases, ","), numberOf(v.Metrics, "accuracy"), numberOf(v.Metrics, "f1"), strings.Join(v.DeployedTargets, ","),
						p.ago(v.CreatedAt), v.CreatedBy.Subject, short(v.ArtifactsLocation), opt(v.TrainingJobID),
					}
				},
				none: "no version yet; train one with `phantom train " + args[0] + " --data FILE.csv --wait`",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	then.add(cmd.Flags())
	return cmd
}

// versionCommand tells this program's own version.
func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print this program's version", Args: takes(0, 0, ""),
		RunE: p.does(func(context.Context, []string) error {
			if p.json() {
				raw, err := json.Marshal(map[string]string{"version": version})
				if err != nil {
					return err
				}
				return p.print(raw)
			}
			fmt.Fprintln(p.out, "phantom", version)
			return nil
		}),
	}
}
