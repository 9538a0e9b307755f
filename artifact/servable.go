package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"phantom/artifact/bundle"
	"phantom/domain"
)

// ErrNotServable says that an artifact is intact but lacks what a server needs to load and prove it.
var ErrNotServable = errors.New("no model that can be served")

// The most bytes of the files of a bundle that are read to judge it. A signature stands in an event.
const (
	maxSignature = 256 << 10
	maxDocument  = 16 << 20
)

// document is a JSON file of a bundle that is read.
type document struct {
	into any
	most int64
}

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
	names, err := readDocuments(r, map[string]document{
		SignatureFile: {&signature, maxSignature}, GoldenFile: {&golden, maxDocument}, LabelsFile: {&[]string{}, maxDocument},
	})
	if err == nil || errors.Is(err, ErrNotServable) {
		if _, ended := io.Copy(io.Discard, r); ended != nil { // at the end the digest is compared
			err = ended
		}
	}
	if lacking := bundle.Lacking(names, ModelFile, SignatureFile, GoldenFile); err == nil && lacking != "" {
		err = fmt.Errorf("%w: %s", ErrNotServable, lacking)
	}
	if err == nil && (len(golden.Inputs) == 0 || len(golden.Inputs) != len(golden.Outputs)) {
		err = fmt.Errorf("%w: %s must have as many inputs as outputs, and at least one", ErrNotServable, GoldenFile)
	}
	if err != nil {
		return domain.Signature{}, err
	}
	return signature, nil
}

// readDocuments reads the named files of a bundle, and tells which files there are.
func readDocuments(r io.Reader, wanted map[string]document) (names []string, err error) {
	err = bundle.Walk(r, func(name string, size int64, body io.Reader) error {
		names = append(names, name)
		read, want := wanted[name]
		switch {
		case !want:
			_, err := io.Copy(io.Discard, body)
			return err
		case size > read.most:
			return fmt.Errorf("%w: %s is larger than %d bytes", ErrNotServable, name, read.most)
		}
		text, err := io.ReadAll(body)
		if err == nil && json.Unmarshal(text, read.into) != nil {
			err = fmt.Errorf("%w: %s is not of its form", ErrNotServable, name)
		}
		return err
	})
	if errors.Is(err, ErrMalformedBundle) {
		err = fmt.Errorf("%w: it is no tar of %s, %s and %s", ErrNotServable, ModelFile, SignatureFile, GoldenFile)
	}
	return names, err
}
