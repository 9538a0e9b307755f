package api

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"phantom/domain"
	"phantom/readmodel"
)

// ModelPath is the part of a path that names a model.
type ModelPath struct {
	ModelID string `path:"model_id" pattern:"^[a-z0-9][a-z0-9._-]{0,62}$" patternDescription:"[a-z0-9][a-z0-9._-]{0,62}" doc:"The model"`
}

func (p ModelPath) id() domain.ModelID { return domain.ModelID(p.ModelID) }

// Paging are the query parameters of a list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Items in a page"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
}

func (p Paging) of() readmodel.Paging { return readmodel.Paging{Limit: p.Limit, Cursor: p.Cursor} }

// Freshness lets a reader ask for his own write.
type Freshness struct {
	MinPosition int64 `header:"Phantom-Min-Position" minimum:"0" doc:"Wait until the answer has seen this position of the log; 503 after 10 s"`
}

// WriteHeaders are what every write takes.
type WriteHeaders struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"The same key with the same body happens once; with another body it is 422 idempotency_mismatch"`
	IfMatch        string `header:"If-Match" doc:"The model's revision that the caller has read, in quotes; 412 when it is stale"`
}

// keyForm bounds an Idempotency-Key to what can stand in an id of a workflow.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// expect is the revision of If-Match, after a look at the key.
func (h WriteHeaders) expect() (*int64, error) {
	if h.IdempotencyKey != "" && !keyForm.MatchString(h.IdempotencyKey) {
		return nil, param("Idempotency-Key", "must match [A-Za-z0-9._-]{1,64}")
	}
	if h.IfMatch == "" {
		return nil, nil //nolint:nilnil // no expectation is an answer
	}
	revision, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(h.IfMatch, "W/"), `"`), 10, 64)
	if err != nil || revision < 0 {
		return nil, param("If-Match", `must be a revision in quotes, like "7"`)
	}
	return &revision, nil
}

// item is an answer with one object.
type item[T any] struct {
	ETag     string `header:"ETag" doc:"The model's revision, in quotes; for If-Match"` //nolint:tagliatelle // HTTP's own spelling
	Location string `header:"Location" doc:"Where a new object is"`
	Position int64  `header:"Phantom-Position" doc:"The position of the log that the answer has at least seen"`
	Body     T
}

// list is an answer with a page of objects.
type list[T any] struct {
	Position int64 `header:"Phantom-Position" doc:"The position of the log that the answer has at least seen"`
	Body     page[T]
}

type page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor" doc:"The cursor of the next page; empty when there is none"`
	HasMore    bool   `json:"has_more"`
}

func pageOf[T any](p readmodel.Page[T]) *list[T] {
	items := p.Items
	if items == nil {
		items = []T{}
	}
	return &list[T]{Position: p.Position, Body: page[T]{Items: items, NextCursor: p.NextCursor, HasMore: p.HasMore}}
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// The time that a read waits for a position, and a write for its own.
const (
	minPositionWait = 10 * time.Second
	ownWriteWait    = 2 * time.Second
)

// fresh waits until a projection has seen what the reader needs.
func (s *server) fresh(ctx context.Context, f Freshness, projection string) error {
	return s.reached(ctx, projection, f.MinPosition)
}

func (s *server) reached(ctx context.Context, projection string, position int64) error {
	if position <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, minPositionWait)
	defer cancel()
	return s.WaitFor(ctx, projection, string(callerOf(ctx).Tenant), position)
}

// settle waits a little for read models to show a write; what is slower only shows later.
func (s *server) settle(ctx context.Context, position int64, projections ...string) {
	ctx, cancel := context.WithTimeout(ctx, ownWriteWait)
	defer cancel()
	for _, projection := range projections {
		if s.WaitFor(ctx, projection, string(callerOf(ctx).Tenant), position) != nil {
			return
		}
	}
}

// modelThere tells an empty list from one of a model that is not there, or was not at the position (0 means now). A list
// of all models' needs none.
func (s *server) modelThere(ctx context.Context, id domain.ModelID, asOf int64, items int) error {
	if items > 0 || id == "" {
		return nil
	}
	if err := s.reached(ctx, readmodel.CatalogueName, asOf); err != nil {
		return err
	}
	_, err := s.Reader.GetModel(ctx, callerOf(ctx).Tenant, id, asOf)
	return err
}
