package activities

import (
	"context"
	"strconv"
	"time"

	"phantom/domain"
	"phantom/rollout"
)

// InferenceLog reads a tenant's inference log.
type InferenceLog interface {
	// Head is the position of the log's last event.
	Head(ctx context.Context, tenant domain.Tenant) (int64, error)
	// Events reads at most limit events of a stream, in the order of their revisions, from one on. A stream
	// that does not exist has none.
	Events(ctx context.Context, tenant domain.Tenant, stream domain.StreamID, fromRevision int64, limit int) ([]domain.Recorded, error)
}

// pageSize is how many events are read at once.
const pageSize = 1000

// evidenceFold folds a candidate's inferences and labels in the order of the log, whatever it is told in
// how many rounds. Each round first takes the log's head and then reads the streams up to it, so an event
// of one day never overtakes an earlier one of another day.
type evidenceFold struct {
	log      InferenceLog
	in       StepWatch
	beat     func() // called between reads
	evidence *rollout.Evidence
	days     map[string]*dayCursor
	position int64 // of the log, up to which everything is folded
}

func newEvidenceFold(log InferenceLog, in StepWatch, beat func()) *evidenceFold {
	return &evidenceFold{
		log: log, in: in, beat: beat, evidence: rollout.NewEvidence(in.Strategy.WithDefaults()), days: map[string]*dayCursor{},
		position: in.ObserveAfter,
	}
}

// advance folds what is new.
func (f *evidenceFold) advance(ctx context.Context, now time.Time) error {
	head, err := f.log.Head(ctx, f.in.Tenant)
	if err != nil || head <= f.position {
		return err
	}
	cursors, err := f.open(ctx, now)
	if err != nil {
		return err
	}
	for {
		var first *dayCursor
		for _, cursor := range cursors {
			position, err := cursor.peek(ctx, head)
			if err != nil {
				return err
			}
			if position > 0 && (first == nil || position < first.page[0].Position) {
				first = cursor
			}
		}
		if first == nil {
			f.position = head
			return nil
		}
		f.apply(first.page[0].Event)
		first.page = first.page[1:]
		first.next++
	}
}

// open returns a cursor for each day stream, from the day before the rollout began (clocks differ) to
// tomorrow.
func (f *evidenceFold) open(ctx context.Context, now time.Time) ([]*dayCursor, error) {
	var cursors []*dayCursor
	last := now.UTC().AddDate(0, 0, 1)
	for day := f.in.Began.UTC().AddDate(0, 0, -1); !day.After(last); day = day.AddDate(0, 0, 1) {
		name := day.Format(time.DateOnly)
		cursor, known := f.days[name]
		if !known {
			cursor = &dayCursor{fold: f, stream: domain.InferenceStream(f.in.ModelID, f.in.Target, name)}
			if err := cursor.skip(ctx, f.in.ObserveAfter); err != nil {
				return nil, err
			}
			f.days[name] = cursor
		}
		cursor.dry = false
		cursors = append(cursors, cursor)
	}
	return cursors, nil
}

// apply counts what is about the candidate. What the client got wrong says nothing of a version. A prediction
// that was erased is unknown: the request counts, and no label can judge it.
func (f *evidenceFold) apply(event domain.Event) {
	switch e := event.(type) { //nolint:gochecksumtype // the inference log has no other events
	case domain.InferenceMade:
		if e.Version == f.in.Version && e.Outcome != outcomeBadRequest {
			f.evidence.Answered(rowID(e.InferenceID, e.Row), domain.ScalarText(e.Prediction.Clear), rollout.Answer{
				Errored: e.Outcome != outcomeOK, LatencyMS: e.InferenceTimeMS,
			})
		}
	case domain.FeedbackRecorded:
		f.evidence.Labelled(rowID(e.InferenceID, e.Row), domain.ScalarText(e.Label))
	}
}

// The outcomes of an inference that matter here; every other one is an error of the version.
const (
	outcomeOK         = "ok"
	outcomeBadRequest = "bad_request"
)

func rowID(id domain.InferenceID, row int) string { return string(id) + "#" + strconv.Itoa(row) }

// dayCursor reads one day's stream, page by page.
type dayCursor struct {
	fold   *evidenceFold
	stream domain.StreamID
	next   int64 // revision of page[0], or of the event to ask for
	page   []domain.Recorded
	dry    bool // nothing more up to this round's head
}

// peek is the position of the next event up to head, or 0 when there is none.
func (c *dayCursor) peek(ctx context.Context, head int64) (int64, error) {
	if len(c.page) == 0 && !c.dry {
		c.fold.beat()
		page, err := c.fold.log.Events(ctx, c.fold.in.Tenant, c.stream, c.next, pageSize)
		if err != nil {
			return 0, err
		}
		c.page, c.dry = page, len(page) == 0
	}
	if len(c.page) == 0 || c.page[0].Position > head {
		return 0, nil
	}
	return c.page[0].Position, nil
}

// skip finds the first revision that stands after a position of the log: by doubling, then halving, since
// a day's stream can be long.
func (c *dayCursor) skip(ctx context.Context, after int64) error {
	low, high := int64(0), int64(1) // low is at or before the position, high behind it or behind the end
	for {
		behind, err := c.behind(ctx, high, after)
		if err != nil {
			return err
		}
		if behind {
			break
		}
		low, high = high, 2*high
	}
	for low+1 < high {
		middle := low + (high-low)/2
		behind, err := c.behind(ctx, middle, after)
		if err != nil {
			return err
		}
		if behind {
			high = middle
		} else {
			low = middle
		}
	}
	c.next = high
	return nil
}

func (c *dayCursor) behind(ctx context.Context, revision, after int64) (bool, error) {
	events, err := c.fold.log.Events(ctx, c.fold.in.Tenant, c.stream, revision, 1)
	return len(events) == 0 || events[0].Position > after, err
}
