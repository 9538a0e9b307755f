package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// ErrRecordDiffers says that a record of the name stands there and holds something else.
var ErrRecordDiffers = errors.New("the record stands there with another content")

// Record stores a small body under a name of the caller's, once and for ever: a record is never overwritten. The same
// body again is no error, another one is ErrRecordDiffers. When it returns, the record is durable.
func (s *Store) Record(ctx context.Context, name string, body []byte) error {
	err := s.upload(ctx, name, bytes.NewReader(body), &blob.WriterOptions{IfNotExist: true})
	if err == nil {
		return nil
	}
	// Drivers tell a lost race in different ways; what stands there decides.
	stored, readErr := s.ReadRecord(ctx, name)
	switch {
	case readErr != nil:
		return fmt.Errorf("store record %s: %w", name, err)
	case !bytes.Equal(stored, body):
		return fmt.Errorf("%w: %s", ErrRecordDiffers, name)
	}
	return nil
}

// ReadRecord reads a record; ErrNotFound when there is none.
func (s *Store) ReadRecord(ctx context.Context, name string) ([]byte, error) {
	body, err := s.bucket.ReadAll(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%w: record %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", name, err)
	}
	return body, nil
}

// Records are the names directly below a prefix that ends in a slash, in their order; those of folders end in one too.
// An error ends the sequence.
func (s *Store) Records(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		list := s.bucket.List(&blob.ListOptions{Prefix: prefix, Delimiter: "/"})
		for {
			object, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", fmt.Errorf("list records below %s: %w", prefix, err))
				return
			}
			if !yield(object.Key, nil) {
				return
			}
		}
	}
}
