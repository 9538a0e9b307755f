package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"phantom/domain"
)

const (
	retryFirst = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	// batchSpan bounds the age difference within a batch, because all its events get the time of the first.
	batchSpan = time.Second
	// batchBytes bounds the captured inputs of a batch, which is one append; a batch has one row at least.
	batchBytes = 4 << 20
)

// entry is a row that waits for the log.
type entry struct {
	made   domain.InferenceMade
	stream domain.StreamID
	at     time.Time
}

func (e entry) bytes() int { return len(e.made.InputFeatures.Clear) }

// inferenceLog takes rows to the Recorder behind the answers. Each tenant has a lane of its own, so that
// one whose log stalls delays and drops nobody else's rows. The queue is bounded in rows; what does not
// fit is dropped and counted. It is bounded in the bytes of captured inputs too: rows whose inputs do not fit are logged
// without them, so that what is large never costs a measurement.
type inferenceLog struct {
	params  Params
	counts  *counters
	attempt func() (context.Context, context.CancelFunc) // ends early when close gives up
	giveUp  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	lanes   map[domain.Tenant]*lane
	waiting int // rows of all lanes, those under way included
	bytes   int // of their captured inputs
	lost    int // rows dropped by close
	running sync.WaitGroup
}

type lane struct {
	tenant  domain.Tenant
	rows    []entry // first come first
	waiting int     // rows and those under way
	bytes   int     // of their captured inputs
	full    chan struct{}
}

func newInferenceLog(params Params, counts *counters) *inferenceLog {
	root, giveUp := context.WithCancel(context.Background())
	return &inferenceLog{
		params: params, counts: counts, giveUp: giveUp, closing: make(chan struct{}), lanes: map[domain.Tenant]*lane{},
		attempt: func() (context.Context, context.CancelFunc) { return context.WithTimeout(root, params.RecordTimeout) },
	}
}

// add queues the rows of one request; all of them or, when the bound is reached, none.
func (l *inferenceLog) add(tenant domain.Tenant, rows []domain.InferenceMade, at time.Time) {
	stream, ok := rows[0].InferenceID.Stream()
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.lanes[tenant]
	taken := 0
	if one != nil {
		taken = one.waiting
	}
	if !ok || l.closed || l.waiting+len(rows) > l.params.QueueRows || taken+len(rows) > l.params.TenantRows {
		l.counts.logged.WithLabelValues(string(tenant), fateDropped).Add(float64(len(rows)))
		return
	}
	if one == nil {
		one = &lane{tenant: tenant, full: make(chan struct{}, 1)}
		l.lanes[tenant] = one
		l.running.Go(func() { l.drain(one) })
	}
	for _, row := range rows {
		waits := entry{row, stream, at}
		if size := waits.bytes(); l.bytes+size > l.params.QueueBytes || one.bytes+size > l.params.TenantBytes {
			waits.made.InputFeatures = domain.Content{Omitted: domain.OmittedBusy}
		}
		one.bytes += waits.bytes()
		l.bytes += waits.bytes()
		one.rows = append(one.rows, waits)
	}
	one.waiting += len(rows)
	l.waiting += len(rows)
	l.counts.waiting.Set(float64(l.waiting))
	if len(one.rows) >= l.params.BatchRows {
		select {
		case one.full <- struct{}{}:
		default:
		}
	}
}

// drain records a tenant's rows batch by batch and ends when none is left.
func (l *inferenceLog) drain(one *lane) {
	for {
		l.gather(one)
		batch := l.next(one)
		if len(batch) == 0 {
			return
		}
		fate := l.record(one.tenant, batch)
		l.counts.logged.WithLabelValues(string(one.tenant), fate).Add(float64(len(batch)))
		l.mu.Lock()
		one.waiting -= len(batch)
		l.waiting -= len(batch)
		for _, done := range batch {
			one.bytes -= done.bytes()
			l.bytes -= done.bytes()
		}
		if fate == fateDropped {
			l.lost += len(batch)
		}
		l.counts.waiting.Set(float64(l.waiting))
		l.mu.Unlock()
	}
}

// gather waits for more rows, a little.
func (l *inferenceLog) gather(one *lane) {
	timer := time.NewTimer(l.params.BatchWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-one.full:
	case <-l.closing:
	}
}

// next takes the first row and those of its stream, in their order, also from between the rows of other streams; the
// lane ends with its last row.
func (l *inferenceLog) next(one *lane) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(one.rows) == 0 {
		delete(l.lanes, one.tenant)
		return nil
	}
	first := one.rows[0]
	var batch []entry
	bytes := 0
	one.rows = slices.DeleteFunc(one.rows, func(e entry) bool {
		taken := len(batch) < l.params.BatchRows && e.stream == first.stream && e.at.Sub(first.at).Abs() < batchSpan &&
			(len(batch) == 0 || bytes+e.bytes() <= batchBytes)
		if taken {
			batch = append(batch, e)
			bytes += e.bytes()
		}
		return taken
	})
	if len(one.rows) >= l.params.BatchRows {
		select {
		case one.full <- struct{}{}:
		default:
		}
	}
	return batch
}

// record tries until the batch is stored, refused for good, or close gives up.
func (l *inferenceLog) record(tenant domain.Tenant, batch []entry) (fate string) {
	rows := make([]domain.InferenceMade, len(batch))
	for i, e := range batch {
		rows[i] = e.made
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		ctx, cancel := l.attempt()
		err := l.store(ctx, tenant, rows, batch[0].at)
		gaveUp := errors.Is(ctx.Err(), context.Canceled)
		cancel()
		switch {
		case err == nil:
			return fateRecorded
		case permanent(err):
			l.params.Log.Error("the inference log refuses rows", zap.String("tenant", string(tenant)),
				zap.Int("rows", len(rows)), zap.Error(err))
			return fateRefused
		case gaveUp:
			return fateDropped
		}
		l.pause(wait)
	}
}

// store hands rows of one stream over. The same rows have the same command id, however often.
func (l *inferenceLog) store(ctx context.Context, tenant domain.Tenant, rows []domain.InferenceMade, at time.Time) error {
	return l.params.Recorder.RecordInferences(ctx, tenant, domain.RecordInferences{Inferences: rows}, domain.Meta{
		CommandID: "inference:" + string(rows[0].InferenceID) + "#" + strconv.Itoa(rows[0].Row),
		Actor:     domain.Actor{Subject: "gateway", Auth: domain.AuthLocal, Verified: true},
		At:        at,
	})
}

func permanent(err error) bool {
	return errors.Is(err, domain.ErrInvalidInput) || errors.Is(err, domain.ErrInvalidState) ||
		errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrIdempotencyMismatch)
}

// pause waits before the next try; once the log closes it hardly waits.
func (l *inferenceLog) pause(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-l.closing:
	}
	timer.Reset(min(wait, retryFirst))
	<-timer.C
}

func (l *inferenceLog) close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, l.giveUp)
	l.running.Wait()
	stop()
	l.giveUp()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		return fmt.Errorf("gateway: %d inferences could not be logged before the end", l.lost)
	}
	return nil
}
