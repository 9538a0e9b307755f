package eventstore

import (
	"fmt"
	"time"
)

// longestCall bounds what a walk keeps of the events behind the last link: the most that one call appends, of a tenant.
const longestCall = MaxBatchEvents

// walk goes through a log from one end to the other and knows what the next event must be.
type walk struct {
	report   Report
	at       int64     // position of the last event
	recorded time.Time // of that event
	link     Link      // the last that was verified, or what stands before the first
	chained  bool      // a link was verified: from here on each call must have one
	pending  []cover   // the events since that link
	anchors  func() (Anchor, error, bool)
	anchor   *Anchor // the next one that history must agree with; nil when there is none
}

func (w *walk) breaks(flaw Flaw, from, through int64, detail string, args ...any) {
	w.report.Broken = &Break{Position: from, Through: through, Flaw: flaw, Detail: fmt.Sprintf(detail, args...)}
}

func (w *walk) nextAnchor() error {
	w.anchor = nil
	if w.anchors == nil {
		return nil
	}
	next, err, found := w.anchors()
	if found && err == nil {
		w.anchor = &next
	}
	return err
}

// step looks at the next event: the place first, then the content, then what covers both. follows tells whether the
// revision before it stands before it, which makes revisions dense without remembering streams.
func (w *walk) step(e Event, link []byte, follows bool) error {
	switch at := e.Position; {
	case at > w.at+1:
		w.breaks(FlawMissing, w.at+1, at-1, "no event stands there")
	case at < w.at+1:
		w.breaks(FlawOrder, at, at, "two events have the position")
	case e.Verify() != nil:
		w.breaks(FlawDigest, at, at, "the event of stream %s %s, revision %d, is not what was appended", e.AggregateType, e.AggregateID, e.AggregateVersion)
	case !follows:
		w.breaks(FlawOrder, at, at, "stream %s %s has no revision %d before it", e.AggregateType, e.AggregateID, e.AggregateVersion-1)
	case e.RecordedAt.Before(w.recorded):
		w.breaks(FlawOrder, at, at, "it was recorded before the event before it")
	default:
		w.cover(e, link)
	}
	if w.report.Broken != nil {
		return nil
	}
	return w.compare()
}

// cover takes an event to the others of its call, and verifies the call's link when it is the last one. A call's events
// have one recorded_at.
func (w *walk) cover(e Event, link []byte) {
	if len(w.pending) > 0 && !e.RecordedAt.Equal(w.recorded) {
		if w.chained {
			w.breaks(FlawLink, w.at, w.at, "the call that ends there has no link")
			return
		}
		w.pending = w.pending[:0] // older than the chain
	}
	w.pending = append(w.pending, coverOf(e))
	w.at, w.recorded = e.Position, e.RecordedAt
	w.report.Events++
	switch {
	case link != nil:
		w.verifyLink(link)
	case len(w.pending) > longestCall && w.chained:
		w.breaks(FlawLink, w.at-longestCall, w.at, "no link covers any of them")
	case len(w.pending) > longestCall:
		w.pending = append(w.pending[:0], w.pending[1:]...)
	}
	if !w.chained && w.report.Broken == nil {
		w.report.LastVerified = w.at
	}
}

// verifyLink computes the link anew. Where the first call of a chain begins, nothing tells: an older event may have been
// recorded in the same microsecond. So the first link may cover any end of those.
func (w *walk) verifyLink(stored []byte) {
	first := w.at - int64(len(w.pending)) + 1
	for i := range w.pending {
		if link := w.link.over(w.pending[i:]); string(link[:]) == string(stored) {
			if !w.chained {
				w.chained, w.report.FirstChained = true, first+int64(i)
			}
			w.link, w.pending, w.report.LastVerified = link, w.pending[:0], w.at
			return
		}
		if w.chained {
			break
		}
	}
	w.breaks(FlawLink, first, w.at, "the link at %d does not cover what stands there", w.at)
}

// compare holds history to the anchor of the position.
func (w *walk) compare() error {
	if w.anchor == nil || w.anchor.Position != w.at {
		return nil
	}
	if w.chained && len(w.pending) > 0 { // only an event with a link is ever anchored
		w.breaks(FlawLink, w.at, w.at, "the call that ends there has no link")
		return nil
	}
	if !w.chained || w.link != w.anchor.link() {
		w.breaks(FlawAnchor, w.report.LastAnchor+1, w.at, "the anchor of position %d is of another history", w.at)
		w.report.LastVerified = w.report.LastAnchor
		return nil
	}
	w.report.LastAnchor = w.at
	return w.nextAnchor()
}

// end is after the last event.
func (w *walk) end() {
	switch {
	case w.anchor != nil:
		w.breaks(FlawMissing, w.at+1, w.anchor.Position, "the log ends before the anchor of position %d", w.anchor.Position)
	case w.chained && len(w.pending) > 0:
		w.breaks(FlawLink, w.at, w.at, "the call that ends there has no link")
	}
}
