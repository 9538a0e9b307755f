package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// call is one request of the load, and what became of it.
type call struct {
	kind    string // read, write or inference
	request string
	sent    time.Time
	took    time.Duration
	status  int // 0: no answer
	retry   string
	err     error
}

func (c call) String() string {
	return fmt.Sprintf("%s %s answered %d, Retry-After %q, after %s: %v", c.kind, c.request, c.status, c.retry, c.took, c.err)
}

// load is many clients that read, write and infer, each on a connection of its own and as soon as it was answered, but for a
// pause. What is answered 503 is not asked again at once.
type load struct {
	p       *phantom
	pause   time.Duration
	client  *http.Client
	rows    [][]float32
	mu      sync.Mutex
	calls   []call
	written map[int]int // by client: the last change that was acknowledged
	tried   map[int]int // and the last one that was sent
}

// refusedPause is how long a client waits after a 503; Retry-After says more, so this is one of the impatient.
const refusedPause = 100 * time.Millisecond

func newLoad(p *phantom, connections int, pause time.Duration) *load {
	rows, _ := heldOut(p.t)
	return &load{
		p: p, pause: pause, rows: rows, written: map[int]int{}, tried: map[int]int{},
		client: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}},
	}
}

// run lets the clients work until the context ends; what is under way then is answered.
func (l *load) run(ctx context.Context, connections int) {
	var clients sync.WaitGroup
	for n := range connections {
		clients.Go(func() {
			for turn := 1; ctx.Err() == nil; turn++ {
				pause := l.pause
				if c := l.one(context.WithoutCancel(ctx), n, turn); c.status == http.StatusServiceUnavailable {
					pause = max(pause, refusedPause)
				}
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	clients.Wait()
	l.client.CloseIdleConnections()
}

// one makes the next call of a client: of four, two read, one writes, one infers. It is answered also after the load's end.
func (l *load) one(ctx context.Context, client, turn int) call {
	path := "/api/v1/models/" + clientModel(client)
	var c call
	switch turn % 4 {
	case 0:
		c = l.send(ctx, "write", http.MethodPatch, l.p.api.URL+path, map[string]any{"description": strconv.Itoa(turn)})
	case 1:
		c = l.send(ctx, "read", http.MethodGet, l.p.api.URL+path, nil)
	case 2:
		row := l.rows[(client+turn)%len(l.rows)]
		c = l.send(ctx, "inference", http.MethodPost, l.p.gateway+"/v2/models/"+model+"/infer", map[string]any{"inputs": []any{map[string]any{
			"name": "x", "shape": []int{1, len(row)}, "datatype": "FP32", "data": row,
		}}})
	default:
		paths := []string{"/api/v1/models?limit=20", "/api/v1/events?limit=20", path + "/events", "/api/v1/trainings", path + "/versions"}
		c = l.send(ctx, "read", http.MethodGet, l.p.api.URL+paths[turn/4%len(paths)], nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	if c.kind == "write" {
		l.tried[client] = turn
		if c.status == http.StatusOK {
			l.written[client] = turn
		}
	}
	return c
}

func clientModel(client int) string { return fmt.Sprintf("load-%d", client) }

func (l *load) send(ctx context.Context, kind, method, address string, body any) call {
	c := call{kind: kind, request: method + " " + address, sent: time.Now()}
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		panic(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := l.client.Do(request)
	if err == nil {
		c.status, c.retry = response.StatusCode, response.Header.Get("Retry-After")
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	c.err, c.took = err, time.Since(c.sent)
	return c
}

// furnish makes a model for each client.
func (l *load) furnish(connections int) {
	l.p.t.Helper()
	for n := range connections {
		require.NoError(l.p.t, l.p.send(http.MethodPost, "/api/v1/models", map[string]any{
			"model_id": clientModel(n), "name": "Load", "model_type": "classification", "algorithm": "mlp",
		}, nil))
	}
}

// between are the calls of a kind that were sent in a time.
func (l *load) between(kind string, from, to time.Time) (found []call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if c.kind == kind && !c.sent.Before(from) && c.sent.Before(to) {
			found = append(found, c)
		}
	}
	return found
}

// told is how many calls there were, with which answers, and how long they took.
func told(calls []call) string {
	if len(calls) == 0 {
		return "none"
	}
	statuses := map[int]int{}
	var took []time.Duration
	for _, c := range calls {
		statuses[c.status]++
		took = append(took, c.took)
	}
	slices.Sort(took)
	return fmt.Sprintf("%d calls %s, p50 %s, p99 %s, most %s", len(calls), strings.TrimPrefix(fmt.Sprint(statuses), "map"),
		took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}
