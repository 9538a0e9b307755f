package main_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	main "phantom/starter"
)

// feed is a server of a stream that plays a part for each connection in turn, and interrupts the tail at the last.
type feed struct {
	parts []func(http.ResponseWriter)
	leave context.CancelFunc

	mu    sync.Mutex
	asked []string // the query of each connection
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	turn := len(f.asked)
	f.asked = append(f.asked, r.URL.RawQuery)
	f.mu.Unlock()
	if turn == len(f.parts) {
		f.leave()
		<-r.Context().Done()
		return
	}
	f.parts[turn](w)
}

func happened(position int) string {
	return fmt.Sprintf("id: %d\nevent: ModelCreated\ndata: {\"position\":%d,\"event_type\":\"ModelCreated\",\"aggregate_id\":\"m%d\",\"event_data\":{\"name\":\"N\"}}\n\n", position, position, position)
}

func writes(w http.ResponseWriter, text string) {
	_, _ = w.Write([]byte(text))
	_ = http.NewResponseController(w).Flush()
}

// tails runs `phantom tail` against a feed.
func tails(t *testing.T, f *feed, args ...string) result {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	f.leave = leave
	return command{}.run(ctx, t, serve(t, f), append([]string{"tail"}, args...)...)
}

func numbered(out string) (positions []string) {
	for line := range strings.Lines(out) {
		position, _, _ := strings.Cut(line, " ")
		positions = append(positions, position)
	}
	return positions
}

func TestATailGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	f := &feed{parts: []func(http.ResponseWriter){
		func(w http.ResponseWriter) { // breaks off within an event
			writes(w, ": the log from 0 on\n\n"+happened(1)+happened(2)+happened(3)[:60])
			panic(http.ErrAbortHandler)
		},
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, // a proxy, while the server starts
		func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			writes(w, `{"code":"unavailable","detail":"PostgreSQL does not answer now; try again"}`)
		},
		func(w http.ResponseWriter) { writes(w, happened(3)+": heartbeat\n\n"+happened(4)) }, // ends with its process
	}}
	r := tails(t, f, "--after", "0")
	require.Equal(t, 0, r.status, r)
	require.Equal(t, []string{"1", "2", "3", "4"}, numbered(r.out), "each once")
	require.Equal(t, []string{"after=0", "after=2", "after=2", "after=2", "after=4"}, f.asked)
	require.Equal(t, strings.Repeat("the stream broke off; taking it up again\n", 2), r.errs, "once for each stream that there was")
}

// What happens between two connections is not lost to a tail that has seen nothing yet.
func TestATailThatSawNothingGoesOnWhereItBegan(t *testing.T) {
	t.Parallel()
	f := &feed{parts: []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			w.Header().Set("Phantom-Position", "7")
			writes(w, ": the log from 7 on\n\n")
			panic(http.ErrAbortHandler)
		},
		func(w http.ResponseWriter) { writes(w, happened(8)) },
	}}
	r := tails(t, f, "--type", "ModelCreated")
	require.Equal(t, []string{"8"}, numbered(r.out), r)
	require.Equal(t, []string{"type=ModelCreated", "after=7&type=ModelCreated", "after=8&type=ModelCreated"}, f.asked)
}

func TestATailEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	require.Equal(t, result{0, "", ""}, tails(t, &feed{}))
	require.Equal(t, result{0, "", ""}, tails(t, &feed{}, "--after", "3", "-o", "json"))
}

func TestATailGivesUpOnWhatDoesNotPass(t *testing.T) {
	t.Parallel()
	refuses := func(status int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			writes(w, text)
		}
	}
	streams := func(w http.ResponseWriter) { writes(w, happened(1)) }
	for name, c := range map[string]struct {
		parts  []func(http.ResponseWriter)
		status int
		says   string
	}{
		"nobody was there": {[]func(http.ResponseWriter){refuses(http.StatusServiceUnavailable, `{"code":"unavailable","detail":"not now; try again"}`)}, 5, "not now; try again"},
		"a key is revoked": {[]func(http.ResponseWriter){streams, refuses(http.StatusUnauthorized, `{"code":"unauthenticated","detail":"the key is revoked"}`)}, 6, "the key is revoked; PHANTOM_API_KEY"},
		"no event":         {[]func(http.ResponseWriter){func(w http.ResponseWriter) { writes(w, "data: nonsense\n\n") }}, 1, "is not what this version of phantom knows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tails(t, &feed{parts: c.parts}, "--after", "0")
			require.Equal(t, c.status, r.status, r)
			require.Contains(t, r.errs, c.says)
		})
	}
}

// lines is an output that ends a command when it has so many lines.
type lines struct {
	bytes.Buffer

	enough int
	leave  context.CancelFunc
}

func (l *lines) Write(text []byte) (int, error) {
	n, err := l.Buffer.Write(text)
	if bytes.Count(l.Bytes(), []byte("\n")) >= l.enough {
		l.leave()
	}
	return n, err
}

func TestATailOfTheRealAPI(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	does := func(args ...string) {
		t.Helper()
		r := phantom(t, h.url, args...)
		require.Equal(t, 0, r.status, r)
	}
	does("model", "create", "digits")
	does("model", "tag", "digits", "team=vision")
	does("model", "create", "other")
	follows := func(enough int, meanwhile func(), args ...string) string {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		out, errs := lines{enough: enough, leave: leave}, bytes.Buffer{}
		program := main.Program{Folder: t.TempDir(), Environ: []string{"PHANTOM_URL=" + h.url}, Out: &out, Errs: &errs, Now: now()}
		var running sync.WaitGroup
		running.Go(meanwhile)
		status := program.Run(ctx, append([]string{"tail"}, args...)...)
		running.Wait()
		require.Equal(t, 0, status, errs.String())
		require.Empty(t, errs.String())
		return out.String()
	}
	require.Regexp(t, `^1  \S+ \S+  ModelCreated  digits  by \S+  name=digits\n2 .*ModelMetadataUpdated  digits .*\n3 .*ModelCreated  other .*\n$`, follows(3, func() {}, "--after", "0"))
	require.Regexp(t, `^1 .*\n3 .*\n4 .*ModelCreated  third .*\n$`, follows(3, func() { does("model", "create", "third") }, "--after", "0", "--type", "ModelCreated"))
	require.Regexp(t, `^\{"position":2,.*"event_type":"ModelMetadataUpdated".*\}\n$`, follows(1, func() {}, "--after", "1", "--model", "digits", "-o", "json"))
	r := phantom(t, h.url, "tail", "--model", "nope")
	require.Equal(t, 3, r.status)
	require.Contains(t, r.errs, "model nope not found; `phantom model list` shows those there are")
}
