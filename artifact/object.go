package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"gocloud.dev/blob"

	"phantom/domain"
)

// Object is a stored artifact that is read from any place. It is not for concurrent use.
type Object struct {
	r    *blob.Reader
	want domain.Digest
	sum  hash.Hash
	at   int64 // where the next read begins
	// whole: sum covers every byte before at. Then the last bytes are held back until the digest agrees.
	whole bool
}

// Object opens an artifact for a reader that may want a part of it. Who reads it in order from the first
// byte to the last has either all of it, as it was stored, or ErrCorrupt in the place of its end; a part
// alone is not verified.
func (s *Store) Object(ctx context.Context, d domain.Digest) (*Object, error) {
	r, err := s.open(ctx, d)
	if err != nil {
		return nil, err
	}
	return &Object{r: r, want: d, sum: sha256.New(), whole: true}, nil
}

// Size is how many bytes there are.
func (o *Object) Size() int64 { return o.r.Size() }

// Read implements io.Reader.
func (o *Object) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.at += int64(n)
	if o.whole {
		o.sum.Write(p[:n])
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read artifact %s: %w", o.want, err)
	}
	if o.whole && (o.at == o.Size() || err != nil) && digestOf(o.sum) != o.want {
		return 0, fmt.Errorf("%w: %s", ErrCorrupt, o.want)
	}
	return n, err
}

// Seek implements io.Seeker.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	at, err := o.r.Seek(offset, whence)
	if err != nil {
		return at, fmt.Errorf("seek in artifact %s: %w", o.want, err)
	}
	switch {
	case at == 0:
		o.sum.Reset()
		o.whole = true
	case at != o.at:
		o.whole = false
	}
	o.at = at
	return at, nil
}

// Close implements io.Closer.
func (o *Object) Close() error { return o.r.Close() }
