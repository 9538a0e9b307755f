package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsTemplate string

// docsOperation is a line of the page.
type docsOperation struct {
	Method, Path, Summary, ID string
	Parameters                []*huma.Param
}

// docsSection is a tag with its operations.
type docsSection struct {
	Name       string
	Operations []docsOperation
}

// docsPage renders the description as a page of its own: no script, and nothing from other hosts.
func docsPage(api huma.API) http.HandlerFunc {
	var page bytes.Buffer
	err := template.Must(template.New("docs").Parse(docsTemplate)).Execute(&page, map[string]any{
		"Title": api.OpenAPI().Info.Title, "Version": api.OpenAPI().Info.Version,
		"Description": api.OpenAPI().Info.Description, "Sections": docsSections(api.OpenAPI()),
	})
	return fixedPage("text/html; charset=utf-8", page.Bytes(), err)
}

// describedPage is the OpenAPI description.
func describedPage(api huma.API) http.HandlerFunc {
	text, err := json.Marshal(api.OpenAPI())
	return fixedPage("application/openapi+json", text, err)
}

// fixedPage answers what was made once; err is why it could not be made.
func fixedPage(kind string, page []byte, err error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			write(w, internal(requestID(r.Context())))
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(page) // a reader who left sees nothing
	}
}

func docsSections(described *huma.OpenAPI) []docsSection {
	found := map[string][]docsOperation{}
	for path, item := range described.Paths {
		for method, op := range map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
			http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
		} {
			if op != nil {
				found[op.Tags[0]] = append(found[op.Tags[0]], docsOperation{method, path, op.Summary, op.OperationID, op.Parameters})
			}
		}
	}
	sections := make([]docsSection, 0, len(found))
	for name, operations := range found {
		slices.SortFunc(operations, func(a, b docsOperation) int {
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
		})
		sections = append(sections, docsSection{name, operations})
	}
	slices.SortFunc(sections, func(a, b docsSection) int { return strings.Compare(a.Name, b.Name) })
	return sections
}
