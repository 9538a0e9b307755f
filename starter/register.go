package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

func (p *program) modelRegister() *cobra.Command {
	var artifact, note string
	var metrics []string
	cmd := &cobra.Command{
		Use: "register ID --artifact DIGEST", Short: "Register a version that was trained elsewhere", Args: takes(1, 1, modelArgument),
		Long: "Register a version that was trained elsewhere: `phantom artifact push` brings its files in and prints the digest.\n" +
			"The digest of a version of another model is fine too.",
		Example: "  phantom model register digits --artifact sha256:… --metric accuracy=0.97 --note 'from the lab'",
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{"artifacts_location": artifact}
			if note != "" {
				body["modification"] = note
			}
			if len(metrics) > 0 {
				texts, err := pairs("--metric", metrics)
				if err != nil {
					return err
				}
				values := map[string]float64{}
				for name, text := range texts {
					if values[name], err = strconv.ParseFloat(text, 64); err != nil {
						return usagef("--metric is %q: accepted is name=number", name+"="+text)
					}
				}
				body["metrics"] = values
			}
			return p.register(ctx, client.Request{Method: http.MethodPost, Path: modelPath(args[0]) + "/versions", Body: body})
		}),
	}
	cmd.Flags().StringVar(&artifact, "artifact", "", "the digest of its files: sha256:…")
	cmd.Flags().StringArrayVar(&metrics, "metric", nil, "what it achieved, name=number, as often as needed")
	cmd.Flags().StringVar(&note, "note", "", "what is new in it, or where it comes from")
	require(cmd, "artifact")
	return cmd
}

// register prints the version that was made; with --quiet its number alone.
func (p *program) register(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.api.Do(ctx, r, &raw); err != nil { // the server reads the artifact: that may take more than an answer's time
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	v, err := decode[modelVersion](raw, r.Path)
	if err != nil {
		return err
	}
	if p.quiet {
		p.line("%s", v.Version)
		return nil
	}
	p.line("registered version %s", v.Version)
	return nil
}
