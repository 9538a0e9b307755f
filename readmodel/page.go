package readmodel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"phantom/domain"
)

// Page is one piece of a list. HasMore is exact; NextCursor is empty when there is no more.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor"`
	HasMore    bool   `json:"has_more"`
	// Position is the log's position that the answer has at least seen.
	Position int64 `json:"-"`
}

// Paging says which piece of a list is wanted.
type Paging struct {
	Limit  int    // 0 means DefaultLimit; more than MaxLimit is refused
	Cursor string // a Page's NextCursor; only good for the same list with the same filter
}

// The sizes of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// list is one list: its name, whose it is, and its filter.
type list struct {
	Name   string
	Tenant domain.Tenant
	Filter any
}

// checksumBytes of a cursor bind it to its list. It is no secret: it tells a cursor that was cut, edited
// or used elsewhere. What a tenant may see is up to row-level security.
const checksumBytes = 9

func (l list) checksum(after string) []byte {
	filter, err := json.Marshal(l.Filter)
	if err != nil { // filters are plain structs
		filter = fmt.Appendf(nil, "%v", l.Filter)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", l.Name, l.Tenant, filter, after))
	return sum[:checksumBytes]
}

// cursor is opaque: the key of the last item that was shown, bound to the list.
func (l list) cursor(after string) string {
	return base64.RawURLEncoding.EncodeToString(append(l.checksum(after), after...))
}

// start checks the paging, and answers with the key to go on after and the number of items.
func (l list) start(p Paging) (after string, limit int, err error) {
	limit, err = limitOf(p.Limit)
	if err != nil || p.Cursor == "" {
		return "", limit, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err == nil && len(raw) > checksumBytes {
		after = string(raw[checksumBytes:])
		if subtle.ConstantTimeCompare(l.checksum(after), raw[:checksumBytes]) == 1 {
			return after, limit, nil
		}
	}
	return "", 0, &domain.InvalidInput{
		Field: "cursor", Reason: "is not a next_cursor of this list with this filter; start again without it",
	}
}

func limitOf(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultLimit, nil
	case limit < 0 || limit > MaxLimit:
		return 0, &domain.InvalidInput{Field: "limit", Reason: fmt.Sprintf("must be from 1 to %d", MaxLimit)}
	default:
		return limit, nil
	}
}

// paged is how a list's rows become a page: one row more than shown is read, so has_more is exact.
type paged[R, T any] struct {
	list  list
	query func(after string, rows int) *query // after is empty for the first page
	key   func(R) string
	item  func(R) T
}

func (p paged[R, T]) page(ctx context.Context, r *Reader, paging Paging) (Page[T], error) {
	after, limit, err := p.list.start(paging)
	if err != nil {
		return Page[T]{}, err
	}
	rows, position, err := ask[R](ctx, r, p.query(after, limit+1))
	if err != nil {
		return Page[T]{}, err
	}
	page := Page[T]{Items: make([]T, 0, min(limit, len(rows))), Position: position}
	if len(rows) > limit {
		rows, page.HasMore = rows[:limit], true
		page.NextCursor = p.list.cursor(p.key(rows[limit-1]))
	}
	for _, row := range rows {
		page.Items = append(page.Items, p.item(row))
	}
	return page, nil
}
