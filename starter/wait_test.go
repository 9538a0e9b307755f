package main_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	trainSaga  = "GET /api/v1/sagas/" + train
	deploySaga = "GET /api/v1/sagas/" + deploy
)

// trained is a training that runs, waits for approval, and is registered.
func trained(t *testing.T) *server {
	t.Helper()
	return newServer(t).
		saysText(startsTraining, http.StatusAccepted, startedTraining).
		says(trainSaga, http.StatusOK, "saga_train_running.json").
		says(trainSaga, http.StatusOK, "saga_train_running.json").
		says(trainSaga, http.StatusOK, "saga_train_approval.json").
		says(trainSaga, http.StatusOK, "saga_train_completed.json")
}

const registered = train + " registered: version 3 (accuracy 0.9727, f1 0.9734, precision 0.9735, recall 0.9738; took 35s)\n"

func TestAWaitTellsEachChangeOnce(t *testing.T) {
	t.Parallel()
	r := phantom(t, trained(t).url, "train", "digits", "--data", "d.csv", "--wait")
	require.Equal(t, result{
		0, registered,
		"started " + train + "\n" +
			"train  30 %  epoch 24/80  loss 0.01243  accuracy 1\n" +
			"approval waits for approval: `phantom training approve|reject " + train + "`\n",
	}, r)
}

func TestAWaitOnATerminalRedrawsOneLine(t *testing.T) {
	t.Parallel()
	r := command{live: true}.run(t.Context(), t, trained(t).url, "training", "watch", train)
	require.Equal(t, registered, r.out)
	lines := strings.Split(r.errs, "\r\x1b[2K")
	require.Equal(t, "train ██████░░░░░░░░░░░░░░  30 %  epoch 24/80  loss 0.01243  accuracy 1", lines[1])
	require.Equal(t, lines[1], lines[2])
	require.True(t, strings.HasPrefix(lines[3], "approval waits for approval: `phantom training approve|reject"))
	require.Len(t, []rune(lines[3]), 79, "a line that wraps could not be redrawn")
	require.Empty(t, lines[4], "the line is wiped in the end")
	require.NotContains(t, r.errs, "\n")
}

func TestQuietAndJSONKeepTheirWordOnAWait(t *testing.T) {
	t.Parallel()
	r := phantom(t, trained(t).url, "train", "digits", "--data", "d.csv", "--wait", "--quiet")
	require.Equal(t, result{0, registered, ""}, r)
	s := trained(t)
	r = phantom(t, s.url, "train", "digits", "--data", "d.csv", "--wait", "-o", "json")
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, string(s.answers[trainSaga][0].body), r.out, "exactly the API's object")
}

func TestACanaryShowsSplitAndWhatIsStillNeeded(t *testing.T) {
	t.Parallel()
	s := newServer(t).
		saysText(startsDeployment, http.StatusAccepted, startedDeploy).
		says(deploySaga, http.StatusOK, "saga_deploy_running.json").
		says(deploySaga, http.StatusOK, "saga_deploy_rolled_back.json").
		says("GET /api/v1/models/digits/rollouts?limit=1", http.StatusOK, "rollouts_running.json")
	r := phantom(t, s.url, "deploy", "digits", "--version", "1", "--target", "local", "--wait")
	require.Equal(t, 1, r.status, "it was rolled back")
	require.Empty(t, r.out)
	require.Contains(t, r.errs, "canary_1: v1 10 % / v2 90 % | error_rate needs 295 more clean answers\n")
	require.True(t, strings.HasSuffix(r.errs, "phantom: "+deploy+" ended as rolled_back to version 2: aborted by root: not today\n"), r.errs)
}

func TestACanaryThatCannotBeLookedAtIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t).
		says(deploySaga, http.StatusOK, "saga_deploy_running.json").
		says(deploySaga, http.StatusOK, "saga_deploy_promoted.json").
		saysText("GET /api/v1/models/digits/rollouts?limit=1", http.StatusServiceUnavailable, `{"code":"unavailable","detail":"later"}`)
	r := phantom(t, s.url, "rollout", "watch", deploy)
	require.Equal(t, 0, r.status, r)
	require.Equal(t, "canary_1\n", r.errs)
	require.Contains(t, r.out, deploy+" promoted: version 2, before it 1 (every required metric is accepted, none has failed; took ")
}

// ended is a saga that has ended.
func ended(id, state, result, why string) string {
	return `{"saga_id":"` + id + `","state":"` + state + `","result":` + result + `,"error":"` + why + `"}`
}

func TestTheEndOfASagaIsTheExitStatus(t *testing.T) {
	t.Parallel()
	const rollback, undeploy = "rollback:default:digits:local", "undeploy:default:digits:local"
	cases := []struct {
		id, state, result, why string
		status                 int
		says                   string
	}{
		{train, "completed", `{"outcome":"registered","version":"2"}`, "", 0, "registered: version 2"},
		{train, "completed", `{"outcome":"registered","version":"2","deployment":{"outcome":"promoted","version":"2"}}`, "", 0, "deployment promoted"},
		{
			train, "completed", `{"outcome":"registered","version":"2","deployment":{"outcome":"rolled_back","previous":"1","reason":"slow"}}`, "", 1,
			"registered version 2, but its deployment ended as rolled_back to version 1: slow",
		},
		{train, "completed", `{"outcome":"gate_not_met","reason":"accuracy 0.8 is not >= 0.9"}`, "", 1, "ended as gate_not_met: accuracy 0.8 is not >= 0.9"},
		{train, "completed", `{"outcome":"rejected","reason":"expired"}`, "", 1, "ended as rejected: expired"},
		{train, "completed", `null`, "", 1, "ended as nothing that is known"},
		{train, "failed", `null`, "data.train.uri: no such file", 1, "ended as failed: data.train.uri: no such file"},
		{train, "canceled", `null`, "", 1, "ended as canceled"},
		{train, "terminated", `null`, "", 1, "ended as terminated"},
		{deploy, "completed", `{"outcome":"promoted","version":"2","previous":"1","initial":false,"reason":"canary"}`, "", 0, "promoted: version 2, before it 1 (canary)"},
		{deploy, "completed", `{"outcome":"rejected","reason":"no"}`, "", 1, "ended as rejected: no"},
		{rollback, "completed", `{"outcome":"rolled_back","version":"1","previous":"2"}`, "", 0, "rolled_back: version 1, before it 2"},
		{rollback, "failed", `null`, "there is none", 1, "ended as failed: there is none"},
		{undeploy, "completed", `{"outcome":"undeployed","version":"1"}`, "", 0, "undeployed: version 1"},
	}
	for _, c := range cases {
		t.Run(c.id+" "+c.state+" "+c.result, func(t *testing.T) {
			t.Parallel()
			s := newServer(t).saysText("GET /api/v1/sagas/"+c.id, http.StatusOK, ended(c.id, c.state, c.result, c.why))
			r := phantom(t, s.url, "rollout", "watch", c.id)
			require.Equal(t, c.status, r.status, r)
			if c.status == 0 {
				require.True(t, strings.HasPrefix(r.out, c.id+" "), r.out)
				require.Contains(t, r.out, c.says)
				require.Empty(t, r.errs)
			} else {
				require.Equal(t, "phantom: "+c.id+" "+c.says+"\n", r.errs)
				require.Empty(t, r.out)
			}
		})
	}
}

func TestAnInterruptedWaitDetaches(t *testing.T) {
	t.Parallel()
	for id, says := range map[string]string{
		train:  "`phantom training watch " + train + "` comes back, `phantom training cancel " + train + "` stops it",
		deploy: "`phantom rollout watch " + deploy + "` comes back, `phantom rollout abort " + deploy + "` stops it",
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			s := newServer(t).saysText("GET /api/v1/sagas/"+id, http.StatusOK, `{"saga_id":"`+id+`","state":"running","status":{"stage":"start"}}`)
			var looks atomic.Int32
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if looks.Add(1) == 3 {
					interrupt()
				}
				s.ServeHTTP(w, r)
			}))
			r := command{}.run(ctx, t, url, "training", "watch", id)
			require.Equal(t, 130, r.status)
			require.Equal(t, "start\nphantom: detached; "+id+" goes on: "+says+"\n", r.errs)
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, asked := range s.asked {
				require.Equal(t, http.MethodGet, asked.method, "it cancels nothing")
			}
		})
	}
}

func TestAWaitBearsAServerThatStartsAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t).
		saysText(trainSaga, http.StatusServiceUnavailable, `{"code":"unavailable","detail":"Temporal does not answer now; try again"}`).
		saysText(trainSaga, http.StatusBadGateway, `a proxy's page`).
		says(trainSaga, http.StatusOK, "saga_train_running.json").
		says(trainSaga, http.StatusOK, "saga_train_completed.json")
	r := phantom(t, s.url, "training", "watch", train)
	require.Equal(t, result{0, registered, "the API does not answer; waiting for it\ntrain  30 %  epoch 24/80  loss 0.01243  accuracy 1\n"}, r)
}

func TestAWaitGivesUpOnWhatDoesNotPass(t *testing.T) {
	t.Parallel()
	s := newServer(t).saysText(trainSaga, http.StatusNotFound, `{"code":"not_found","detail":"saga x not found"}`)
	require.Equal(t, 3, phantom(t, s.url, "training", "watch", train).status)
	s = newServer(t).saysText(trainSaga, http.StatusForbidden, `{"code":"forbidden","detail":"no"}`)
	require.Equal(t, 6, phantom(t, s.url, "training", "watch", train).status)
	s = newServer(t).saysText(trainSaga, http.StatusOK, `{"saga_id":7}`)
	r := phantom(t, s.url, "training", "watch", train)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.errs, "is not what this version of phantom knows")
}

func TestASagaThatNobodyAnswersForIsSaidOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for range 15 {
		s.saysText(trainSaga, http.StatusOK, `{"saga_id":"`+train+`","state":"running","status":null}`)
	}
	s.saysText(trainSaga, http.StatusOK, ended(train, "completed", `{"outcome":"registered"}`, ""))
	r := phantom(t, s.url, "training", "watch", train)
	require.Equal(t, "the saga runs, but no worker says how far; is one up? `phantom doctor` looks\n", r.errs)
}

func TestWhatASagaWaitsForIsSaidWithTheWayToAnswer(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		`"retry_step","last_error":"the target is away","allowed_actions":["retry_step","cancel"]`: "waits for a retry: the target is away: `phantom rollout retry " + deploy + "`",
		`"decision","last_error":null,"allowed_actions":["promote","abort","cancel"]`:              "waits for a decision: `phantom rollout promote|abort " + deploy + "`",
		`"turn","last_error":null,"allowed_actions":["cancel"]`:                                    "waits for its turn: another training runs",
	}
	for waits, says := range cases {
		t.Run(waits, func(t *testing.T) {
			t.Parallel()
			s := newServer(t).
				saysText(deploySaga, http.StatusOK, `{"saga_id":"`+deploy+`","state":"running","status":{"stage":"load","waiting_for":`+waits+`}}`).
				says(deploySaga, http.StatusOK, "saga_deploy_promoted.json")
			require.Equal(t, "load "+says+"\n", phantom(t, s.url, "rollout", "watch", deploy).errs)
		})
	}
}

func TestALogThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	s := newServer(t).says("GET /api/v1/trainings/"+job, http.StatusOK, "training.json")
	broken := http.NewServeMux()
	broken.HandleFunc("GET /api/v1/models/digits/trainings/"+job+"/logs", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("follow") != "true" {
			t.Error("it does not follow")
		}
		_, _ = w.Write([]byte("one\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	broken.Handle("/", s)
	r := phantom(t, serve(t, broken), "training", "logs", job, "-f")
	require.Equal(t, 5, r.status, r)
	require.Equal(t, "one\n", r.out)
}
