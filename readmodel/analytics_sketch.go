package readmodel

import (
	"encoding/hex"
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	bins "github.com/DataDog/sketches-go/ddsketch/store"
)

const (
	// sketchAccuracy is the relative error of a quantile (Masson, Rim, Lee: DDSketch, VLDB 2019).
	sketchAccuracy = 0.01
	// sketchBins span 17 powers of ten; smaller latencies than that fall into the lowest bin.
	sketchBins = 2048
	// maxLatencyMS bounds what a sketch is told: some 30 years.
	maxLatencyMS = 1e12
)

// sketch is a distribution of latencies. Equal sets of values have equal bytes, whatever the order in which
// they were added and merged.
type sketch struct{ *ddsketch.DDSketch }

func sketchStore() bins.Store { return bins.NewCollapsingLowestDenseStore(sketchBins) }

func newSketch() (sketch, error) {
	logarithmic, err := mapping.NewLogarithmicMapping(sketchAccuracy)
	if err != nil {
		return sketch{}, fmt.Errorf("make a latency sketch: %w", err)
	}
	return sketch{ddsketch.NewDDSketch(logarithmic, sketchStore(), sketchStore())}, nil
}

// add counts a latency.
func (s sketch) add(ms float64) error {
	return s.Add(min(max(ms, 0), maxLatencyMS))
}

// encoded are the bytes of a stored sketch. As JSON they are PostgreSQL's text of a bytea.
type encoded []byte

// MarshalText gives \x and hexadecimal digits.
func (e encoded) MarshalText() ([]byte, error) {
	return append([]byte(`\x`), hex.AppendEncode(nil, e)...), nil
}

func (s sketch) encode() encoded {
	var b []byte
	s.Encode(&b, false)
	return b
}

// merge adds what a stored sketch has.
func (s sketch) merge(e encoded) error {
	if len(e) == 0 {
		return nil
	}
	if err := s.DecodeAndMergeWith(e); err != nil {
		return fmt.Errorf("read a stored latency sketch: %w", err)
	}
	return nil
}

// quantiles are nil where nothing was added.
func (s sketch) quantiles() (*Quantiles, error) {
	if s.IsEmpty() {
		return nil, nil //nolint:nilnil // nothing was seen: no answer is the answer
	}
	values, err := s.GetValuesAtQuantiles([]float64{0.5, 0.9, 0.99})
	if err != nil {
		return nil, fmt.Errorf("quantiles of a latency sketch: %w", err)
	}
	return &Quantiles{P50: values[0], P90: values[1], P99: values[2]}, nil
}

// confidenceUnit is the fixed point of summed confidences: sums of floats depend on their order.
const confidenceUnit = 1e9

func fixedConfidence(c float64) int64 { return int64(math.Round(min(max(c, 0), 1) * confidenceUnit)) }
