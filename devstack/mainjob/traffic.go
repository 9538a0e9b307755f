package mainjob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"phantom/api/client"
)

const (
	senders = 4
	// pause between two requests of one sender: leaves the machine room for the rest.
	pace = 4 * time.Millisecond
	// labelBatch is how many labels are sent at once.
	labelBatch = 50
)

// traffic sends held-out rows through the gateway, and their true labels as feedback through the API.
type traffic struct {
	job    *job
	cancel context.CancelFunc
	group  *errgroup.Group

	mu     sync.Mutex
	counts map[string]*count // by version
	total  int64
}

type count struct{ answers, right, errors int64 }

// label is one row's truth, as POST /api/v1/feedback takes it.
type label struct {
	InferenceID string `json:"inference_id"`
	Row         int    `json:"row"`
	Label       string `json:"label"`
	Source      string `json:"source"`
}

func (j *job) sendTraffic(ctx context.Context) *traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{job: j, cancel: cancel, counts: map[string]*count{}}
	t.group, ctx = errgroup.WithContext(ctx)
	for n := range senders {
		t.group.Go(func() error { return t.send(ctx, n) })
	}
	return t
}

// stop ends the senders and waits for them; requests under way are finished first.
func (t *traffic) stop() error {
	t.cancel()
	if err := t.group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (t *traffic) send(ctx context.Context, sender int) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var labels []label
	for n := sender; ; n += senders {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A request that has begun is finished, so that every answer gets its label.
		whole := context.WithoutCancel(ctx)
		row := t.job.rows[n%len(t.job.rows)]
		l, ok, err := t.infer(whole, row)
		if err != nil {
			return err
		}
		if ok {
			labels = append(labels, l)
		}
		if len(labels) >= labelBatch {
			if err := t.job.feedback(whole, labels); err != nil {
				return err
			}
			labels = labels[:0]
		}
	}
}

type answer struct {
	ModelVersion string `json:"model_version"`
	Parameters   struct {
		InferenceID string `json:"inference_id"`
	} `json:"parameters"`
	Outputs []struct {
		Name string            `json:"name"`
		Data []json.RawMessage `json:"data"`
	} `json:"outputs"`
}

// infer asks the gateway for one row. No route yet (404) is not counted; an error of the serving side is.
func (t *traffic) infer(ctx context.Context, r row) (label, bool, error) {
	body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
		"name": "x", "shape": []int{1, len(r.pixels)}, "datatype": "FP32", "data": r.pixels,
	}}})
	if err != nil {
		return label{}, false, fmt.Errorf("encoding a row: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.job.Gateway+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		return label{}, false, fmt.Errorf("the gateway's address: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return label{}, false, fmt.Errorf("asking the gateway: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return label{}, false, nil
	}
	var a answer
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		return label{}, false, fmt.Errorf("reading the gateway's answer (%s): %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		t.count(a.ModelVersion, false, true)
		return label{}, false, nil
	}
	t.count(a.ModelVersion, a.predicted() == r.label, false)
	return label{InferenceID: a.Parameters.InferenceID, Label: r.label, Source: "make-run"}, true, nil
}

// predicted is the class in the output "label".
func (a answer) predicted() string {
	for _, o := range a.Outputs {
		if o.Name == "label" && len(o.Data) > 0 {
			var text string
			if json.Unmarshal(o.Data[0], &text) == nil {
				return text
			}
			return string(o.Data[0])
		}
	}
	return ""
}

func (j *job) feedback(ctx context.Context, labels []label) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return j.API.Do(ctx, client.Request{Method: http.MethodPost, Path: "/api/v1/feedback", Body: map[string]any{"feedback": labels}}, nil)
}

func (t *traffic) count(version string, right, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[version]
	if c == nil {
		c = &count{}
		t.counts[version] = c
	}
	t.total++
	switch {
	case failed:
		c.errors++
	case right:
		c.right++
		c.answers++
	default:
		c.answers++
	}
}

func (t *traffic) sent() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// accuracies describes each version's answers so far, by version.
func (t *traffic) accuracies() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for v, c := range t.counts {
		lines = append(lines, fmt.Sprintf("v%s accuracy %.3f (%d answers, %d errors)", v, float64(c.right)/float64(max(c.answers, 1)), c.answers, c.errors))
	}
	slices.Sort(lines)
	return lines
}

// brief is each version's accuracy so far, for the panel.
func (t *traffic) brief() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for v, c := range t.counts {
		parts = append(parts, fmt.Sprintf("v%s %.3f of %d", v, float64(c.right)/float64(max(c.answers, 1)), c.answers))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
