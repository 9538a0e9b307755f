package readmodel

import (
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	ddstore "github.com/DataDog/sketches-go/ddsketch/store"

	"phantom/domain"
)

const (
	// latencyError is the relative error of quantiles (DDSketch, VLDB 2019). Stored sketches of another one do not
	// merge: to change it is to rebuild.
	latencyError = 0.01
	// longestLatency bounds what is measured, in milliseconds: a day. It bounds a sketch's bins with it.
	longestLatency = 24 * 60 * 60 * 1000
	// shortestLatency is measured as 0, so that a sketch has at most some 1,700 bins.
	shortestLatency = 1e-6
	// confidenceUnits makes a confidence a whole number.
	confidenceUnits = 1e9
)

// measure sums up inferences. Whatever the order of what is added and merged, the sums and the sketch's bytes are the
// same: all of it is whole numbers.
type measure struct {
	inferences, errors        int64
	confident, confidenceNano int64
	labelled, correct         int64
	latency                   *ddsketch.DDSketch // nil: none
}

// add counts an inference that says something of its version.
func (m *measure) add(e domain.InferenceMade) error {
	m.inferences++
	if e.Outcome != outcomeOK {
		m.errors++
		return nil // a quick error must not look like a quick answer
	}
	if e.Confidence != nil {
		m.confident++
		m.confidenceNano += int64(math.Round(min(max(*e.Confidence, 0), 1) * confidenceUnits))
	}
	if m.latency == nil {
		var err error
		if m.latency, err = ddsketch.LogUnboundedDenseDDSketch(latencyError); err != nil {
			return fmt.Errorf("a sketch of latencies: %w", err)
		}
	}
	took := min(e.InferenceTimeMS, longestLatency)
	if took < shortestLatency {
		took = 0
	}
	return m.latency.Add(took)
}

func (m *measure) judge(right bool) {
	m.labelled++
	if right {
		m.correct++
	}
}

func (m *measure) merge(o measure) error {
	m.inferences += o.inferences
	m.errors += o.errors
	m.confident += o.confident
	m.confidenceNano += o.confidenceNano
	m.labelled += o.labelled
	m.correct += o.correct
	switch {
	case o.latency == nil:
		return nil
	case m.latency == nil:
		m.latency = o.latency.Copy()
		return nil
	default:
		return m.latency.MergeWith(o.latency)
	}
}

// encoded are the sketch's bytes; none for none.
func (m *measure) encoded() []byte {
	bytes := []byte{}
	if m.latency != nil {
		m.latency.Encode(&bytes, false)
	}
	return bytes
}

func decodeLatency(bytes []byte) (*ddsketch.DDSketch, error) {
	if len(bytes) == 0 {
		return nil, nil //nolint:nilnil // no sketch is an answer
	}
	sketch, err := ddsketch.DecodeDDSketch(bytes, func() ddstore.Store { return ddstore.NewDenseStore() }, nil)
	if err != nil {
		return nil, fmt.Errorf("a stored sketch of latencies: %w", err)
	}
	return sketch, nil
}

// stats are the sums for people.
func (m *measure) stats() (InferenceStats, error) {
	s := InferenceStats{
		Inferences: m.inferences, Errors: m.errors, ErrorRate: share(m.errors, m.inferences),
		Accuracy: share(m.correct, m.labelled), Labelled: m.labelled,
	}
	if m.confident > 0 {
		mean := float64(m.confidenceNano) / confidenceUnits / float64(m.confident)
		s.MeanConfidence = &mean
	}
	if m.latency == nil {
		return s, nil
	}
	at, err := m.latency.GetValuesAtQuantiles([]float64{0.5, 0.9, 0.99})
	if err != nil {
		return s, fmt.Errorf("quantiles of latency: %w", err)
	}
	s.LatencyMS = &LatencyMS{P50: at[0], P90: at[1], P99: at[2]}
	return s, nil
}

func share(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	of := float64(part) / float64(whole)
	return &of
}
