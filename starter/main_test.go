package main_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	main "phantom/starter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	job       = "ebcdd379-938b-562f-8b0a-30aa4ee7964b"
	rolloutID = "0bda5e8f-68cb-50c9-a20d-00745f1dfbc5"
	train     = "train:default:digits:c"
	deploy    = "deploy:default:digits:local"
)

// now is some minutes after the answers in testdata/api were recorded from a running Phantom.
func now() time.Time { return time.Date(2026, 11, 23, 18, 30, 0, 0, time.UTC) }

// answer is what the recorded server says to one request.
type answer struct {
	status int
	kind   string
	body   []byte
}

// request is what the recorded server was asked.
type request struct {
	method, path, kind string
	body               string
	header             http.Header
}

// server answers with what a real Phantom once said: an answer for each "METHOD /path?query"; several in
// turn, of which the last one stays.
type server struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	answers map[string][]answer
	asked   []request
	leave   context.CancelFunc // of the command that runs
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, answers: map[string][]answer{}}
	http := httptest.NewServer(s)
	t.Cleanup(http.Close)
	s.url = http.URL
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leave != nil && r.Header.Get("Accept") == "text/event-stream" && s.streamed() {
		s.leave() // who follows has read what there is, and comes again: now is the time for Ctrl-C
		<-r.Context().Done()
		return
	}
	s.asked = append(s.asked, request{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body.String(), r.Header})
	key := r.Method + " " + r.URL.RequestURI()
	turn := s.answers[key]
	if len(turn) == 0 {
		s.t.Errorf("nothing is recorded for %s; there is %v", key, slices.Sorted(maps.Keys(s.answers)))
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if len(turn) > 1 {
		s.answers[key] = turn[1:]
	}
	w.Header().Set("Content-Type", turn[0].kind)
	w.WriteHeader(turn[0].status)
	_, _ = w.Write(turn[0].body)
}

// streamed tells whether the command has had a stream.
func (s *server) streamed() bool {
	return slices.ContainsFunc(s.asked, func(r request) bool { return r.header.Get("Accept") == "text/event-stream" })
}

// during is the time of one command, which ends when it has read a stream to its end.
func (s *server) during(ctx context.Context) context.Context {
	ctx, leave := context.WithCancel(ctx)
	s.t.Cleanup(leave)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.leave = nil, leave
	return ctx
}

// says puts a recorded answer behind a request.
func (s *server) says(key string, status int, file string) *server {
	s.t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "api", file))
	require.NoError(s.t, err)
	return s.saysText(key, status, string(body))
}

func (s *server) saysText(key string, status int, body string) *server {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := "application/json"
	if status >= http.StatusBadRequest {
		kind = "application/problem+json"
	}
	s.answers[key] = append(s.answers[key], answer{status, kind, []byte(body)})
	return s
}

// last is the last request that began with the method.
func (s *server) last(method string) request {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.asked) {
		if r.method == method {
			return r
		}
	}
	require.FailNow(s.t, "there was no "+method)
	return request{}
}

// result is what a run left.
type result struct {
	status    int
	out, errs string
}

func (r result) String() string {
	text := r.out
	if r.errs != "" {
		text += "[standard error]\n" + r.errs
	}
	return text + fmt.Sprintf("[exit status %d]\n", r.status)
}

// command is a run of the program in an empty folder.
type command struct {
	environ []string
	in      string
	live    bool
	files   map[string]string
}

func (c command) run(ctx context.Context, t *testing.T, url string, args ...string) result {
	t.Helper()
	folder := t.TempDir()
	for name, text := range c.files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for name := range c.files {
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "%"+name, filepath.Join(folder, name))
		}
	}
	var out, errs bytes.Buffer
	program := main.Program{
		Folder: folder, Environ: append([]string{"PHANTOM_URL=" + url}, c.environ...), In: strings.NewReader(c.in),
		Out: &out, Errs: &errs, Now: now(), Live: c.live,
	}
	status := program.Run(ctx, args...)
	return result{status, out.String(), strings.ReplaceAll(errs.String(), folder+string(filepath.Separator), "")}
}

func phantom(t *testing.T, url string, args ...string) result {
	t.Helper()
	return command{}.run(t.Context(), t, url, args...)
}

// serve runs a handler until the test ends.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
