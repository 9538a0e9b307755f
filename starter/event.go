package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// event is what is shown of an event.
type event struct {
	Position    int64           `json:"position"`
	AggregateID string          `json:"aggregate_id"`
	EventType   string          `json:"event_type"`
	EventData   json.RawMessage `json:"event_data"`
	Metadata    struct {
		Actor actor `json:"actor"`
	} `json:"metadata"`
	OccurredAt *time.Time `json:"occurred_at"`
}

func (p *program) modelEvents() *cobra.Command {
	var after int64
	var limit int
	var types []string
	cmd := &cobra.Command{
		Use: "events ID", Short: "Show who did what, when: a model's events and those of its trainings and rollouts",
		Args: takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			if after > 0 {
				query.Set("after", strconv.FormatInt(after, 10))
			}
			if limit != 0 {
				query.Set("limit", strconv.Itoa(limit))
			}
			for _, name := range types {
				query.Add("type", name)
			}
			return listing[event]{
				path: modelPath(args[0]) + "/events", query: query, more: "after",
				header: []string{"POSITION", "TIME", "EVENT", "BY", "WHAT"},
				row: func(e event) []string {
					at := ""
					if e.OccurredAt != nil {
						at = e.OccurredAt.UTC().Format("2006-01-02 15:04:05Z")
					}
					return []string{strconv.FormatInt(e.Position, 10), at, e.EventType, e.Metadata.Actor.Subject, e.gist()}
				},
				none: "no events there",
			}.show(ctx, p)
		}),
	}
	cmd.Flags().Int64Var(&after, "after", 0, "only events after this position")
	cmd.Flags().IntVar(&limit, "limit", 0, "events in a page (default 50, at most 200)")
	cmd.Flags().StringArrayVar(&types, "type", nil, "only events of this type; several are any of them")
	return cmd
}

// gist is an event's few telling fields, in this order.
func (e event) gist() string {
	var data map[string]json.RawMessage
	if json.Unmarshal(e.EventData, &data) != nil {
		return ""
	}
	var parts []string
	for _, name := range []string{
		"name", "alias", "version", "previous_version", "restored_version", "target", "deployment_target", "weights", "verdict",
		"epoch", "progress_percentage", "passed", "decision", "reason", "note", "change_reason", "failure_reason",
		"error_details", "artifacts_location",
	} {
		value, there := data[name]
		if text := strings.Trim(string(value), `"`); there && text != "" && text != "null" {
			parts = append(parts, name+"="+short(shortNumber(text)))
		}
	}
	return strings.Join(parts, " ")
}
