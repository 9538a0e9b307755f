package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// apiKey is what is shown of an API key.
type apiKey struct {
	KeyID      string     `json:"key_id"`
	Name       string     `json:"name"`
	Role       string     `json:"role"`
	CreatedAt  *time.Time `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	RevokedBy  *string    `json:"revoked_by"`
	LastUsedAt *time.Time `json:"last_used_at"`
	APIKey     string     `json:"api_key"` // of a new one only
}

const keysPath = "/api/v1/keys"

const roleHelp = `viewer: read, and ask models · trainer: make models, train, label · deployer: bring versions into service
and out · approver: approve and reject · admin: make and revoke keys. Each may do what those before it may.`

func (p *program) keyCommand() *cobra.Command {
	group := p.group("key", "Make, list and revoke API keys", p.keyBootstrap(), p.keyCreate(), p.keyList(), p.keyRevoke(), p.keyEvents())
	group.Long = "Make, list and revoke API keys. PHANTOM_API_KEY names the one that phantom uses; it says whose the models are.\n\n" + roleHelp
	return group
}

// keyBootstrap hands on to phantom-worker: the first key needs the database.
func (p *program) keyBootstrap() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Make a tenant's first API key, an admin's, with access to the database", Args: takes(0, 0, ""),
		Long: "Make a tenant's first API key, an admin's. It runs `phantom-worker key bootstrap`, which needs DATABASE_URL, and is\n" +
			"refused while the tenant has an admin key in force. Standard output is the key alone, told now and never again:\n\n" +
			"  export PHANTOM_API_KEY=$(phantom key bootstrap)",
		RunE: p.does(func(ctx context.Context, _ []string) error {
			args := []string{"key", "bootstrap", "--output", p.output, "--name", name}
			if p.tenant != "" {
				args = append(args, "--tenant", p.tenant)
			}
			return p.handOn(ctx, args)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "admin", "who the events name that are caused with it")
	return cmd
}

func (p *program) keyCreate() *cobra.Command {
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make an API key, and show it: now and never again", Args: takes(1, 1, "a name: who the events name"),
		Long: "Make an API key. Standard output is the key alone, told now and never again.\n\n" + roleHelp,
		RunE: p.does(func(ctx context.Context, args []string) error {
			body := map[string]any{"name": args[0], "role": role}
			if expires < 0 {
				return usagef("--expires is %s: accepted is a duration such as 720h", expires)
			}
			if expires > 0 {
				body["expires_at"] = p.now().Add(expires).UTC().Format(time.RFC3339)
			}
			var raw json.RawMessage
			if err := p.call(ctx, client.Request{Method: http.MethodPost, Path: keysPath, Body: body}, &raw); err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			made, err := decode[apiKey](raw, keysPath)
			if err != nil {
				return err
			}
			p.note("key %s of %s, %s; it is told now and never again:", made.KeyID, made.Name, made.Role)
			fmt.Fprintln(p.out, made.APIKey)
			return nil
		}),
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, trainer, deployer, approver or admin")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it stands, such as 720h (default: until it is revoked)")
	require(cmd, "role")
	return cmd
}

func (p *program) keyList() *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "list", Short: "List API keys, those that were revoked too", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			return listing[apiKey]{
				path: keysPath, query: pages.query(), more: "cursor",
				header: []string{"KEY", "NAME", "ROLE", "STATE", "EXPIRES", "LAST USED", "CREATED", "BY"},
				row: func(k apiKey) []string {
					return []string{k.KeyID, k.Name, k.Role, p.keyState(k), p.ago(k.ExpiresAt), p.ago(k.LastUsedAt), p.ago(k.CreatedAt), k.CreatedBy}
				},
				none: "no keys; make the first with `phantom key bootstrap`",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	return cmd
}

func (p *program) keyState(k apiKey) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && !p.now().Before(*k.ExpiresAt):
		return "expired"
	}
	return "ok"
}

func (p *program) keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke KEY", Short: "Revoke an API key, at once and for good", Args: takes(1, 1, "a key's id: `phantom key list` shows them"),
		RunE: p.does(func(ctx context.Context, args []string) error {
			var raw json.RawMessage
			path := keysPath + "/" + url.PathEscape(args[0])
			if err := p.call(ctx, client.Request{Method: http.MethodDelete, Path: path}, &raw); err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			revoked, err := decode[apiKey](raw, path)
			if err != nil {
				return err
			}
			p.note("revoked: key %s of %s, %s, %s", revoked.KeyID, revoked.Name, revoked.Role, p.when(revoked.RevokedAt, opt(revoked.RevokedBy)))
			return nil
		}),
	}
}

// keyEvent is a line of the trail.
type keyEvent struct {
	RecordedAt *time.Time `json:"recorded_at"`
	Kind       string     `json:"kind"`
	KeyID      string     `json:"key_id"`
	DoneBy     string     `json:"done_by"`
	Operation  string     `json:"operation"`
	Reason     string     `json:"reason"`
	Count      int64      `json:"count"`
}

func (p *program) keyEvents() *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "events", Short: "Show what was done with keys and what was refused to them, the newest first", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			return listing[keyEvent]{
				path: keysPath + "/events", query: pages.query(), more: "cursor",
				header: []string{"TIME", "EVENT", "KEY", "BY", "OPERATION", "WHAT", "COUNT"},
				row: func(e keyEvent) []string {
					at := ""
					if e.RecordedAt != nil {
						at = e.RecordedAt.UTC().Format("2006-01-02 15:04:05Z")
					}
					return []string{at, e.Kind, e.KeyID, e.DoneBy, e.Operation, e.Reason, strconv.FormatInt(e.Count, 10)}
				},
				none: "nothing was done with keys yet",
			}.show(ctx, p)
		}),
	}
	pages.add(cmd.Flags())
	return cmd
}
