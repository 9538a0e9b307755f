package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
	"phantom/eventstore"
	"phantom/internal/pgtest"
	"phantom/projection"
	"phantom/readmodel"
	"phantom/registry"
	"phantom/sealing"
	"phantom/serving/gateway"
)

// TestAnErasedSubjectIsNowhere is the whole way: inferences of people and of nobody go through a gateway into
// the log. Afterwards no table, dump or file holds what they said, sealed or erased; who is erased cannot be
// opened any more, and everything else goes on.
func TestAnErasedSubjectIsNowhere(t *testing.T) {
	t.Parallel()
	h := newErasureHouse(t)
	ann, bo := h.marked("ann"), h.marked("bo")
	h.infer(t, "patients", ann, "ann")
	h.infer(t, "patients", bo, "bo")
	nobody := h.marked("nobody")
	h.infer(t, "visitors", nobody, "")
	h.fill(t, 1)
	h.requireRead(t, "patients", map[string]string{ann: "clear", bo: "clear"})

	require.Len(t, h.erase(t, sealing.Erasure{Kind: sealing.Subject, Name: "ann"}), 1)
	h.infer(t, "patients", h.marked("late"), "ann")

	secrets := h.marks()
	control := h.control // a text that stands in clear: the search is known to be able to find
	h.requireOnlyInTables(t, secrets, control)
	h.requireOnlyInDump(t, secrets, control)
	h.requireOnlyInFiles(t, secrets, control)

	read := h.requireRead(t, "patients", map[string]string{ann: "erased", bo: "clear"})
	require.Len(t, read, 3)
	late := read[2].Event.(domain.InferenceMade)
	require.Equal(t, domain.Content{Erased: true}, late.InputFeatures)
	require.Equal(t, domain.Content{Erased: true}, late.Prediction)
	text, err := json.Marshal(late.Prediction)
	require.NoError(t, err)
	require.JSONEq(t, `{"erased":true}`, string(text))
	visits := h.requireRead(t, "visitors", map[string]string{nobody: "clear"})
	require.Len(t, visits, 1)

	h.fill(t, 2) // a rebuild beside the live rows
	require.Equal(t, h.rowsOf(t, 1, "patients"), h.rowsOf(t, 2, "patients"))
	model, err := h.registry.Model(t.Context(), domain.DefaultTenant, "patients")
	require.NoError(t, err)
	require.Equal(t, domain.Version("1"), model.Champion("local"))
	pages, err := h.store.ReadAfter(t.Context(), eventstore.Inference, []eventstore.Cursor{{Tenant: "default"}}, nil, 100)
	require.NoError(t, err)
	require.NoError(t, pages[0].Err, "each digest covers the ciphertext, and fits")
	require.Len(t, pages[0].Events, 4)
	anchors, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, anchors.Close()) })
	for _, log := range []eventstore.Log{eventstore.Lifecycle, eventstore.Inference} {
		report, err := eventstore.NewAuditor(h.store, anchors).Verify(t.Context(), "default", log)
		require.NoError(t, err)
		require.Nil(t, report.Broken, log)
		require.Equal(t, report.Events, report.LastVerified, "the chain covers what is erased as what is not")
	}
}

// erasureHouse is a gateway before a target that repeats what it is told, on the real log and registry.
type erasureHouse struct {
	db       *pgtest.Database
	store    *eventstore.Store
	registry *registry.Registry
	state    string // the state folder
	url      string // of the gateway
	control  string
	said     []string
}

func newErasureHouse(t *testing.T, change ...func(*erasureHouse, *gateway.Params)) *erasureHouse {
	t.Helper()
	db := pgtest.New(t)
	pool := db.Pool(t)
	h := &erasureHouse{db: db, store: eventstore.New(pool), state: t.TempDir(), control: "control-" + uuid.NewString()}
	wrapper, err := sealing.OpenWrapper(t.Context(), "file://"+filepath.Join(h.state, "keys", "master.key"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, wrapper.Close()) })
	h.registry = registry.NewSealing(h.store, sealing.New(pool, wrapper, sealing.Params{Lifetime: -1}))
	target := httptest.NewServer(http.HandlerFunc(repeat))
	t.Cleanup(target.Close)
	tail := eventstore.NewTail(h.store, eventstore.Lifecycle)
	params := gateway.Params{
		Name: "erasure", RouteFile: filepath.Join(h.state, "gateway", "routes.json"),
		Targets: map[domain.Target]string{"local": target.URL}, Feed: routeFeed{eventstore.NewReader(h.store, tail), tail},
		Identify: func(*http.Request) (domain.Tenant, domain.Actor, error) {
			return domain.DefaultTenant, domain.Actor{Subject: "tester", Auth: domain.AuthLocal}, nil
		},
		Followers: projection.NewFollowers(pool, 0), Recorder: recorder{h.registry}, Sweep: 10 * time.Millisecond,
	}
	for _, alter := range change {
		alter(h, &params)
	}
	g, err := gateway.New(params)
	require.NoError(t, err)
	front := httptest.NewServer(g.Handler())
	h.url = front.URL
	ctx, cancel := context.WithCancel(t.Context())
	followed, tailed := make(chan error, 1), make(chan error, 1)
	go func() { tailed <- tail.Run(ctx) }()
	go func() { followed <- g.Follow(ctx) }()
	t.Cleanup(func() {
		front.Close()
		cancel()
		require.NoError(t, <-followed)
		require.ErrorIs(t, <-tailed, context.Canceled)
		require.NoError(t, g.Close(context.WithoutCancel(t.Context())))
	})
	for _, model := range []domain.ModelID{"patients", "visitors"} {
		h.deploy(t, model)
	}
	return h
}

// repeat answers with the first value of its first input as the label.
func repeat(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	var request struct {
		Inputs []struct{ Data []string }
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, `{"outputs":[{"name":"label","datatype":"BYTES","shape":[1],"data":[%q]}]}`, "label of "+request.Inputs[0].Data[0])
}

func (h *erasureHouse) deploy(t *testing.T, model domain.ModelID) {
	t.Helper()
	digest := domain.Digest("sha256:" + strings.Repeat("0", 64))
	for _, cmd := range []domain.Command{
		domain.CreateModel{ModelID: model, Name: h.control, ModelType: "classification", Algorithm: "mlp"},
		domain.CreateModelVersion{ModelID: model, ArtifactsLocation: digest},
		domain.DeployModel{
			ModelID: model, Version: "1", DeploymentTarget: "local",
			DeploymentConfig: json.RawMessage(`{"logging":"durable","capture":"full"}`),
		},
	} {
		_, err := h.registry.Handle(t.Context(), domain.DefaultTenant, cmd, domain.Meta{Actor: domain.Actor{Subject: "till", Auth: domain.AuthLocal}})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		code, _ := h.ask(t, http.MethodGet, "/v2/models/"+string(model)+"/ready", "", "")
		return code == http.StatusOK
	}, 20*time.Second, 5*time.Millisecond)
}

// marked is a text that stands nowhere else.
func (h *erasureHouse) marked(name string) string {
	mark := "mark-" + name + "-" + uuid.NewString()
	h.said = append(h.said, mark)
	return mark
}

// marks are all marks as they may be written somewhere: as they are, in hex, in base64 at any offset.
func (h *erasureHouse) marks() []string {
	var forms []string
	for _, mark := range h.said {
		forms = append(forms, mark, hex.EncodeToString([]byte(mark)))
		for offset := range 3 {
			text := base64.StdEncoding.EncodeToString([]byte("   "[:offset] + mark))
			forms = append(forms, text[4:len(text)-4]) // the ends depend on what stands around it
		}
	}
	return forms
}

// infer has the mark in its inputs and, when it is about a person, in its prediction, which else is in clear.
func (h *erasureHouse) infer(t *testing.T, model, mark, subject string) {
	t.Helper()
	said := mark
	if subject == "" {
		said = "nothing"
	}
	code, body := h.ask(t, http.MethodPost, "/v2/models/"+model+"/infer", `{"inputs":[
		{"name":"said","shape":[1],"datatype":"BYTES","data":["`+said+`"]},{"name":"who","shape":[1],"datatype":"BYTES","data":["`+mark+`"]}
	]}`, subject)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, "label of "+said)
}

func (h *erasureHouse) ask(t *testing.T, method, path, body, subject string) (code int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if subject != "" {
		request.Header.Set("Phantom-Subject", subject)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func (h *erasureHouse) erase(t *testing.T, what sealing.Erasure) []sealing.Destroyed {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), h.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	what.Tenant, what.By, what.Reason = domain.DefaultTenant, "ann herself", "asked for it"
	tombstones, err := sealing.Erase(t.Context(), owner, what)
	require.NoError(t, err)
	return tombstones
}

// requireRead reads a model's day as a canary does, and holds each mark against the form that it must have.
func (h *erasureHouse) requireRead(t *testing.T, model domain.ModelID, want map[string]string) []domain.Recorded {
	t.Helper()
	var all []domain.Recorded
	now := time.Now().UTC()
	for _, day := range []time.Time{now.AddDate(0, 0, -1), now} { // midnight may have passed
		stream := domain.InferenceStream(model, "local", day.Format(time.DateOnly))
		read, err := inferenceLog{h.store, h.registry}.Events(t.Context(), domain.DefaultTenant, stream, 1, 100)
		require.NoError(t, err)
		all = append(all, read...)
	}
	seen := map[string]string{}
	erased := 0
	for _, recorded := range all {
		made := recorded.Event.(domain.InferenceMade)
		require.Nil(t, made.InputFeatures.Sealed)
		require.Nil(t, made.Prediction.Sealed)
		require.Equal(t, made.InputFeatures.Erased, made.Prediction.Erased)
		for mark := range want {
			private := made.SubjectRef == "" || strings.Contains(string(made.Prediction.Clear), mark)
			if strings.Contains(string(made.InputFeatures.Clear), mark) && private {
				seen[mark] = "clear"
			}
		}
		if made.InputFeatures.Erased {
			erased++
		}
	}
	for mark, form := range want {
		require.Equal(t, form == "clear", seen[mark] == "clear", mark)
		require.True(t, form == "clear" || erased > 0)
	}
	return all
}

// fill applies what is there, or rebuilds it: then the new generation goes live.
func (h *erasureHouse) fill(t *testing.T, generation int) {
	t.Helper()
	pool := h.db.Pool(t)
	store := eventstore.New(pool)
	r, err := projection.NewRunner(projection.Params{
		Pool: pool, Feed: store, Projections: readmodel.Projections(), Steer: 10 * time.Millisecond, Sweep: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for _, p := range readmodel.Projections() {
		heads, err := store.Heads(t.Context(), p.Log())
		require.NoError(t, err)
		for tenant, head := range heads {
			require.NoError(t, r.WaitFor(t.Context(), p.Name(), tenant, head))
		}
		if generation == 1 {
			continue
		}
		made, err := r.Rebuild(t.Context(), p.Name(), 0)
		require.NoError(t, err)
		require.Equal(t, generation, made)
		require.Eventually(t, func() bool {
			status, err := r.Status(t.Context(), p.Name())
			return err == nil && status.Generation == generation
		}, time.Minute, 10*time.Millisecond, p.Name())
	}
	cancel()
	require.NoError(t, <-ended)
}

// rowsOf are a model's rows of a generation, without the generation.
func (h *erasureHouse) rowsOf(t *testing.T, generation int, model string) (rows []string) {
	t.Helper()
	admin := pgtest.Pool(t, h.db.AdminURL)
	for _, table := range []string{"model", "version", "deployment"} {
		found, err := admin.Query(t.Context(), `select (to_jsonb(r) - 'generation')::text from phantom.`+table+` r
			where r.generation = $1 and r.model_id = $2 order by 1`, generation, model)
		require.NoError(t, err)
		texts, err := pgx.CollectRows(found, pgx.RowTo[string])
		require.NoError(t, err)
		require.NotEmpty(t, texts, table)
		rows = append(rows, texts...)
	}
	return rows
}
