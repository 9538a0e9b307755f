package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// searchFound is what is shown of a search.
type searchFound struct {
	page[model]

	Total struct {
		Value    int64  `json:"value"`
		Relation string `json:"relation"`
	} `json:"total"`
	TookMS float64 `json:"took_ms"`
}

func (p *program) modelSearch() *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "search TEXT", Short: "Find models by words of their name, tags, description, type or algorithm",
		Long: "Find models by words of their name, tags, description, type or algorithm, the best hit first.\n\n" +
			"A model must have every word. The beginning of a word is enough, and a typo is forgiven.",
		Args: takes(1, -1, "words to look for"),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := pages.query()
			query.Set("q", strings.Join(args, " "))
			var raw json.RawMessage
			const path = "/api/v1/search"
			if err := p.call(ctx, client.Request{Path: path, Query: query}, &raw); err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			found, err := decode[searchFound](raw, path)
			if err != nil {
				return err
			}
			p.showFound(found)
			return nil
		}),
	}
	pages.add(cmd.Flags())
	return cmd
}

func (p *program) showFound(found searchFound) {
	if len(found.Items) == 0 {
		p.note("no model has these words; `phantom model list` shows all")
		return
	}
	rows := make([][]string, len(found.Items))
	for i, m := range found.Items {
		rows[i] = []string{m.ModelID, m.Name, m.Status, opt(m.CurrentVersion), m.ModelType, m.Algorithm, tagsText(m.Tags)}
	}
	p.table([]string{"MODEL", "NAME", "STATUS", "VERSION", "TYPE", "ALGORITHM", "TAGS"}, rows)
	total := strconv.FormatInt(found.Total.Value, 10)
	if found.Total.Relation == "gte" {
		total += " or more"
	}
	p.note("%s found in %.1f ms", total, found.TookMS)
	if found.HasMore {
		p.note("there are more: --cursor %s", found.NextCursor)
	}
}
