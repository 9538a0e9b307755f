package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/activities"
	"phantom/workflows"
)

func TestTrainModelRefusesBadInputBeforeAnyEffect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text   string
		fields []string
		reason string
	}{
		"nothing":      {`{}`, []string{"model_id", "data.train.uri"}, "is required"},
		"no object":    {`[]`, []string{"input"}, "must be an object, not a list"},
		"unknown":      {`{"model_id":"d","data":{"train":{"uri":"a"}},"epochs":3}`, []string{"epochs"}, "is not a field"},
		"deep unknown": {`{"model_id":"d","data":{"train":{"uri":"a","lable":"x"}}}`, []string{"data.train.lable"}, "the fields are uri, label"},
		"wrong case":   {`{"Model_ID":"d","data":{"train":{"uri":"a"}}}`, []string{"Model_ID"}, "is not a field"},
		"wrong type":   {`{"model_id":7,"data":{"train":{"uri":"a"}}}`, []string{"model_id"}, "must be text, not a number"},
		"bad id":       {`{"model_id":"Digits!","data":{"train":{"uri":"a"}}}`, []string{"model_id"}, "must match"},
		"bad tenant":   {`{"tenant":"A.b","model_id":"d","data":{"train":{"uri":"a"}}}`, []string{"tenant"}, "must match"},
		"seed":         {`{"model_id":"d","data":{"train":{"uri":"a"}},"seed":1.5}`, []string{"seed"}, "whole number"},
		"number":       {`{"model_id":"d","data":{"train":{"uri":"a"}},"approval":{"timeout":30}}`, []string{"approval.timeout"}, `like "30m", not a number`},
		"duration":     {`{"model_id":"d","data":{"train":{"uri":"a"}},"approval":{"timeout":"soon"}}`, []string{"approval.timeout"}, `"soon"`},
		"negative":     {`{"model_id":"d","data":{"train":{"uri":"a"}},"approval":{"timeout":"-1h"}}`, []string{"approval.timeout"}, "longer than zero"},
		"gates":        {`{"model_id":"d","data":{"train":{"uri":"a"}},"gates":[{"metric":"","op":"=","threshold":1}]}`, []string{"gates.0.metric", "gates.0.op"}, "is required"},
		"threshold":    {`{"model_id":"d","data":{"train":{"uri":"a"}},"gates":[{"metric":"a","op":">=","threshold":"high"}]}`, []string{"gates.0.threshold"}, "must be a number, not text"},
		"params":       {`{"model_id":"d","data":{"train":{"uri":"a"}},"params":[1]}`, []string{"params"}, "must be an object"},
		"concurrency":  {`{"model_id":"d","data":{"train":{"uri":"a"}},"concurrency":"maybe"}`, []string{"concurrency"}, "forbid, queue or allow"},
		"process":      {`{"model_id":"d","data":{"train":{"uri":"a"}},"trainer":{"kind":"process"}}`, []string{"trainer.kind"}, "not available yet"},
		"profile":      {`{"model_id":"d","data":{"train":{"uri":"a"}},"trainer":{"profile":"sklearn"}}`, []string{"trainer.profile"}, "not available yet"},
		"unknown kind": {`{"model_id":"d","data":{"train":{"uri":"a"}},"trainer":{"kind":"magic"}}`, []string{"trainer.kind"}, "must be embedded"},
		"watch":        {`{"model_id":"d","data":{"train":{"uri":"a"}},"deploy":{"target":"local","watch":"10m"}}`, []string{"deploy.watch"}, "not available yet"},
		"strategy":     {`{"model_id":"d","data":{"train":{"uri":"a"}},"deploy":{"target":"local","strategy":{"canary":{"steps":[{"wait":1}]}}}}`, []string{"deploy.strategy.canary.steps.0.wait"}, "is not a field"},
		"weights":      {`{"model_id":"d","data":{"train":{"uri":"a"}},"deploy":{"target":"local","strategy":{"canary":{"max_hold":"soon"}}}}`, []string{"deploy.strategy.canary.max_hold"}, "soon"},
		"requester":    {`{"model_id":"d","data":{"train":{"uri":"a"}},"requested_by":"a\u0007b"}`, []string{"requested_by"}, "plain characters"},
		"label":        {`{"model_id":"d","data":{"train":{"uri":"a","label":"a\u0007b"}},"create":{"name":" "}}`, []string{"data.train.label", "create.name"}, "control characters"},
		"empty target": {`{"model_id":"d","data":{"train":{"uri":"a"}},"deploy":{}}`, []string{"deploy.target"}, "must match"},
		"tags":         {`{"model_id":"d","data":{"train":{"uri":"a"}},"create":{"tags":{"team":3}}}`, []string{"create.tags.team"}, "must be text"},
		"tag rule":     {`{"model_id":"d","data":{"train":{"uri":"a"}},"create":{"tags":{"":"x"}}}`, []string{"create.tags."}, ""},
		"test uri":     {`{"model_id":"d","data":{"train":{"uri":"a"},"test":{}}}`, []string{"data.test.uri"}, "is required"},
		"null":         {`null`, []string{"model_id", "data.train.uri"}, "is required"},
		"verified":     {`{"model_id":"d","data":{"train":{"uri":"a"}},"actor":{"subject":"x","auth":"api_key","verified":true}}`, []string{"actor"}, "not available yet"},
		"several":      {`{"model_id":"","data":{},"seed":1,"concurrency":"no"}`, []string{"model_id", "data.train.uri", "concurrency"}, "is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, script{})
			st.env.ExecuteWorkflow(workflows.KindTrainModel, json.RawMessage(test.text))
			kind, message, fields := refusal(t, st.env.GetWorkflowError())
			require.Equal(t, activities.TypeInvalidInput, kind)
			var names []string
			for _, field := range fields {
				names = append(names, field.Field)
			}
			if name == "tag rule" {
				require.Contains(t, names[0], "create.tags")
			} else {
				require.Equal(t, test.fields, names, message)
			}
			require.Contains(t, message, test.reason)
			require.Empty(t, st.books.history())
			require.Equal(t, "failed", st.status().Stage, "queries answer all the same")
		})
	}
}

func TestTrainModelWithoutAnInput(t *testing.T) {
	t.Parallel()
	st := newStage(t, script{})
	st.env.ExecuteWorkflow(workflows.KindTrainModel)
	_, message, _ := refusal(t, st.env.GetWorkflowError())
	require.Contains(t, message, "model_id: is required")
}

func TestParseTrainModelFillsDefaultsIn(t *testing.T) {
	t.Parallel()
	parsed, err := workflows.ParseTrainModel([]byte(`{"model_id":"digits","data":{"train":{"uri":"a.csv"}},
		"approval":{},"create":{},"deploy":null}`))
	require.NoError(t, err)
	require.Equal(t, "default", string(parsed.Tenant))
	require.Equal(t, "embedded", parsed.Trainer.Kind)
	require.Equal(t, "mlp", parsed.Algorithm)
	require.Equal(t, int64(1), *parsed.Seed)
	require.JSONEq(t, `{}`, string(parsed.Params))
	require.Equal(t, workflows.ConcurrencyForbid, parsed.Concurrency)
	require.Equal(t, "label", parsed.Data.Train.Label)
	require.Equal(t, workflows.Duration(24*time.Hour), parsed.Approval.Timeout)
	require.Equal(t, "digits", parsed.Create.Name)
	require.Equal(t, "classification", parsed.Create.ModelType)
	require.Nil(t, parsed.Deploy)
}

// What is the same request attaches to the running saga; so the hash must see through spelling, and
// through who asks.
func TestRequestHash(t *testing.T) {
	t.Parallel()
	hash := func(text string) string {
		parsed, err := workflows.ParseTrainModel([]byte(text))
		require.NoError(t, err)
		sum, err := workflows.RequestHash(workflows.KindTrainModel, parsed)
		require.NoError(t, err)
		return sum
	}
	least := hash(`{"model_id":"digits","data":{"train":{"uri":"a.csv"}},"params":{"a":1,"b":2}}`)
	require.Len(t, least, 64)
	require.Equal(t, least, hash(`{"data":{"train":{"label":"label","uri":"a.csv"}},"seed":1,"tenant":"default",
		"params":{ "b":2, "a":1 },"model_id":"digits","requested_by":"nightly"}`))
	require.NotEqual(t, least, hash(`{"model_id":"digits","data":{"train":{"uri":"a.csv"}},"params":{"a":1,"b":3}}`))
	require.NotEqual(t, least, hash(`{"model_id":"digits","data":{"train":{"uri":"a.csv"}},"seed":2,"params":{"a":1,"b":2}}`))
	other, err := workflows.RequestHash("SweepModel", json.RawMessage(`{}`))
	require.NoError(t, err)
	mine, err := workflows.RequestHash(workflows.KindTrainModel, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.NotEqual(t, other, mine)
}
