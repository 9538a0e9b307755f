package artifact

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"phantom/artifact/bundle"
	"phantom/domain"
)

// MaxBundle is the largest bundle, in bytes of its tar, that GetBundle takes into memory.
const MaxBundle = 1 << 30

// ErrMalformedBundle says that an object is intact but is no bundle, or that its names cannot be trusted.
var ErrMalformedBundle = bundle.ErrMalformed

// PutBundle stores files as one object: the same files give the same digest whatever their order. Names
// must be relative, clean and distinct.
func (s *Store) PutBundle(ctx context.Context, files []File) (Stored, error) {
	entries := make([]bundle.Entry, len(files))
	for i, f := range files {
		entries[i] = bundle.Entry{Name: f.Name, Size: int64(len(f.Body)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(f.Body)), nil
		}}
	}
	var body bytes.Buffer
	if err := bundle.Write(&body, entries); err != nil {
		return Stored{}, err
	}
	return s.Put(ctx, &body)
}

// GetBundle reads a bundle, sorted by name. All bytes are verified before the first is looked at; names
// that would leave a folder (absolute, "..", not clean) and entries that are no plain files are refused.
func (s *Store) GetBundle(ctx context.Context, d domain.Digest) (files []File, err error) {
	r, err := s.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	body, err := io.ReadAll(io.LimitReader(r, MaxBundle+1))
	if err != nil {
		return nil, err
	}
	if len(body) > MaxBundle {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrMalformedBundle, d, MaxBundle)
	}
	err = bundle.Walk(bytes.NewReader(body), func(name string, _ int64, body io.Reader) error {
		content, err := io.ReadAll(body)
		files = append(files, File{name, content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", d, err)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}
