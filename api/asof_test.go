package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/api"
	"phantom/domain"
	"phantom/readmodel"
)

// histories are enough for some seconds; what fails is shrunk all the same. -rapid.seed draws the same ones.
const histories = 4

// Whatever has happened to whom: as of each position, every question is answered as the events up to there fold, and as
// it was answered when the log ended there; the answer says which position it is of, and is the same to the byte when it is asked for again.
func TestThePastIsWhatThePresentWas(t *testing.T) {
	t.Parallel()
	var ends sync.Map // tenant → the end of its log
	h := newHouse(t, func(h *house, p *api.Params) {
		p.WaitFor = func(ctx context.Context, name, tenant string, position int64) error {
			if end, known := ends.Load(tenant); known && position > end.(int64) { // a wait in vain need not take 10 s
				limited, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				ctx = limited
			}
			return h.runner.WaitFor(ctx, name, tenant, position)
		}
	})
	drawn, shrinks := 0, false
	rapid.Check(t, func(r *rapid.T) {
		if drawn++; drawn > histories && !shrinks {
			return
		}
		defer func() { shrinks = shrinks || r.Failed() }()
		two := map[string]*history{"one": h.history(), "the other": h.history()}
		two["one"].begins(r)
		two["the other"].begins(r)
		for range 20 {
			if whose := two[rapid.SampledFrom([]string{"nobody", "one", "one", "one", "the other", "the other"}).Draw(r, "whose")]; whose != nil {
				whose.lives(r)
			}
		}
		for _, whose := range two {
			ends.Store(string(whose.tenant), int64(len(whose.events)))
			whose.holds(r)
		}
	})
}

func (h *house) history() *history {
	return &history{house: h, tenant: domain.Tenant("t-" + uuid.NewString()[:13])}
}

// lives lets something happen, and asks about it.
func (h *history) lives(r *rapid.T) {
	before := len(h.events)
	if h.step(r); len(h.events) > before {
		h.settle(r)
		h.witness(r)
	}
}

// settle waits until all that a question may be about has seen the end of the log.
func (h *history) settle(r *rapid.T) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	for _, name := range append(readmodel.LineageProjections(), readmodel.CatalogueName, readmodel.AliasesName) {
		require.NoError(r, h.runner.WaitFor(ctx, name, string(h.tenant), int64(len(h.events))))
	}
}

// question is a path that takes as_of; one of a model takes at_revision.
type question struct {
	path  string
	model domain.ModelID // empty: of all
	limit int            // of a list; 0: it is of one thing
}

// reply is what came of a question, a list's pages all together.
type reply struct {
	status   int
	position int64
	things   []json.RawMessage // the items, or the one thing, or the problem
	raw      []byte            // every byte of the answer, cursors too
}

// witnessed is what a question was answered when the log ended at a position.
type witnessed struct {
	question

	position int
	reply    reply  // about the present
	past     []byte // as of the position, which was the last one
}

// always are the questions about a model whose answers are held against the events.
func always(id domain.ModelID) []question {
	path := "/api/v1/models/" + string(id)
	return []question{
		{path, id, 0},
		{path + "/versions", id, 2},
		{path + "/aliases", id, 1},
		{path + "/trainings", id, 1},
		{path + "/deployments?current=true", id, 1},
		{path + "/versions/latest/lineage", id, 0},
	}
}

// others are all the other questions.
func others() []question {
	questions := []question{
		{"/api/v1/models", "", 1},
		{"/api/v1/models?status=deployed", "", 1},
		{"/api/v1/models?status=training&algorithm=a&model_type=t", "", 1},
		{"/api/v1/models?tag=team%3Dx", "", 1},
		{"/api/v1/models?tag=team%3Dx&tag=tier%3D1", "", 1},
		{"/api/v1/trainings", "", 2},
		{"/api/v1/trainings?state=completed", "", 1},
		{"/api/v1/rollouts", "", 2},
		{"/api/v1/rollouts?state=running&target=prod", "", 1},
	}
	for _, id := range []domain.ModelID{"m0", "m1"} {
		path := "/api/v1/models/" + string(id)
		for _, list := range []string{"/deployments", "/deployments?target=prod", "/trainings?state=running", "/rollouts", "/rollouts?target=local"} {
			questions = append(questions, question{path + list, id, 1})
		}
		for _, one := range []string{
			"/versions/1", "/versions/latest", "/versions/@champion", "/versions/1/lineage", "/versions/@challenger/lineage",
			"/aliases/champion", "/trainings/" + string(jobsOf(id)[0]), "/rollouts/" + string(rolloutsOf(id)[0]),
		} {
			questions = append(questions, question{path + one, id, 0})
		}
		questions = append(questions,
			question{"/api/v1/trainings/" + string(jobsOf(id)[1]), "", 0}, question{"/api/v1/rollouts/" + string(rolloutsOf(id)[1]), "", 0})
	}
	return questions
}

// witness asks about the present what will be the past.
func (h *history) witness(r *rapid.T) {
	model := h.events[len(h.events)-1].Stream.Model()
	asked := always(model)
	for range 3 {
		asked = append(asked, rapid.SampledFrom(others()).Draw(r, "question"))
	}
	for _, q := range asked {
		answer := h.ask(r, q, "")
		if answer.status == http.StatusOK {
			require.EqualValues(r, len(h.events), answer.position, "%v", q)
		}
		past := h.ask(r, q, "as_of="+strconv.Itoa(len(h.events)))
		h.seen = append(h.seen, witnessed{q, len(h.events), answer, past.raw})
	}
}

// holds asks everything again, as of the positions at which it was witnessed, now that more has happened.
func (h *history) holds(r *rapid.T) {
	known := map[int][][]json.RawMessage{} // by position, what always is asked
	for _, w := range h.seen {
		moment := "as_of=" + strconv.Itoa(w.position)
		then := h.ask(r, w.question, moment)
		require.Equal(r, w.reply.status, then.status, "%s %s", w.path, moment)
		require.Equal(r, texts(w.reply.things), texts(then.things), "%s %s", w.path, moment)
		require.Equal(r, string(w.past), string(then.raw), "%s %s, cursors and all", w.path, moment)
		if then.status == http.StatusOK {
			require.EqualValues(r, w.position, then.position, "%s %s", w.path, moment)
		}
		known[w.position] = append(known[w.position], then.things)
	}
	for i, event := range h.events {
		answers := known[i+1]
		if answers == nil { // between two events of one command nobody was there
			h.agreesBetween(r, i+1)
			continue
		}
		h.agrees(r, i+1, answers)
		h.sameMoments(r, i+1, event)
	}
	for range 5 {
		h.edges(r, rapid.SampledFrom(slices.Concat(always("m0"), always("m1"), others())).Draw(r, "question at the edges"))
	}
}

// texts are things as strings. How often a model was asked is told of the present alone.
func texts(things []json.RawMessage) []string {
	found := make([]string, len(things))
	for i, thing := range things {
		found[i] = strings.Replace(string(thing), `"inferences":0}`, `"inferences":null}`, 1)
	}
	return found
}

// sameMoments asks for a position by the time of its event and by the revision of its model.
func (h *history) sameMoments(r *rapid.T, position int, event domain.Recorded) {
	about := always(event.Stream.Model())
	q := about[position%len(about)]
	want := h.ask(r, q, "as_of="+strconv.Itoa(position))
	if event.Stream.Type == domain.TypeMLModel {
		require.Equal(r, want, h.ask(r, q, "at_revision="+strconv.FormatInt(event.Revision, 10)), "%s, revision %d", q.path, event.Revision)
	}
	require.Equal(r, want, h.ask(r, q, "as_of="+url.QueryEscape(event.RecordedAt.UTC().Format(time.RFC3339Nano))), q.path)
}

// edges asks for what has not happened yet, and for what was before a model.
func (h *history) edges(r *rapid.T, q question) {
	beyond := strconv.Itoa(len(h.events) + 1)
	late := h.call(r, q, "as_of="+beyond)
	require.Equal(r, http.StatusServiceUnavailable, late.status, "%s as of %s, beyond the end", q.path, beyond)
	require.NotEmpty(r, late.header.Get("Retry-After"), q.path)
	if q.model == "" {
		return
	}
	require.Equal(r, http.StatusNotFound, h.call(r, q, "at_revision="+beyond).status, "%s at revision %s", q.path, beyond)
	birth := 1 + slices.IndexFunc(h.events, func(e domain.Recorded) bool { return e.Stream == domain.ModelStream(q.model) })
	if birth > 1 {
		require.Equal(r, http.StatusNotFound, h.ask(r, q, "as_of="+strconv.Itoa(birth-1)).status, "%s as of %d, before the model", q.path, birth-1)
	}
}

// ask reads all pages of an answer.
func (h *history) ask(r *rapid.T, q question, moment string) reply {
	var all reply
	for cursor := ""; ; {
		one := h.call(r, q, moment, cursor)
		all.status, all.raw = one.status, append(all.raw, one.body...)
		if one.status != http.StatusOK || q.limit == 0 {
			all.things = append(all.things, one.body)
			all.position, _ = strconv.ParseInt(one.header.Get("Phantom-Position"), 10, 64)
			return all
		}
		all.position = one.position()
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"next_cursor"`
			HasMore    bool              `json:"has_more"`
		}
		require.NoError(r, json.Unmarshal(one.body, &page))
		all.things = append(all.things, page.Items...)
		require.Equal(r, page.HasMore, page.NextCursor != "")
		if !page.HasMore {
			return all
		}
		require.Len(r, page.Items, q.limit)
		cursor = "cursor=" + url.QueryEscape(page.NextCursor)
	}
}

func (h *history) call(r *rapid.T, q question, parameters ...string) answer {
	path := q.path
	if q.limit > 0 {
		parameters = append(parameters, "limit="+strconv.Itoa(q.limit))
	}
	for _, parameter := range parameters {
		if parameter == "" {
			continue
		}
		between := "?"
		if strings.Contains(path, "?") {
			between = "&"
		}
		path += between + parameter
	}
	asked, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+path, http.NoBody)
	require.NoError(r, err)
	asked.Header.Set(api.HeaderTenant, string(h.tenant))
	response, err := h.http.Do(asked)
	require.NoError(r, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(r, err)
	return answer{t: h.t, status: response.StatusCode, header: response.Header, body: bytes.TrimSpace(body)}
}
