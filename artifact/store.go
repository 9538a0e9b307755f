package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // registers file://, the default; other drivers are the program's choice
	"gocloud.dev/gcerrors"

	"phantom/domain"
)

const algorithm = "sha256"

// Store keeps objects under the key sha256/ab/abcdef… of a bucket. It is safe for concurrent use, also
// by several processes on one bucket.
type Store struct{ bucket *blob.Bucket }

// Open opens the bucket that a gocloud.dev/blob URL names. A file:// bucket is made when it is missing,
// keeps its temporary files beside the final ones, so that a rename publishes an object, and writes no
// sidecar files. Another scheme needs its driver linked into the program.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	parsed, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("artifacts URL: %w", err)
	}
	if parsed.Scheme == "file" {
		query := parsed.Query()
		query.Set("create_dir", "true")
		query.Set("no_tmp_dir", "true")
		query.Set("metadata", "skip")
		parsed.RawQuery = query.Encode()
	}
	bucket, err := blob.OpenBucket(ctx, parsed.String())
	if err != nil {
		return nil, fmt.Errorf("open artifacts at %s: %w", parsed.Redacted(), err)
	}
	return &Store{bucket}, nil
}

// Close releases the bucket; readers that are still open fail afterwards.
func (s *Store) Close() error {
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("close the artifact store: %w", err)
	}
	return nil
}

// Put stores all that r gives. When it returns, the object is there, intact and durable: an object that
// was there already is read and compared, and replaced when it was corrupt. An error of r is returned as
// it is, and nothing was stored.
func (s *Store) Put(ctx context.Context, r io.Reader) (Stored, error) {
	spool, err := os.CreateTemp("", "phantom-artifact-*")
	if err != nil {
		return Stored{}, fmt.Errorf("spool an artifact: %w", err)
	}
	defer func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(spool, sum), r)
	if err != nil {
		return Stored{}, err
	}
	stored := Stored{Digest: digestOf(sum), Size: size}
	switch err := s.verify(ctx, stored.Digest); {
	case err == nil:
		return stored, nil
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
		return Stored{}, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return Stored{}, fmt.Errorf("spool an artifact: %w", err)
	}
	if err := s.upload(ctx, key(stored.Digest), spool, &blob.WriterOptions{}); err != nil {
		return Stored{}, fmt.Errorf("store artifact %s: %w", stored.Digest, err)
	}
	return stored, nil
}

// Get opens an object. The reader gives ErrCorrupt in the place of io.EOF when the bytes do not have
// their digest, so only who has read to the end without an error has read the artifact.
func (s *Store) Get(ctx context.Context, d domain.Digest) (io.ReadCloser, error) {
	r, err := s.open(ctx, d)
	if err != nil {
		return nil, err
	}
	return &verifyingReader{r: r, want: d, sum: sha256.New()}, nil
}

// open opens the stored bytes, which nobody has verified.
func (s *Store) open(ctx context.Context, d domain.Digest) (*blob.Reader, error) {
	if !d.Valid() {
		return nil, badDigest()
	}
	r, err := s.bucket.NewReader(ctx, key(d), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, d)
	}
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", d, err)
	}
	return r, nil
}

// Exists reports whether an object is there; it does not read it.
func (s *Store) Exists(ctx context.Context, d domain.Digest) (bool, error) {
	if !d.Valid() {
		return false, nil
	}
	found, err := s.bucket.Exists(ctx, key(d))
	if err != nil {
		return false, fmt.Errorf("look for artifact %s: %w", d, err)
	}
	return found, nil
}

func (s *Store) verify(ctx context.Context, d domain.Digest) error {
	r, err := s.Get(ctx, d)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// upload publishes the object with Close; a write context that ends before leaves nothing behind.
func (s *Store) upload(ctx context.Context, key string, r io.Reader, options *blob.WriterOptions) error {
	ctx, abandon := context.WithCancel(ctx)
	defer abandon()
	var local *os.File
	options.ContentType, options.DisableContentTypeDetection = "application/octet-stream", true
	options.BeforeWrite = func(as func(any) bool) error {
		as(&local)
		return nil
	}
	w, err := s.bucket.NewWriter(ctx, key, options)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err == nil && local != nil {
		err = local.Sync()
	}
	if err != nil {
		abandon()
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	if local == nil {
		return nil
	}
	return syncFolders(local.Name(), strings.Count(key, "/")+1)
}

func key(d domain.Digest) string {
	sum := strings.TrimPrefix(string(d), algorithm+":")
	return algorithm + "/" + sum[:2] + "/" + sum
}

func digestOf(sum hash.Hash) domain.Digest {
	return domain.Digest(algorithm + ":" + hex.EncodeToString(sum.Sum(nil)))
}

// verifyingReader is an object on its way to a reader; it holds io.EOF back until the digest agrees.
type verifyingReader struct {
	r    io.ReadCloser
	want domain.Digest
	sum  hash.Hash
}

func (v *verifyingReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if digestOf(v.sum) != v.want {
			return n, fmt.Errorf("%w: %s", ErrCorrupt, v.want)
		}
		return n, io.EOF
	}
	if err != nil {
		return n, fmt.Errorf("read artifact %s: %w", v.want, err)
	}
	return n, nil
}

func (v *verifyingReader) Close() error { return v.r.Close() }
