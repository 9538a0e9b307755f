// Package bundle is the form of an artifact: one tar of a model's files.
//
// What it promises: names are sorted, modes are 0644 and there are no times and no owners, so the same files
// give the same bytes, and so the same digest, whatever their order and whoever bundles them. What is read
// has names that stay within a folder, each once, and nothing but plain files.
//
// What it does not: it stores nothing, and knows no model.
package bundle

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// ErrMalformed says that bytes are no bundle, or that its names cannot be trusted.
var ErrMalformed = errors.New("not a well-formed bundle")

// maxFiles bounds the files of a bundle that is read: their names are held in memory.
const maxFiles = 10_000

// Entry is a file on its way into a bundle.
type Entry struct {
	Name string // slash-separated, relative, clean
	Size int64  // in bytes; the body must have exactly as many
	Open func() (io.ReadCloser, error)
}

// Write writes a bundle. Names must be relative, clean and distinct. Bodies are opened one after the other,
// and never held in memory.
func Write(w io.Writer, entries []Entry) error {
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	for i, entry := range sorted {
		if err := checkName(entry.Name); err != nil {
			return err
		}
		if i > 0 && sorted[i-1].Name == entry.Name {
			return fmt.Errorf("%w: %q is there twice", ErrMalformed, entry.Name)
		}
	}
	archive := tar.NewWriter(w)
	for _, entry := range sorted {
		if err := add(archive, entry); err != nil {
			return fmt.Errorf("bundle %q: %w", entry.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

func add(archive *tar.Writer, entry Entry) error {
	body, err := entry.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: entry.Name, Mode: 0o644, Size: entry.Size,
		ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatPAX,
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, body)
	return err
}

// Lacking says which files a bundle with these names lacks of those that are needed; empty when it has them all. A file of
// the same kind under another name is told, since it is likely to be meant.
func Lacking(names []string, needed ...string) string {
	var parts []string
	for _, name := range needed {
		if slices.Contains(names, name) {
			continue
		}
		part := "no " + name
		if other := slices.IndexFunc(names, func(other string) bool {
			return !slices.Contains(needed, other) && path.Ext(other) == ".onnx" && path.Ext(name) == ".onnx"
		}); other >= 0 {
			part += " (call " + names[other] + " so)"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	last := len(parts) - 1
	if last == 0 {
		return "it has " + parts[0]
	}
	return "it has " + strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// Walk reads a bundle and visits its files in their order; a body is good until the visit returns. An error
// of the visit, or of r, ends the walk and is returned as it is. What is no bundle is ErrMalformed, which
// may show only after some files were visited.
func Walk(r io.Reader, visit func(name string, size int64, body io.Reader) error) error {
	source := &reader{r: r}
	archive := tar.NewReader(source)
	seen := map[string]bool{}
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF) && len(seen) == 0:
			return fmt.Errorf("%w: it holds no file", ErrMalformed)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return source.blame(err)
		}
		if err := checkName(header.Name); err != nil {
			return err
		}
		switch {
		case header.Typeflag != tar.TypeReg:
			return fmt.Errorf("%w: %q is no plain file", ErrMalformed, header.Name)
		case seen[header.Name]:
			return fmt.Errorf("%w: %q is there twice", ErrMalformed, header.Name)
		case len(seen) == maxFiles:
			return fmt.Errorf("%w: it holds more than %d files", ErrMalformed, maxFiles)
		}
		seen[header.Name] = true
		if err := visit(header.Name, header.Size, blaming{archive, source}); err != nil {
			return err
		}
	}
}

// reader remembers the error of what it reads from, to tell it from one of the archive's form.
type reader struct {
	r   io.Reader
	err error
}

func (s *reader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func (s *reader) blame(err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// blaming is the body of a file; an error says whose fault it is.
type blaming struct {
	body   io.Reader
	source *reader
}

func (b blaming) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.source.blame(err)
	}
	return n, err
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || path.IsAbs(name) || path.Clean(name) != name ||
		strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\\:\x00") {
		return fmt.Errorf("%w: the name %q is not relative and clean", ErrMalformed, name)
	}
	return nil
}
