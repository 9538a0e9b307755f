package rollout

import (
	"hash/fnv"
	"maps"
	"math"
	"slices"
)

const (
	// earlyLabels bounds the labels kept for answers that were not logged yet.
	earlyLabels = 10_000
	// awaitedAnswers bounds the answers kept for labels to come: some 30 MB.
	awaitedAnswers = 100_000
)

// Evidence folds a candidate's log into a tally, joining labels to answers by inference id.
//
// Log order need not be true order: logging is asynchronous, so a label may stand before its answer. The
// latest 10,000 labels without an answer are kept for it; most of them are the champion's. Of several
// labels of one answer the first counts. The log gives every answer once; Evidence does not check that.
//
// At most 100,000 answers wait for their labels. When they become more, a half of all answers is left out
// from then on, then a half of the rest: by a hash of their ids, which says nothing of the answers, and
// whatever the labels' delay, so those of the others are a fair sample still.
type Evidence struct {
	analysis Analysis
	tally    Tally
	labelled bool // some rule asks for labels
	awaited  map[string]string
	sampled  uint64 // answers wait whose id's hash is at most this
	early    map[string]string
	order    []string // ids of early labels, oldest first; an id that has met its answer stays in it
}

// NewEvidence begins an empty record of the strategy's candidate.
func NewEvidence(s Strategy) *Evidence {
	analysis := NewAnalysis(s)
	evidence := &Evidence{
		analysis: analysis, tally: analysis.Begin(),
		awaited: map[string]string{}, sampled: math.MaxUint64, early: map[string]string{},
	}
	for _, rule := range s.Canary.Analysis {
		evidence.labelled = evidence.labelled || rule.Metric == Accuracy
	}
	return evidence
}

// Answered records one request of the candidate. The prediction is in the same text form as the labels;
// an empty one (not captured) is never judged.
func (e *Evidence) Answered(id, prediction string, answer Answer) {
	labelCounts := e.analysis.Answer(&e.tally, answer)
	if !e.labelled {
		return
	}
	label, labelled := e.early[id]
	delete(e.early, id)
	switch {
	case !labelCounts || prediction == "":
	case labelled:
		e.analysis.Label(&e.tally, label == prediction)
	default:
		e.await(id, prediction)
	}
}

// await keeps an answer for its label, if it is of the sample.
func (e *Evidence) await(id, prediction string) {
	if spread(id) > e.sampled {
		return
	}
	e.awaited[id] = prediction
	for len(e.awaited) > awaitedAnswers {
		e.sampled /= 2
		maps.DeleteFunc(e.awaited, func(id, _ string) bool { return spread(id) > e.sampled })
	}
}

// spread is a hash whose values lie evenly over all of them.
func spread(id string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id)) // never an error
	return mixed(hash.Sum64())
}

// mixed carries each bit into all others (the finalizer of MurmurHash3): FNV alone leaves the high ones
// of like ids alike.
func mixed(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Labelled records the true label of a request of any version.
func (e *Evidence) Labelled(id, label string) {
	if !e.labelled {
		return
	}
	if prediction, ok := e.awaited[id]; ok {
		delete(e.awaited, id)
		e.analysis.Label(&e.tally, label == prediction)
		return
	}
	if _, twice := e.early[id]; twice {
		return
	}
	e.early[id] = label
	e.order = append(e.order, id)
	if len(e.order) > earlyLabels {
		delete(e.early, e.order[0])
		e.order = e.order[1:]
	}
}

// Tally returns a copy of the counts so far.
func (e *Evidence) Tally() Tally {
	tally := e.tally
	tally.Counts = slices.Clone(tally.Counts)
	return tally
}

// Assess returns the verdict so far.
func (e *Evidence) Assess() Assessment { return e.analysis.Assess(e.tally) }
