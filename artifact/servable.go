package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"phantom/artifact/bundle"
	"phantom/domain"
)

// ErrNotServable says that an artifact is intact but lacks what a server needs to load and prove it.
var ErrNotServable = errors.New("no model that can be served")

// maxDocument bounds the files of a bundle that are read to judge it, in bytes.
const maxDocument = 64 << 20

// CheckServable tells whether an artifact is a bundle with a model, its signature and golden answers, and
// returns the signature. The model itself is read past, but not looked at: its server judges it. Errors are
// ErrNotServable with what is missing, ErrNotFound, ErrCorrupt, or that of the store.
func (s *Store) CheckServable(ctx context.Context, d domain.Digest) (signature domain.Signature, err error) {
	r, err := s.Get(ctx, d)
	if err != nil {
		return signature, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var golden Golden
	documents := map[string]any{SignatureFile: &signature, GoldenFile: &golden, LabelsFile: &[]string{}}
	var names []string
	err = bundle.Walk(r, func(name string, size int64, body io.Reader) error {
		names = append(names, name)
		into, read := documents[name]
		switch {
		case !read:
			_, err := io.Copy(io.Discard, body)
			return err
		case size > maxDocument:
			return fmt.Errorf("%w: %s is larger than %d bytes", ErrNotServable, name, maxDocument)
		}
		text, err := io.ReadAll(body)
		if err == nil && json.Unmarshal(text, into) != nil {
			err = fmt.Errorf("%w: %s is not of its form", ErrNotServable, name)
		}
		return err
	})
	if err == nil {
		_, err = io.Copy(io.Discard, r) // to the end, where the digest is compared
	}
	if errors.Is(err, ErrMalformedBundle) {
		err = fmt.Errorf("%w: it is no tar of %s, %s and %s", ErrNotServable, ModelFile, SignatureFile, GoldenFile)
	}
	if err != nil {
		return domain.Signature{}, err
	}
	for _, name := range []string{ModelFile, SignatureFile, GoldenFile} {
		if !slices.Contains(names, name) {
			return domain.Signature{}, fmt.Errorf("%w: it has no %s", ErrNotServable, name)
		}
	}
	if len(golden.Inputs) == 0 || len(golden.Inputs) != len(golden.Outputs) {
		return domain.Signature{}, fmt.Errorf("%w: %s must have as many inputs as outputs, and at least one", ErrNotServable, GoldenFile)
	}
	return signature, nil
}
