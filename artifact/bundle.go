package artifact

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"phantom/domain"
)

// MaxBundle is the largest bundle, in bytes of its tar, that GetBundle takes into memory.
const MaxBundle = 1 << 30

// ErrMalformedBundle says that an object is intact but is no bundle, or that its names cannot be trusted.
var ErrMalformedBundle = errors.New("not a well-formed bundle")

// PutBundle stores files as one object: a tar with sorted names, mode 0644 and no times or owners, so the
// same files give the same digest whatever their order. Names must be relative, clean and distinct.
func (s *Store) PutBundle(ctx context.Context, files []File) (Stored, error) {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	for i, f := range sorted {
		if err := checkName(f.Name); err != nil {
			return Stored{}, err
		}
		if i > 0 && sorted[i-1].Name == f.Name {
			return Stored{}, fmt.Errorf("%w: %q is there twice", ErrMalformedBundle, f.Name)
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o644, Size: int64(len(f.Body)),
			ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatPAX,
		}
		if err := w.WriteHeader(header); err != nil {
			return Stored{}, fmt.Errorf("bundle %q: %w", f.Name, err)
		}
		if _, err := w.Write(f.Body); err != nil {
			return Stored{}, fmt.Errorf("bundle %q: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return Stored{}, fmt.Errorf("bundle: %w", err)
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
	files, err = unpack(body)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", d, err)
	}
	return files, nil
}

func unpack(body []byte) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	r := tar.NewReader(bytes.NewReader(body))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformedBundle, err)
		}
		if err := checkName(header.Name); err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%w: %q is no plain file", ErrMalformedBundle, header.Name)
		}
		if seen[header.Name] {
			return nil, fmt.Errorf("%w: %q is there twice", ErrMalformedBundle, header.Name)
		}
		seen[header.Name] = true
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrMalformedBundle, header.Name, err)
		}
		files = append(files, File{header.Name, content})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: it holds no file", ErrMalformedBundle)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || path.IsAbs(name) || path.Clean(name) != name ||
		strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\:\x00") {
		return fmt.Errorf("%w: the name %q is not relative and clean", ErrMalformedBundle, name)
	}
	return nil
}
