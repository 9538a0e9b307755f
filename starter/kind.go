package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"phantom/api/client"
)

// kind is what trainings and rollouts have in common: three ways to name one, and a saga that can be
// watched and steered.
type kind[T interface{ saga() string }] struct {
	noun   string // training
	path   string // trainings
	starts string // the command that starts one: train
}

// find answers with the object, as the API gave it and decoded: of a job or rollout id, of a workflow id,
// or the latest of a model.
func (k kind[T]) find(ctx context.Context, p *program, id string) (json.RawMessage, T, error) {
	var none T
	if parts := strings.SplitN(id, ":", 4); len(parts) == 4 {
		return k.ofSaga(ctx, p, id, parts[2])
	}
	if parsed, err := uuid.Parse(id); err == nil && parsed.String() == id {
		path := "/api/v1/" + k.path + "/" + id
		var raw json.RawMessage
		err := p.call(ctx, client.Request{Path: path}, &raw)
		if err == nil {
			value, err := decode[T](raw, path)
			return raw, value, err
		}
		if !isNotFound(err) {
			return nil, none, err
		}
		// A model may be named like a UUID.
		if found, value, other := k.latest(ctx, p, id); other == nil {
			return found, value, nil
		}
		return nil, none, err
	}
	return k.latest(ctx, p, id)
}

func (k kind[T]) latest(ctx context.Context, p *program, model string) (json.RawMessage, T, error) {
	var none T
	found, err := k.page(ctx, p, model, url.Values{"limit": {"1"}})
	if err != nil {
		return nil, none, err
	}
	if len(found.Items) == 0 {
		return nil, none, &failure{exitNotFound, "model " + model + " has no " + k.noun + " yet; `phantom " + k.starts + " " + model + "` starts one"}
	}
	value, err := decode[T](found.Items[0], k.path)
	return found.Items[0], value, err
}

// ofSaga is the latest that a workflow id stands for: it may have run more than once.
func (k kind[T]) ofSaga(ctx context.Context, p *program, id, model string) (json.RawMessage, T, error) {
	var none T
	query := url.Values{"limit": {"200"}}
	for {
		found, err := k.page(ctx, p, model, query)
		if err != nil {
			return nil, none, err
		}
		for _, raw := range found.Items {
			value, err := decode[T](raw, k.path)
			if err != nil || value.saga() == id {
				return raw, value, err
			}
		}
		if !found.HasMore {
			return nil, none, &failure{exitNotFound, "no " + k.noun + " belongs to workflow " + id + "; `phantom " + k.noun + " list` shows those there are"}
		}
		query.Set("cursor", found.NextCursor)
	}
}

func (k kind[T]) page(ctx context.Context, p *program, model string, query url.Values) (page[json.RawMessage], error) {
	var found page[json.RawMessage]
	err := p.call(ctx, client.Request{Path: modelPath(model) + "/" + k.path, Query: query}, &found)
	return found, err
}

// sagaOf is the saga behind an id. A workflow id is taken at its word: the saga may not have recorded
// anything yet.
func (k kind[T]) sagaOf(ctx context.Context, p *program, id string) (string, error) {
	if strings.Contains(id, ":") {
		return id, nil
	}
	_, value, err := k.find(ctx, p, id)
	if err != nil {
		return "", err
	}
	if value.saga() == "" {
		return "", &failure{exitConflict, "no workflow runs this " + k.noun + ": it was recorded by hand"}
	}
	return value.saga(), nil
}

// idHelp tells what an ID may be.
func (k kind[T]) idHelp() string {
	of := map[string]string{"training": "job id", "rollout": "rollout id"}[k.noun]
	return "ID is a model (its latest " + k.noun + "), a " + of + ", or a workflow id."
}

func (k kind[T]) argument() string { return "a " + k.noun + ": " + k.idHelp() }

func watchCommand[T interface{ saga() string }](p *program, k kind[T]) *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Show a " + k.noun + " until it ends",
		Long: "Show a " + k.noun + " until it ends. Ctrl-C leaves; the " + k.noun + " goes on.\n\n" + k.idHelp(),
		Args: takes(1, 1, k.argument()),
		RunE: p.does(func(ctx context.Context, args []string) error {
			id, err := k.sagaOf(ctx, p, args[0])
			if err != nil {
				return err
			}
			return p.wait(ctx, id)
		}),
	}
}

// steering is a message to a saga, as a command.
type steering struct {
	use, short string
	action     string // of the API
	done       string
	text       string // the field that a person may say something in: note or reason
	full       bool   // takes --full
}

func steerCommand[T interface{ saga() string }](p *program, k kind[T], s steering) *cobra.Command {
	var text string
	var full bool
	cmd := &cobra.Command{
		Use: s.use + " ID", Short: s.short, Long: s.short + ".\n\n" + k.idHelp(), Args: takes(1, 1, k.argument()),
		RunE: p.does(func(ctx context.Context, args []string) error {
			id, err := k.sagaOf(ctx, p, args[0])
			if err != nil {
				return err
			}
			body := spec{}
			if text != "" {
				body[s.text] = text
			}
			if full {
				body["full"] = true
			}
			return p.steer(ctx, id, s, body)
		}),
	}
	if s.text != "" {
		cmd.Flags().StringVar(&text, s.text, "", "for the audit trail")
	}
	if s.full {
		cmd.Flags().BoolVar(&full, "full", false, "all the way, not only the next step")
	}
	return cmd
}

func (p *program) steer(ctx context.Context, id string, s steering, body spec) error {
	var raw json.RawMessage
	err := p.call(ctx, client.Request{Method: http.MethodPost, Path: sagaPath(id) + "/" + s.action, Body: body}, &raw)
	if err != nil {
		return err
	}
	if p.json() && len(raw) > 0 {
		return p.print(raw)
	}
	if !p.json() && !p.quiet {
		p.line("%s %s", s.done, id)
	}
	return nil
}
