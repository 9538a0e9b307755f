package e2e_test

import (
	"bufio"
	"context"
	"flag"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What `make outage` sets. The defaults are those of `make test`.
var (
	outageLoad  = flag.Duration("outage.load", 15*time.Second, "how long there is load")                             //nolint:gochecknoglobals // a flag
	outageStop  = flag.Duration("outage.stop", 5*time.Second, "how long PostgreSQL is stopped, in the middle of it") //nolint:gochecknoglobals // a flag
	outagePause = flag.Duration("outage.pause", 50*time.Millisecond, "how long a client waits after an answer")      //nolint:gochecknoglobals // a flag
)

const (
	loadConnections = 64
	// recovery is how long after PostgreSQL is back a 503 is still a part of the outage: connections that died in it are
	// found when they are used.
	recovery = 10 * time.Second
)

// PostgreSQL stops in the middle of load. While it is away the API says so with 503 and Retry-After, and with no other
// error; the gateway answers throughout; afterwards everything goes on by itself, with what was acknowledged in place,
// and with no more memory than before.
func TestLoadThroughAnOutageOfPostgreSQL(t *testing.T) {
	t.Parallel()
	database, db := startServer(t)
	p := startOn(t, db)
	p.createModel()
	p.champion()
	l := newLoad(p, loadConnections, *outagePause)
	l.furnish(loadConnections)
	saga := p.train(patient())
	before := p.memory()

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), *outageLoad)
	defer cancel()
	loaded := make(chan struct{})
	go func() { defer close(loaded); l.run(ctx, loadConnections) }()
	wait(t, (*outageLoad-*outageStop)/2)
	stopped := time.Now()
	database.stop()
	wait(t, *outageStop)
	during := p.memory()
	database.startAgain()
	back := time.Now()
	<-loaded
	ended := time.Now()

	for _, kind := range []string{"read", "write", "inference"} {
		t.Logf("%s: before %s; during %s; after %s", kind, told(l.between(kind, began, stopped)),
			told(l.between(kind, stopped, back)), told(l.between(kind, back, ended.Add(time.Second))))
	}
	l.judge(stopped, back)
	l.recovered()
	require.Equal(t, "completed", p.ended(saga).State)
	after := p.memory()
	t.Logf("heap in use, MB: before %d, at the end of the outage %d, after %d; goroutines %d, %d, %d",
		before.heap>>20, during.heap>>20, after.heap>>20, before.goroutines, during.goroutines, after.goroutines)
	const room = 64 << 20 // a collection is due when the heap has doubled
	require.Less(t, during.heap, 2*before.heap+room)
	require.Less(t, after.heap, 2*before.heap+room)
	require.Less(t, after.goroutines, before.goroutines+4*loadConnections, "those of the load's connections may still be there")
}

// judge goes through all calls.
func (l *load) judge(stopped, back time.Time) {
	l.p.t.Helper()
	refused := 0
	for _, c := range l.calls {
		out := c.sent.Add(c.took).After(stopped) && c.sent.Before(back.Add(recovery))
		switch {
		case c.err == nil && c.status == http.StatusOK:
		case c.kind != "inference" && out && c.err == nil && c.status == http.StatusServiceUnavailable && c.retry != "":
			refused++
		default:
			require.Fail(l.p.t, "an answer that nobody should get", c)
		}
	}
	require.Positive(l.p.t, refused, "there was no outage")
}

// recovered checks that all that was acknowledged is there, that the read models go on, and that calls are answered again.
func (l *load) recovered() {
	t := l.p.t
	t.Helper()
	for client := range loadConnections {
		path := "/api/v1/models/" + clientModel(client)
		var shown struct {
			Description string `json:"description"`
		}
		events := l.p.events(clientModel(client))
		l.p.eventually("the catalogue has seen the log", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			return l.p.read(ctx, events[len(events)-1].Position, path, &shown) == nil
		})
		last := 0
		if shown.Description != "" {
			var err error
			last, err = strconv.Atoi(shown.Description)
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, last, l.written[client], "model %s lost a change that was acknowledged", clientModel(client))
		require.LessOrEqual(t, last, l.tried[client])
	}
	l.p.eventually("the worker is ready", func() bool {
		ready, err := http.Get(l.p.metrics + "/readyz") //nolint:noctx // on loopback, bounded by the test
		if err != nil {
			return false
		}
		defer ready.Body.Close()
		return ready.StatusCode == http.StatusOK
	})
}

// wait lets time pass: load and outage last for a while.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// memory is what the worker holds.
type memory struct {
	heap       int64 // bytes in use
	goroutines int64
}

func (p *phantom) memory() memory {
	p.t.Helper()
	response, err := http.Get(p.metrics + "/metrics") //nolint:noctx // on loopback, bounded by the test
	require.NoError(p.t, err)
	defer response.Body.Close()
	found := map[string]int64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, "go_") {
			if number, err := strconv.ParseFloat(value, 64); err == nil {
				found[name] = int64(number)
			}
		}
	}
	require.Positive(p.t, found["go_memstats_heap_inuse_bytes"])
	return memory{heap: found["go_memstats_heap_inuse_bytes"], goroutines: found["go_goroutines"]}
}
