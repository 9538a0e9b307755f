package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

func (p *program) trainingMetrics() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use: "metrics ID", Short: "Show the curves of a training's metrics", Args: takes(1, 1, trainingArgument),
		Long: "Show the curves of a training's metrics: as curves on a terminal, as numbers elsewhere." + trainingIDs,
		RunE: p.does(func(ctx context.Context, args []string) error {
			_, t, err := trainings().find(ctx, p, args[0])
			if err != nil {
				return err
			}
			raw, curves, err := p.curves(ctx, t, most)
			switch {
			case err != nil:
				return err
			case p.json():
				return p.print(raw)
			case len(curves) == 0:
				p.note("training %s has no metrics yet", t.TrainingJobID)
				return nil
			case p.drawn():
				return p.drawCurves(ctx, t)
			}
			p.listCurves(curves)
			return nil
		}),
	}
	cmd.Flags().IntVar(&most, "max-points", 0, "thin longer curves to so many points (at least 2; default all)")
	return cmd
}

// curves asks for a training's curves; with most, of so many points each.
func (p *program) curves(ctx context.Context, t training, most int) (json.RawMessage, []curve, error) {
	query := url.Values{}
	if most != 0 {
		query.Set("max_points", strconv.Itoa(most))
	}
	path := modelPath(t.ModelID) + "/trainings/" + url.PathEscape(t.TrainingJobID) + "/metrics"
	var raw json.RawMessage
	if err := p.call(ctx, client.Request{Path: path, Query: query}, &raw); err != nil {
		return nil, nil, err
	}
	found, err := decode[page[curve]](raw, path)
	return raw, found.Items, err
}

// listCurves prints a line for each epoch of each metric.
func (p *program) listCurves(curves []curve) {
	var rows [][]string
	for _, c := range curves {
		for _, point := range c.Points {
			rows = append(rows, []string{c.Metric, strconv.Itoa(point.Epoch), strconv.FormatInt(point.Step, 10), strconv.FormatFloat(point.Value, 'g', -1, 64)})
		}
	}
	p.table([]string{"METRIC", "EPOCH", "STEP", "VALUE"}, rows)
}
