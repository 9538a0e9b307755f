package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// parkedStream is a stream with events that wait.
type parkedStream struct {
	AggregateType string     `json:"aggregate_type"`
	AggregateID   string     `json:"aggregate_id"`
	Position      int64      `json:"position"`
	EventType     string     `json:"event_type"`
	Error         string     `json:"error"`
	Count         int64      `json:"count"`
	Since         *time.Time `json:"since"`
}

func (p *program) projectionParked() *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "parked NAME", Short: "List the streams with events that could not be applied", Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			return listing[parkedStream]{
				path: projectionPath(args[0]) + "/parked", query: pages.query(), more: "cursor",
				header: []string{"STREAM", "POSITION", "EVENT", "COUNT", "SINCE", "ERROR"},
				row: func(s parkedStream) []string {
					return []string{
						s.AggregateType + ":" + s.AggregateID, strconv.FormatInt(s.Position, 10), s.EventType,
						strconv.FormatInt(s.Count, 10), p.ago(s.Since), s.Error,
					}
				},
				none: "nothing is parked",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	return cmd
}

func (p *program) projectionRetry() *cobra.Command {
	var stream string
	cmd := &cobra.Command{
		Use: "retry NAME", Short: "Apply the tenant's parked events, in order", Args: takes(1, 1, projectionArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := spec{}
			if stream != "" {
				kind, id, ok := strings.Cut(stream, ":")
				if !ok || kind == "" || id == "" {
					return usagef("--stream is %q: it is TYPE:ID, as `phantom projection parked` shows it", stream)
				}
				body["aggregate_type"], body["aggregate_id"] = kind, id
			}
			return p.retryProjection(ctx, args[0], body)
		}),
	}
	cmd.Flags().StringVar(&stream, "stream", "", "only what is parked with this stream, as TYPE:ID")
	return cmd
}

// retryProjection ends as failed when something still waits.
func (p *program) retryProjection(ctx context.Context, name string, body spec) error {
	path := projectionPath(name) + "/retry"
	var raw json.RawMessage
	if err := p.call(ctx, client.Request{Method: http.MethodPost, Path: path, Body: body}, &raw); err != nil {
		return err
	}
	done, err := decode[struct {
		Applied int64    `json:"applied"`
		Parked  int64    `json:"parked"`
		Errors  []string `json:"errors"`
	}](raw, path)
	switch {
	case err != nil:
		return err
	case p.json():
		err = p.print(raw)
	default:
		fmt.Fprintf(p.out, "applied %d, still parked %d\n", done.Applied, done.Parked)
		p.notes(done.Errors)
	}
	if err == nil && len(done.Errors) > 0 {
		return &failure{exitFailed, "what is parked still cannot be applied; mend the program or the data, then retry"}
	}
	return err
}
