package main_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// sent runs a command against a server that takes it, and returns what arrived.
func sent(t *testing.T, c command, key, answer string, args ...string) request {
	t.Helper()
	s := newServer(t).saysText(key, http.StatusAccepted, answer)
	r := c.run(t.Context(), t, s.url, args...)
	require.Equal(t, 0, r.status, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.asked, 1)
	return s.asked[0]
}

const (
	startsTraining   = "POST /api/v1/models/digits/trainings"
	startsDeployment = "POST /api/v1/models/digits/deployments"
	startedTraining  = `{"saga_id":"train:default:digits:c","workflow_id":"train:default:digits:c","location":"/api/v1/sagas/train:default:digits:c"}`
	startedDeploy    = `{"saga_id":"deploy:default:digits:local","workflow_id":"deploy:default:digits:local","location":"/api/v1/sagas/deploy:default:digits:local"}`
	receipt          = `{"saga_id":"train:default:digits:c","action":"approve","revision":3,"position":7}`
)

func TestASpecArrivesAsTheServersInput(t *testing.T) {
	t.Parallel()
	yaml := "model_id: digits\ntenant: default\nparams:\n  epochs: 20\n  learning_rate: 1.0e-2\n  hidden: [64, 32]\nseed: 3\nunknown: kept\n"
	json := `{"params": {"epochs": 20, "learning_rate": 0.01, "big": 12345678901234567890}, "deploy": {"target": "prod"}}`
	cases := []struct {
		name, file string
		args       []string
		want       string
	}{
		{"flags alone", "", []string{
			"--data", "d.csv", "--label", "y", "--test", "t.csv", "--algorithm", "mlp", "--trainer", "embedded", "--seed", "0",
			"--param", "epochs=20", "--param", "hidden=[64, 32]", "--param", "activation=relu", "--gate", "accuracy>=0.95", "--gate", "loss < 1e-1",
			"--approval", "24h", "--concurrency", "queue", "--deploy", "local", "--create",
		}, `{"data":{"train":{"uri":"d.csv","label":"y"},"test":{"uri":"t.csv"}},"algorithm":"mlp","trainer":{"kind":"embedded"},"seed":0,
			"params":{"epochs":20,"hidden":[64,32],"activation":"relu"},
			"gates":[{"metric":"accuracy","op":">=","threshold":0.95},{"metric":"loss","op":"<","threshold":0.1}],
			"approval":{"timeout":"24h"},"concurrency":"queue","deploy":{"target":"local"},"create":{}}`},
		{"nothing", "", nil, `{}`},
		{"YAML", yaml, nil, `{"params":{"epochs":20,"learning_rate":0.01,"hidden":[64,32]},"seed":3,"unknown":"kept"}`},
		{
			"flags over YAML", yaml,
			[]string{"--seed", "4", "--param", "epochs=5", "--data", "d.csv"},
			`{"params":{"epochs":5,"learning_rate":0.01,"hidden":[64,32]},"seed":4,"unknown":"kept","data":{"train":{"uri":"d.csv"}}}`,
		},
		{
			"flags over JSON", json,
			[]string{"--deploy", "local"},
			`{"params":{"epochs":20,"learning_rate":0.01,"big":12345678901234567890},"deploy":{"target":"local"}}`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args, run := append([]string{"train", "digits"}, c.args...), command{}
			if c.file != "" {
				args, run = append(args, "-f", "%spec"), command{files: map[string]string{"spec": c.file}}
			}
			got := sent(t, run, startsTraining, startedTraining, args...)
			require.JSONEq(t, c.want, got.body)
			require.Equal(t, "application/json", got.kind)
			require.Equal(t, "default", got.header.Get("Phantom-Tenant"))
			require.NotEmpty(t, got.header.Get("Phantom-Actor"))
		})
	}
}

func TestBigNumbersOfJSONKeepTheirDigits(t *testing.T) {
	t.Parallel()
	c := command{in: `{"params":{"big":12345678901234567890123}}`}
	require.Contains(t, sent(t, c, startsTraining, startedTraining, "train", "digits", "-f", "-").body, "12345678901234567890123")
}

func TestASpecThatIsNotMeantOrCannotBeReadIsRefusedHere(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"model_id: letters":    "spec: model_id is letters, but the command is for digits",
		"tenant: acme":         "spec: tenant is acme, but the command is for default",
		"":                     "spec is empty",
		"- a\n- b":             "spec is neither YAML nor JSON with an object at its top",
		"a: [":                 "spec is neither YAML nor JSON",
		`{"a": 1`:              "spec is neither YAML nor JSON",
		"x: .nan":              "spec holds what JSON has no word for",
		"data: a.csv":          "data must be an object",
		"data: {train: a.csv}": "data.train must be an object",
		"seed: 1\nseed: 2":     "spec is neither YAML nor JSON",
	}
	for text, says := range cases {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			r := command{files: map[string]string{"spec": text}}.run(t.Context(), t, "http://127.0.0.1:1", "train", "digits", "-f", "%spec", "--data", "d.csv")
			require.Equal(t, 2, r.status, r)
			require.Contains(t, r.errs, says)
			require.Regexp(t, `^phantom: [^\n]*\n$`, r.errs)
		})
	}
}

func TestADeploymentArrivesAsTheServersInput(t *testing.T) {
	t.Parallel()
	got := sent(t, command{}, startsDeployment, startedDeploy, "deploy", "digits", "--version", "latest", "--target", "local",
		"--step", "10:30s", "--step", "50%:1m", "--require", "error_rate<=0.01", "--max-hold", "5m", "--on-inconclusive", "rollback",
		"--approval", "1h", "--key", "k-1")
	require.JSONEq(t, `{"version":"latest","target":"local","approval":{"timeout":"1h"},"strategy":{"canary":{
		"steps":[{"weight":10,"hold":"30s"},{"weight":50,"hold":"1m"}],"max_hold":"5m","on_inconclusive":"rollback",
		"analysis":[{"metric":"error_rate","op":"<=","threshold":0.01,"required":true}]}}}`, got.body)
	require.Equal(t, "k-1", got.header.Get("Idempotency-Key"))

	got = sent(t, command{}, startsDeployment, startedDeploy, "deploy", "digits", "--version", "@champion", "--target", "local")
	require.JSONEq(t, `{"version":"@champion","target":"local"}`, got.body)

	file := command{files: map[string]string{"spec": "version: 2\ntarget: prod\nstrategy: {canary: {steps: [{weight: 5, hold: 1s}]}}\n"}}
	got = sent(t, file, startsDeployment, startedDeploy, "deploy", "digits", "-f", "%spec", "--target", "local")
	require.JSONEq(t, `{"version":"2","target":"local","strategy":{"canary":{"steps":[{"weight":5,"hold":"1s"}]}}}`, got.body)
	require.Empty(t, got.header.Get("Idempotency-Key"))
}

func TestADeploymentSaysHowMuchItTakes(t *testing.T) {
	t.Parallel()
	s := newServer(t).saysText(startsDeployment, http.StatusAccepted, startedDeploy)
	r := phantom(t, s.url, "deploy", "digits", "--version", "2", "--target", "local")
	require.Equal(t, "started deploy:default:digits:local\n", r.out)
	require.Equal(t, "a canary needs some 295 clean answers of the new version for error_rate <= 0.01\n"+
		"its first 20 requests are warm-up and count for nothing; labels come by `phantom feedback`\n"+
		"`phantom rollout watch deploy:default:digits:local` shows how it goes\n", r.errs)

	r = phantom(t, s.url, "deploy", "digits", "--version", "2", "--target", "local", "--require", "accuracy>=0.9", "--require", "latency_ms<=50")
	require.Contains(t, r.errs, "right labels of the new version for accuracy >= 0.9\n")
	require.Contains(t, r.errs, "quick answers of the new version for latency_ms <= 50\n")

	r = phantom(t, s.url, "deploy", "digits", "--version", "2", "--target", "local", "--require", "f1>=0.9")
	require.NotContains(t, r.errs, "a canary needs", "the server says what is wrong with it")

	r = phantom(t, s.url, "deploy", "digits", "--version", "2", "--target", "local", "--quiet")
	require.Equal(t, result{0, deploy + "\n", ""}, r)

	r = phantom(t, s.url, "deploy", "digits", "--version", "2", "--target", "local", "-o", "json")
	require.Equal(t, result{0, startedDeploy + "\n", r.errs}, r, "exactly the API's object")
}

func TestCommandsAskForWhatTheyMean(t *testing.T) {
	t.Parallel()
	const model, answer = "/api/v1/models/digits", `{"model_id":"digits"}`
	cases := []struct {
		args         []string
		key, answer  string
		body, header string
	}{
		{
			[]string{"model", "create", "digits", "--name", "D", "--config", `{"hidden": 32}`, "--tag", "team=vision", "--description", "d", "--purpose", "p"},
			"POST /api/v1/models", answer, `{"model_id":"digits","name":"D","model_type":"classification","algorithm":"mlp","initial_config":{"hidden":32},
			"tags":{"team":"vision"},"description":"d","intended_purpose":"p"}`, "",
		},
		{
			[]string{"model", "create", "digits", "--type", "regression", "--algorithm", "logistic_regression"},
			"POST /api/v1/models", answer, `{"model_id":"digits","name":"digits","model_type":"regression","algorithm":"logistic_regression"}`, "",
		},
		{[]string{"model", "config", "digits", "--set", "@%config", "--reason", "r"}, "PUT " + model + "/config", answer, `{"new_config":{"a":[1]},"change_reason":"r"}`, ""},
		{[]string{"model", "tag", "digits", "team=vision", "stage-", "note=a=b-"}, "PATCH " + model, answer, `{"tags":{"team":"vision","stage":null,"note":"a=b-"}}`, ""},
		{[]string{"model", "get", "digits", "--as-of", "2026-11-23T10:00:00Z"}, "GET " + model + "?as_of=2026-11-23T10%3A00%3A00Z", answer, "", ""},
		{
			[]string{"model", "list", "--status", "deployed", "--type", "t", "--algorithm", "a", "--tag", "x=1", "--tag", "y=2", "--limit", "3", "--cursor", "c", "--as-of", "9"},
			"GET /api/v1/models?algorithm=a&as_of=9&cursor=c&limit=3&model_type=t&status=deployed&tag=x%3D1&tag=y%3D2", `{"items":[]}`, "", "",
		},
		{[]string{"model", "events", "digits", "--after", "7", "--limit", "2", "--type", "A", "--type", "B"}, "GET " + model + "/events?after=7&limit=2&type=A&type=B", `{"items":[]}`, "", ""},
		{[]string{"model", "archive", "digits", "--reason", "old"}, "POST " + model + "/archive", answer, `{"reason":"old"}`, ""},
		{[]string{"model", "delete", "digits", "--reason", "old", "--retention", "retain"}, "POST " + model + "/delete", answer, `{"reason":"old","retention":"retain"}`, ""},
		{[]string{"model", "delete", "digits", "--reason", "old"}, "POST " + model + "/delete", answer, `{"reason":"old"}`, ""},
		{
			[]string{"model", "register", "digits", "--artifact", "sha256:a", "--metric", "accuracy=0.97", "--metric", "loss=1e-2", "--note", "n"},
			"POST " + model + "/versions", `{"version":"3"}`, `{"artifacts_location":"sha256:a","metrics":{"accuracy":0.97,"loss":0.01},"modification":"n"}`, "",
		},
		{[]string{"alias", "set", "digits", "champion", "3"}, "PUT " + model + "/aliases/champion", `{}`, `{"version":"3"}`, ""},
		{[]string{"alias", "set", "digits", "@champion", "@challenger", "--expected", "2", "--reason", "r"}, "PUT " + model + "/aliases/champion", `{}`, `{"version":"@challenger","expected":"2","reason":"r"}`, ""},
		{[]string{"alias", "set", "digits", "champion", "latest", "--new"}, "PUT " + model + "/aliases/champion", `{}`, `{"version":"latest","expected":""}`, ""},
		{[]string{"alias", "get", "digits", "champion", "--as-of", "9"}, "GET " + model + "/aliases/champion?as_of=9", `{}`, "", ""},
		{[]string{"alias", "list", "digits", "--as-of", "9", "--limit", "2"}, "GET " + model + "/aliases?as_of=9&limit=2", `{"items":[]}`, "", ""},
		{[]string{"alias", "delete", "digits", "champion", "--expected", "3", "--reason", "r"}, "DELETE " + model + "/aliases/champion?expected=3&reason=r", ``, "", ""},
		{[]string{"train", "digits", "--data", "d", "--key", "nightly-1"}, startsTraining, startedTraining, `{"data":{"train":{"uri":"d"}}}`, "nightly-1"},
		{[]string{"training", "approve", train, "--note", "fine"}, "POST /api/v1/sagas/" + train + "/approve", receipt, `{"note":"fine"}`, ""},
		{[]string{"training", "reject", train, "--reason", "bad"}, "POST /api/v1/sagas/" + train + "/reject", receipt, `{"reason":"bad"}`, ""},
		{[]string{"training", "retry", train}, "POST /api/v1/sagas/" + train + "/retry_step", receipt, `{}`, ""},
		{[]string{"training", "cancel", train}, "POST /api/v1/sagas/" + train + "/cancel", startedTraining, `{}`, ""},
		{[]string{"rollout", "promote", deploy}, "POST /api/v1/sagas/" + deploy + "/promote", receipt, `{}`, ""},
		{[]string{"rollout", "promote", deploy, "--full"}, "POST /api/v1/sagas/" + deploy + "/promote", receipt, `{"full":true}`, ""},
		{[]string{"rollout", "abort", deploy, "--reason", "no"}, "POST /api/v1/sagas/" + deploy + "/abort", receipt, `{"reason":"no"}`, ""},
		{[]string{"undeploy", "digits", "--target", "local", "--reason", "old"}, "DELETE " + model + "/deployments/local?reason=old", startedDeploy, "", ""},
		{[]string{"rollback", "digits", "--target", "local", "--to", "1", "--reason", "bad"}, "POST " + model + "/deployments/local/rollback", startedDeploy, `{"to":"1","reason":"bad"}`, ""},
		{
			[]string{"feedback", "digits:local:2026-11-23:x#2", "--label", "7", "--source", "ann"},
			"POST /api/v1/feedback", `{"recorded":1}`,
			`{"feedback":[{"inference_id":"digits:local:2026-11-23:x#2","label":"7","source":"ann"}]}`, "",
		},
	}
	for _, c := range cases {
		t.Run(c.key+" "+c.body, func(t *testing.T) {
			t.Parallel()
			got := sent(t, command{files: map[string]string{"config": "a:\n- 1\n"}}, c.key, c.answer, c.args...)
			if c.body == "" {
				require.Empty(t, got.body)
			} else {
				require.JSONEq(t, c.body, got.body)
			}
			require.Equal(t, c.header, got.header.Get("Idempotency-Key"))
		})
	}
}

func TestLabelsInCSVAreSentAsTheyAre(t *testing.T) {
	t.Parallel()
	const csv = "inference_id,row,label\nx,0,4\ny,1,5\n"
	got := sent(t, command{files: map[string]string{"labels.csv": csv}}, "POST /api/v1/feedback", `{"recorded":2}`, "feedback", "-f", "%labels.csv")
	require.Equal(t, csv, got.body)
	require.Equal(t, "text/csv", got.kind)
	got = sent(t, command{in: csv}, "POST /api/v1/feedback", `{"recorded":2}`, "feedback", "-f", "-")
	require.Equal(t, csv, got.body)
}

func TestWhoAsksIsInTheHeaders(t *testing.T) {
	t.Parallel()
	const key = "GET /api/v1/models/digits"
	got := sent(t, command{environ: []string{"PHANTOM_TENANT=acme"}}, key, `{}`, "model", "get", "digits")
	require.Equal(t, "acme", got.header.Get("Phantom-Tenant"))
	got = sent(t, command{environ: []string{"PHANTOM_TENANT=acme"}}, key, `{}`, "model", "get", "digits", "--tenant", "umbrella")
	require.Equal(t, "umbrella", got.header.Get("Phantom-Tenant"), "the flag wins")
	got = sent(t, command{environ: []string{"PHANTOM_API_KEY=secret"}}, key, `{}`, "model", "get", "digits")
	require.Equal(t, "Bearer secret", got.header.Get("Authorization"))
	require.Empty(t, got.header.Get("Phantom-Tenant"), "the key says whose it is")
	require.Empty(t, got.header.Get("Phantom-Actor"), "and who acts")
	got = sent(t, command{environ: []string{"PHANTOM_API_KEY=secret"}}, key, `{}`, "model", "get", "digits", "--tenant", "umbrella")
	require.Equal(t, "umbrella", got.header.Get("Phantom-Tenant"), "the server holds it against the key's")
}

func TestAnAliasIsLookedUpBeforeTheGatewayIsAsked(t *testing.T) {
	t.Parallel()
	s := newServer(t).says("POST /v2/models/digits/versions/2/infer", http.StatusOK, "infer.json")
	for _, named := range []string{"@champion", "latest"} {
		s.saysText("GET /api/v1/models/digits/versions/"+named, http.StatusOK, `{"version":"2"}`)
	}
	s.saysText("GET /api/v1/models/digits/versions/@nobody", http.StatusNotFound, `{"code":"not_found","detail":"alias nobody not found"}`)
	run := command{in: `{"inputs":[{"name":"x"}]}`}
	ask := func(version string) result {
		return run.run(t.Context(), t, s.url, "infer", "digits", "-f", "-", "--gateway", s.url, "--version", version)
	}
	for _, version := range []string{"@champion", "latest", "2"} {
		r := ask(version)
		require.Equal(t, 0, r.status, "%s: %s", version, r)
	}
	r := ask("@nobody")
	require.Equal(t, 3, r.status, r)
	require.Contains(t, r.errs, "alias nobody not found; `phantom alias list MODEL`")
}

func TestTheGatewayIsTheFlagsTheEnvironmentsOrTheStacks(t *testing.T) {
	t.Parallel()
	const key, request = "POST /v2/models/digits/infer", `{"inputs":[{"name":"x"}]}`
	s := newServer(t).says(key, http.StatusOK, "infer.json")
	address := s.url[len("http://"):]
	nowhere := "PHANTOM_GATEWAY_ADDR=127.0.0.1:1"
	for name, c := range map[string]struct {
		environ []string
		args    []string
	}{
		"flag":        {[]string{nowhere}, []string{"--gateway", s.url + "/"}},
		"environment": {[]string{"PHANTOM_GATEWAY_ADDR=" + address}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := command{environ: c.environ, in: request}
			r := run.run(t.Context(), t, s.url, append([]string{"infer", "digits", "-f", "-", "--target", "local", "--route-key", "me"}, c.args...)...)
			require.Equal(t, 0, r.status, r)
			got := s.last(http.MethodPost)
			require.JSONEq(t, request, got.body)
			require.Equal(t, []string{"local", "me", "default"},
				[]string{got.header.Get("Phantom-Target"), got.header.Get("Phantom-Route-Key"), got.header.Get("Phantom-Tenant")})
		})
	}
	t.Run("stack", func(t *testing.T) {
		t.Parallel()
		s := newServer(t).says(key, http.StatusOK, "infer.json") // the others look at the last request of theirs
		run := command{in: request, files: map[string]string{".phantom/stack.json": `{"phantom":{"gateway_url":"` + s.url + `"}}`}}
		require.Equal(t, 0, run.run(t.Context(), t, s.url, "infer", "digits", "-f", "-").status)
	})
	t.Run("no JSON", func(t *testing.T) {
		t.Parallel()
		r := command{in: "nonsense"}.run(t.Context(), t, s.url, "infer", "digits", "-f", "-")
		require.Equal(t, result{2, "", "phantom: - is no JSON\n"}, r)
	})
}
