package readmodel

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
