package eventstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const (
	patience = 30 * time.Second
	tick     = time.Millisecond
)

// flight is what the combiner sent, and lands when the test lets it.
type flight struct {
	wait  bool
	calls []*call
	land  chan landing
}

// landing says what became of a flight: which of its calls are left out, or that a head is busy.
type landing struct {
	busy    bool
	leftOut []int
}

func (f flight) tenants() []string {
	var tenants []string
	for _, c := range f.calls {
		tenants = append(tenants, c.tenant)
	}
	return tenants
}

// field is a combiner over a PostgreSQL that the test plays.
type field struct {
	*combiner

	t       *testing.T
	flights chan flight
	callers sync.WaitGroup
}

func newField(t *testing.T) *field {
	t.Helper()
	f := &field{t: t, flights: make(chan flight, 100)}
	f.combiner = newCombiner(func(_ context.Context, wait bool, calls []*call) bool {
		sent := flight{wait: wait, calls: calls, land: make(chan landing)}
		f.flights <- sent
		how := <-sent.land
		if how.busy {
			return true
		}
		for _, i := range how.leftOut {
			calls[i].alone = true
		}
		for i, c := range calls {
			if !c.alone || len(calls) == 1 {
				c.end([]Appended{{Position: int64(i)}}, nil)
			}
		}
		return false
	}, func([]*call) {})
	t.Cleanup(func() {
		if !t.Failed() { // else some may wait for ever
			f.callers.Wait()
		}
	})
	return f
}

// append sends a call of its own stream, and returns when it stands in line or is under way.
func (f *field) append(ctx context.Context, tenant string, stream string, events int) <-chan error {
	f.t.Helper()
	return f.send(ctx, tenant, func() *call { return fieldCall(tenant, stream, events) })
}

func (f *field) send(ctx context.Context, tenant string, encode func() *call) <-chan error {
	f.t.Helper()
	outcome := make(chan error, 1)
	encoded := make(chan struct{})
	f.callers.Go(func() {
		_, err := f.do(ctx, tenant, func() *call {
			close(encoded)
			return encode()
		})
		outcome <- err
	})
	<-encoded
	return outcome
}

func fieldCall(tenant, stream string, events int) *call {
	a := Append{Stream: Stream{Type: "Thing", ID: stream}}
	for range events {
		a.Events = append(a.Events, NewEvent{ID: uuid.New(), Type: "Happened", Version: 1, Data: []byte(`{}`), OccurredAt: time.UnixMicro(1)})
	}
	return newCall(tenant, Lifecycle, []Append{a}, nil)
}

// next is what was sent next.
func (f *field) next() flight {
	f.t.Helper()
	select {
	case sent := <-f.flights:
		return sent
	case <-time.After(patience):
		require.Fail(f.t, "nothing was sent")
		return flight{}
	}
}

// standing waits until so many calls of a tenant wait.
func (f *field) standing(tenant string, n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		l := f.lines[tenant]
		return l != nil && len(l.calls) == n
	}, patience, tick, "%d calls of %s", n, tenant)
}

// busy fills both flights.
func (f *field) busy() [mostFlights]flight {
	f.t.Helper()
	var under [mostFlights]flight
	for i := range under {
		f.append(f.t.Context(), fmt.Sprintf("busy%d", i), "s", 1)
		under[i] = f.next()
	}
	return under
}

func TestWhatWaitsTravelsTogetherInTurn(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	for i := range 4 {
		f.append(t.Context(), "many", strconv.Itoa(i), 1)
		f.standing("many", i+1)
	}
	for _, few := range []string{"a", "b"} {
		f.append(t.Context(), few, "s", 1)
		f.standing(few, 1)
	}
	under[0].land <- landing{}
	together := f.next()
	require.Equal(t, []string{"many", "a", "b", "many", "many", "many"}, together.tenants(), "first one of each, then what else there is")

	f.append(t.Context(), "many", "later", 1)
	f.standing("many", 1)
	under[1].land <- landing{}
	require.Empty(t, f.flights, "a tenant has one flight at a time")
	together.land <- landing{}
	last := f.next()
	require.Equal(t, []string{"many"}, last.tenants())
	last.land <- landing{}
}

func TestCallsThatMeetTravelApart(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	for i := range 2 {
		f.append(t.Context(), "acme", "same", 1)
		f.standing("acme", i+1)
	}
	f.append(t.Context(), "globex", "same", 1)
	f.standing("globex", 1)
	under[0].land <- landing{}
	first := f.next()
	require.Equal(t, []string{"acme", "globex"}, first.tenants())
	first.land <- landing{}
	second := f.next()
	require.Equal(t, []string{"acme"}, second.tenants())
	second.land <- landing{}
	under[1].land <- landing{}
}

// TestAFlightIsBoundedInBytes: what is large does not travel with others, and travels all the same.
func TestAFlightIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	for i := range 3 {
		f.send(t.Context(), "acme", func() *call {
			large := NewEvent{ID: uuid.New(), Type: "Large", Version: 1, Data: make([]byte, mostBytes/2), OccurredAt: time.UnixMicro(1)}
			to := Append{Stream: Stream{Type: "Thing", ID: strconv.Itoa(i)}, Events: []NewEvent{large}}
			if i == 2 {
				to.Events = append(to.Events, large, large)
			}
			return newCall("acme", Lifecycle, []Append{to}, nil)
		})
		f.standing("acme", i+1)
	}
	under[0].land <- landing{}
	first := f.next()
	require.Len(t, first.calls, 1, "metadata counts too: two halves are more than a whole")
	under[1].land <- landing{}
	first.land <- landing{}
	second := f.next()
	require.Len(t, second.calls, 1)
	second.land <- landing{}
	third := f.next()
	require.Len(t, third.calls, 1)
	require.Greater(t, third.calls[0].events.bytes, mostBytes)
	third.land <- landing{}
}

func TestAFlightIsBounded(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	for i := range 3 {
		f.append(t.Context(), "acme", strconv.Itoa(i), mostEvents*2/5)
		f.standing("acme", i+1)
	}
	f.append(t.Context(), "globex", "s", mostEvents*4/5)
	f.standing("globex", 1)
	under[0].land <- landing{}
	first := f.next()
	require.Equal(t, []string{"acme", "acme"}, first.tenants(), "%d events at the most", mostEvents)
	under[1].land <- landing{}
	second := f.next()
	require.Equal(t, []string{"globex"}, second.tenants())
	first.land <- landing{}
	third := f.next()
	require.Equal(t, []string{"acme"}, third.tenants())
	second.land <- landing{}
	third.land <- landing{}
}

func TestWhoLeavesTheLineIsNotSent(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	ctx, leave := context.WithCancel(t.Context())
	left := f.append(ctx, "acme", "left", 1)
	f.standing("acme", 1)
	stayed := f.append(t.Context(), "acme", "stayed", 1)
	f.standing("acme", 2)
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	under[0].land <- landing{}
	sent := f.next()
	require.Len(t, sent.calls, 1)
	require.Equal(t, "stayed", sent.calls[0].appends[0].Stream.ID)
	sent.land <- landing{}
	require.NoError(t, <-stayed)
	under[1].land <- landing{}
}

// TestWhoLeavesAFlightIsNotSentAgain: what was under way may come back, but not for a caller that is gone.
func TestWhoLeavesAFlightIsNotSentAgain(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	ctx, leave := context.WithCancel(t.Context())
	left := f.append(ctx, "acme", "s", 1)
	f.standing("acme", 1)
	under[0].land <- landing{}
	sent := f.next()
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	sent.land <- landing{busy: true}
	under[1].land <- landing{}
	f.callers.Wait()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.lines) == 0
	}, patience, tick, "nobody needs a line any more")
	require.Empty(t, f.flights)
}

func TestWhatIsLeftOutGoesAlone(t *testing.T) {
	t.Parallel()
	f := newField(t)
	under := f.busy()
	for _, tenant := range []string{"a", "b", "c"} {
		f.append(t.Context(), tenant, "s", 1)
		f.standing(tenant, 1)
	}
	under[0].land <- landing{}
	together := f.next()
	require.Equal(t, []string{"a", "b", "c"}, together.tenants())
	under[1].land <- landing{}
	together.land <- landing{leftOut: []int{0, 2}}
	for range 2 {
		alone := f.next()
		require.Len(t, alone.calls, 1)
		require.False(t, alone.wait)
		alone.land <- landing{}
	}
}

// TestABusyHeadDelaysNobodyElse: such tenants leave the flights to the others, and few wait for theirs at a time.
func TestABusyHeadDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	f := newField(t)
	var vigils []flight
	for i := range mostVigils + 1 {
		f.append(t.Context(), fmt.Sprintf("held%d", i), "s", 1)
		f.next().land <- landing{busy: true}
		if i < mostVigils {
			vigil := f.next()
			require.True(t, vigil.wait)
			vigils = append(vigils, vigil)
		}
	}
	f.standing(fmt.Sprintf("held%d", mostVigils), 1)
	for range 5 {
		done := f.append(t.Context(), "other", "s", 1)
		sent := f.next()
		require.Equal(t, []string{"other"}, sent.tenants())
		require.False(t, sent.wait)
		sent.land <- landing{}
		require.NoError(t, <-done)
	}
	vigils[0].land <- landing{busy: true} // in vain: the next one has its turn
	turn := f.next()
	require.Equal(t, []string{fmt.Sprintf("held%d", mostVigils)}, turn.tenants())
	turn.land <- landing{}
	again := f.next()
	require.Equal(t, []string{"held0"}, again.tenants())
	again.land <- landing{}
	vigils[1].land <- landing{}
}

// TestALineIsBounded: who finds the line full waits outside, before anything is made of the call.
func TestALineIsBounded(t *testing.T) {
	t.Parallel()
	f := newField(t)
	ctx, end := context.WithCancel(t.Context())
	f.append(ctx, "acme", "first", 1)
	first := f.next()
	for i := range mostInLine - 1 {
		f.append(ctx, "acme", strconv.Itoa(i), 1)
	}
	f.standing("acme", mostInLine-1)
	impatient, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err := f.do(impatient, "acme", func() *call {
		t.Error("it found a place")
		return fieldCall("acme", "outside", 1)
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	other := f.append(ctx, "other", "s", 1)
	sent := f.next()
	sent.land <- landing{}
	require.NoError(t, <-other, "another tenant's line has room")
	end()
	f.standing("acme", 0)
	first.land <- landing{}
}
