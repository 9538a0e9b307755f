package eventstore

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

func remembered(tenant string, first, n int64, size int) (events []Event) {
	for i := range n {
		events = append(events, Event{TenantID: tenant, Position: first + i, EventType: "T", EventData: make([]byte, size)})
	}
	return events
}

// TestWhatIsRememberedIsARun: whatever is put in, a page is the events behind its cursor without a gap, the newest put is
// there, and what was handed out stays as it was.
func TestWhatIsRememberedIsARun(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	var r recent
	ends, tenants := map[string]int64{}, []string{"a", "b", "c"}
	given := map[*Page][]Event{}
	for range 2000 {
		tenant := tenants[chance.IntN(len(tenants))]
		first := max(1, ends[tenant]+1+[]int64{0, 0, 0, -2, 3}[chance.IntN(5)])
		events := remembered(tenant, first, 1+chance.Int64N(4), 100_000)
		r.put(events)
		ends[tenant] = max(ends[tenant], events[len(events)-1].Position)
		require.LessOrEqual(t, r.bytes, recentMost)

		at := Cursor{Tenant: tenant, After: max(0, ends[tenant]-1-chance.Int64N(40))}
		pages, others := r.read([]Cursor{at}, nil, 25)
		require.Equal(t, 1, len(pages)+len(others))
		for _, page := range pages {
			for i, e := range page.Events {
				require.Equal(t, at.After+1+int64(i), e.Position)
			}
			require.Equal(t, page.Events[len(page.Events)-1].Position, page.Through)
			given[&page] = slices.Clone(page.Events)
		}
		newest, _ := r.read([]Cursor{{Tenant: tenant, After: ends[tenant] - 1}}, nil, 1)
		require.Len(t, newest, 1)
		require.Equal(t, ends[tenant], newest[0].Through)
	}
	for page, events := range given {
		require.Equal(t, events, page.Events)
	}
	require.NotEmpty(t, given)
}

// TestTheOldestIsForgotten: many tenants share the memory, and one that is quiet leaves it.
func TestTheOldestIsForgotten(t *testing.T) {
	t.Parallel()
	var r recent
	r.put(remembered("quiet", 1, 1, 1000))
	for i := range int64(40) {
		r.put(remembered("loud", 1+i, 1, recentMost/20))
	}
	require.NotContains(t, r.runs, "quiet")
	run := r.runs["loud"]
	require.EqualValues(t, 40, run[len(run)-1].Position)
	require.InDelta(t, 19, len(run), 1)
	_, others := r.read([]Cursor{{Tenant: "quiet"}, {Tenant: "loud"}}, nil, 1)
	require.Len(t, others, 2, "the database knows")
	r.put(remembered("huge", 1, 1, 2*recentMost))
	require.Empty(t, r.runs, "one event more than all there is room for is not kept")
	require.Zero(t, r.bytes)
}

// TestNewsRingTogether: the first news ring at once; what comes soon after rings once, when the gap is over, and who keeps
// up shares the news with the others, who have all of theirs in one.
func TestNewsRingTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKnown()
		quick, slow := k.follow(), k.follow()
		require.True(t, k.learn("a", 1))
		<-quick.C()
		require.Equal(t, map[string]int64{"a": 1}, quick.Take())
		began := time.Now()
		for i := range int64(100) {
			k.learn("b", i+2)
		}
		require.False(t, k.learn("b", 3), "not news")
		require.Empty(t, quick.C(), "not at once")
		<-quick.C()
		require.Equal(t, ringGap, time.Since(began))
		require.Equal(t, map[string]int64{"b": 101}, quick.Take())
		require.Equal(t, map[string]int64{"a": 1, "b": 101}, slow.Take())
		require.Len(t, slow.C(), 1, "rung once")
		<-time.After(ringGap)
		k.learn("c", 1)
		require.Len(t, quick.C(), 1, "at once again")
		quick.Close()
		<-time.After(ringGap)
		k.learn("d", 1)
		require.Equal(t, map[string]int64{"c": 1}, quick.Take(), "it does not follow any more")
		require.Equal(t, map[string]int64{"c": 1, "d": 1}, slow.Take())
	})
}

// alive is how many of them the memory still keeps.
func alive(of *recent, data []weak.Pointer[byte]) (n int) {
	for range 3 {
		runtime.GC()
	}
	for _, d := range data {
		if d.Value() != nil {
			n++
		}
	}
	runtime.KeepAlive(of)
	return n
}

// TestWhatIsForgottenIsFree: what left the memory is not kept by what its tenant has got since.
func TestWhatIsForgottenIsFree(t *testing.T) {
	t.Parallel()
	var r recent
	var burst []weak.Pointer[byte]
	for i := range int64(1000) {
		events := remembered("acme", 1+i, 1, recentMost/1000-eventOverhead)
		burst = append(burst, weak.Make(&events[0].EventData[0]))
		r.put(events)
	}
	for i := range int64(60) { // acme trickles on while another one pushes its burst out
		r.put(remembered("acme", 1001+i, 1, 1))
		r.put(remembered("globex", 1+i, 1, recentMost/50))
	}
	require.NotEmpty(t, r.runs["acme"])
	require.Greater(t, r.runs["acme"][0].Position, int64(1000), "the burst is forgotten")
	require.Less(t, alive(&r, burst), 10)
}

// TestWhatWasReadTogetherIsForgottenApart: a tenant's events do not keep those that one call has read beside them.
func TestWhatWasReadTogetherIsForgottenApart(t *testing.T) {
	t.Parallel()
	var r recent
	together := append(remembered("huge", 1, 2, recentMost/2), remembered("small", 1, 1, 1)...)
	huge := []weak.Pointer[byte]{weak.Make(&together[0].EventData[0])}
	r.put(together[:2:2])
	r.put(together[2:])
	require.NotContains(t, r.runs, "huge")
	require.Contains(t, r.runs, "small")
	require.Zero(t, alive(&r, huge))
}

// TestCompanyOutlivesTheConnection: who said that it is there counts for as long as it said, also when this tail listens
// anew and the answers are late.
func TestCompanyOutlivesTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tail := NewTail(New(nil), Lifecycle)
		tail.take("?other")
		tail.hears.Store(false)
		tail.take(tail.probe)
		<-time.After(2 * answerWithin)
		require.False(t, tail.alone())
		<-time.After(company)
		require.True(t, tail.alone())
	})
}

// Nobody is led over a gap, whoever put it there: what lies behind it is read from the log.
func TestWhatIsRememberedEndsBeforeAGap(t *testing.T) {
	t.Parallel()
	var r recent
	r.put(append(remembered("a", 5, 2, 1), remembered("a", 9, 1, 1)...))
	for after, known := range map[int64]int{4: 2, 5: 1, 6: 0, 7: 0, 8: 0} {
		pages, others := r.read([]Cursor{{Tenant: "a", After: after}}, nil, 10)
		if known == 0 {
			require.Len(t, others, 1, "after %d", after)
			continue
		}
		require.Len(t, pages, 1, "after %d", after)
		require.Len(t, pages[0].Events, known)
	}
}
