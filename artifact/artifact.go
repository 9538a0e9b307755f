// Package artifact stores model files by their content.
//
// What it promises: a digest is the SHA-256 of the bytes; what is read is what was written, or an error
// (ErrCorrupt); storing the same bytes twice is one object; a half-written object is never visible.
//
// What it does not: it knows no model and deletes nothing by itself.
package artifact

import (
	"errors"

	"phantom/domain"
)

// ErrCorrupt says that stored bytes do not have their digest any more.
var ErrCorrupt = errors.New("the artifact is corrupt")

// ErrNotFound says that no artifact has the digest.
var ErrNotFound = errors.New("artifact not found")

// File is one file of a bundle.
type File struct {
	Name string // slash-separated, relative, clean
	Body []byte
}

// The files of a model bundle. Golden holds at least one request and the answer that the model must give.
const (
	ModelFile     = "model.onnx"
	SignatureFile = "signature.json" // domain.Signature
	GoldenFile    = "golden.json"    // Golden
	LabelsFile    = "labels.json"    // []string: the class names in output order, when it classifies
)

// Golden is the proof that a loaded model computes what the trained one did: each row of Inputs gives
// the row of Outputs within Tolerance.
type Golden struct {
	Inputs    [][]float32 `json:"inputs"`
	Outputs   [][]float32 `json:"outputs"`
	Tolerance float64     `json:"tolerance"`
}

// Stored describes an object.
type Stored struct {
	Digest domain.Digest `json:"digest"`
	Size   int64         `json:"size"`
}
