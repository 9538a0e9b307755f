package embedded_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/training"
)

func TestParamsAreStrict(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	for _, c := range []struct{ algorithm, params, want string }{
		{"forest", `{}`, `algorithm: expected "mlp" or "logistic_regression"`},
		{"mlp", `[]`, "params: expected a JSON object"},
		{"mlp", `{"epochs":`, "params: expected a JSON object"},
		{"mlp", `{"lr":1}`, "params.lr: unknown; known are [activation batch_size epochs hidden learning_rate optimizer weight_decay]"},
		{"logistic_regression", `{"hidden":[3]}`, "params.hidden: unknown; known are [batch_size epochs learning_rate optimizer weight_decay]"},
		{"mlp", `{"epochs":1.5}`, "params.epochs: expected an integer"},
		{"mlp", `{"epochs":"20"}`, "params.epochs: expected an integer"},
		{"mlp", `{"epochs":null}`, "params.epochs: expected an integer"},
		{"mlp", `{"epochs":0}`, "params.epochs: expected 1 to 10000"},
		{"mlp", `{"epochs":10001}`, "params.epochs: expected 1 to 10000"},
		{"mlp", `{"learning_rate":0}`, "params.learning_rate: expected a number above 0"},
		{"mlp", `{"learning_rate":-1}`, "params.learning_rate: expected a number above 0"},
		{"mlp", `{"learning_rate":1e39}`, "params.learning_rate: expected a number above 0"},
		{"mlp", `{"weight_decay":-1}`, "params.weight_decay: expected a number of at least 0"},
		{"mlp", `{"batch_size":0}`, "params.batch_size: expected 1 to 65536"},
		{"mlp", `{"hidden":[]}`, "params.hidden: expected 1 to 8 layers"},
		{"mlp", `{"hidden":[64,0]}`, "params.hidden: expected widths of 1 to 4096"},
		{"mlp", `{"hidden":64}`, "params.hidden: expected a list of integers"},
		{"mlp", `{"hidden":[4096,4096]}`, "params.hidden: 17088522 parameters; at most 10000000"},
		{"mlp", `{"optimizer":"sgd"}`, `params.optimizer: only "adam" is known`},
		{"mlp", `{"activation":"tanh"}`, `params.activation: only "relu" is known`},
		{"mlp", `{"activation":""}`, `params.activation: only "relu" is known`},
	} {
		_, err := trainer.Submit(t.Context(), "job", d.spec(c.algorithm, c.params))
		require.ErrorIs(t, err, training.ErrInvalidSpec, c.params)
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, c.params)
		require.Equal(t, c.want, bad.Error(), c.params)
	}
	_, err := trainer.Submit(t.Context(), "job", d.spec("mlp", `{"epochs":0,"hidden":[],"batch_size":0}`))
	for _, field := range []string{"epochs", "hidden", "batch_size"} {
		require.ErrorContains(t, err, "params."+field, "all are named at once")
	}
	_, err = trainer.Submit(t.Context(), "", d.spec("mlp", `{}`))
	require.ErrorContains(t, err, "key: a job needs a key")
}

func TestDataIsChecked(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	put := func(body string) training.Channel {
		stored, err := d.store.Put(t.Context(), strings.NewReader(body))
		require.NoError(t, err)
		return training.Channel{Digest: stored.Digest, Format: "csv", Label: "label"}
	}
	good := put("a,b,label\n1,2,x\n3,4,y\n")
	for _, c := range []struct {
		train training.Channel
		test  *training.Channel
		want  string
	}{
		{put("a,b,label\n1,NaN,x\n"), nil, "data.train: row 1, column b: not a finite number"},
		{training.Channel{Digest: good.Digest, Label: "target"}, nil, `data.train.label: the data has no column "target"`},
		{training.Channel{Digest: good.Digest, Label: "label", Format: "arff"}, nil, `data.train.format: only "csv" is known`},
		{training.Channel{Digest: "nothing", Label: "label"}, nil, "data.train.digest: expected sha256: and 64 lower-case hex digits"},
		{put("a,label\n1,x\n2,x\n"), nil, "data.train.label: the column holds 1 classes; expected 2 to 1000"},
		{put("a,label\n1,x\n2,y\n"), nil, "data.train: 2 rows are too few to learn from one part and hold the other out"},
		{good, new(put("a,c,label\n1,2,x\n")), "data.test: the columns are not those of data.train, in their order"},
		{good, new(put("a,b,label\n1,2,x\n1,2,z\n")), "data.test: row 2, column label: a class that the training rows do not have"},
		{good, new(put("a,b,label\n1,,x\n")), "data.test: row 1, column b: no value"},
	} {
		_, err := trainer.Submit(t.Context(), "job", training.Spec{Algorithm: "mlp", Train: c.train, Test: c.test})
		require.ErrorIs(t, err, training.ErrInvalidSpec, c.want)
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, c.want)
		require.Equal(t, c.want, bad.Error())
	}
}

func TestTestChannel(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	trainer := d.trainer(t, t.TempDir())
	stored, err := d.store.Put(t.Context(), strings.NewReader("x,y,class\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n"))
	require.NoError(t, err)
	xor := training.Channel{Digest: stored.Digest, Format: "csv", Label: "class"}
	for algorithm, want := range map[string]float64{"mlp": 1, "logistic_regression": 0.5} {
		params := json.RawMessage(`{"epochs":500,"learning_rate":0.02}`)
		h := submit(t, trainer, algorithm, training.Spec{Algorithm: algorithm, Params: params, Seed: 3, Train: xor, Test: &xor})
		outcome := collect(t, trainer, h)
		require.Equal(t, int64(4), outcome.Rows)
		require.Equal(t, int64(4), outcome.Evaluation.Rows)
		require.Equal(t, []string{"no", "yes"}, outcome.Evaluation.Labels)
		require.InDelta(t, want, outcome.Evaluation.Metrics["accuracy"], 0.26, "xor is no line: %s", algorithm)
		if algorithm == "mlp" {
			require.InDelta(t, 1, outcome.Evaluation.Metrics["accuracy"], 0)
		}
	}
}
