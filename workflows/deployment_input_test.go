package workflows_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/activities"
	"phantom/domain"
	"phantom/rollout"
	"phantom/workflows"
)

func TestParseDeployModelFillsDefaultsIn(t *testing.T) {
	t.Parallel()
	in, err := workflows.ParseDeployModel([]byte(`{"model_id":"digits","version":"2","target":"local","config":null}`))
	require.NoError(t, err)
	require.Equal(t, workflows.DeployModelInput{
		Tenant: "default", ModelID: "digits", Version: "2", Target: "local", Strategy: rollout.Default(),
	}, in)
	_, err = workflows.ParseDeployModel([]byte(`{"model_id":"digits","version":"latest","target":"local","watch":"0s",
		"strategy":{"canary":{"steps":[{"weight":10,"hold":"30s"},{"weight":50,"hold":"30s"}],"max_hold":"1h","on_inconclusive":"pause",
		"analysis":[{"metric":"error_rate","op":"<=","threshold":0.01},{"metric":"latency_ms","op":"<=","threshold":50,"quantile":0.99},
		{"metric":"accuracy","op":">=","threshold":0.9,"required":true}]}},"approval":null,"requested_by":"nightly"}`))
	require.NoError(t, err, "as the contract writes it")
	byAlias, err := workflows.ParseDeployModel([]byte(`{"model_id":"digits","version":"@champion","target":"local"}`))
	require.NoError(t, err)
	require.Equal(t, domain.VersionRef("@champion"), byAlias.Version)
	back, err := workflows.ParseRollbackModel([]byte(`{"model_id":"digits","to":"@champion","target":"local"}`))
	require.NoError(t, err)
	require.Equal(t, domain.VersionRef("@champion"), back.To)
}

func TestParseDeploymentsNamesEveryBadField(t *testing.T) {
	t.Parallel()
	deploy := func(text []byte) error { _, err := workflows.ParseDeployModel(text); return err }
	rollback := func(text []byte) error { _, err := workflows.ParseRollbackModel(text); return err }
	undeploy := func(text []byte) error { _, err := workflows.ParseUndeployModel(text); return err }
	for name, test := range map[string]struct {
		parse  func([]byte) error
		text   string
		fields []string
	}{
		"nothing":          {deploy, `{}`, []string{"model_id", "target", "version"}},
		"forms":            {deploy, `{"tenant":"A","model_id":"/","target":"_","version":"v1"}`, []string{"tenant", "model_id", "target", "version"}},
		"unknown":          {deploy, `{"model_id":"m","version":"1","target":"t","canary":1}`, []string{"canary"}},
		"types":            {deploy, `{"model_id":"m","version":1,"target":"t","watch":5}`, []string{"version", "watch"}},
		"watch":            {deploy, `{"model_id":"m","version":"1","target":"t","watch":"10m"}`, []string{"watch"}},
		"config":           {deploy, `{"model_id":"m","version":"1","target":"t","config":[]}`, []string{"config"}},
		"approval":         {deploy, `{"model_id":"m","version":"1","target":"t","approval":{"timeout":"-1s"}}`, []string{"approval.timeout"}},
		"unknown strategy": {deploy, `{"model_id":"m","version":"1","target":"t","strategy":{"canary":{"step":[]}}}`, []string{"strategy.canary.step"}},
		"strategy": {deploy, `{"model_id":"m","version":"1","target":"t","strategy":{"canary":{
			"steps":[{"weight":50},{"weight":10,"hold":"x"}],"on_inconclusive":"guess","analysis":[{"metric":"accuracy","threshold":2}]}}}`, []string{
			"strategy.canary.on_inconclusive", "strategy.canary.steps.1.weight", "strategy.canary.steps.1.hold",
			"strategy.canary.analysis.0.threshold",
		}},
		"requester":       {deploy, `{"model_id":"m","version":"1","target":"t","requested_by":"\u0000"}`, []string{"by"}},
		"no JSON":         {deploy, `{`, []string{"input"}},
		"an alias's form": {deploy, `{"model_id":"m","version":"@latest","target":"t"}`, []string{"version"}},
		"rollback alias":  {rollback, `{"model_id":"m","target":"t","to":"@7"}`, []string{"to"}},
		"rollback":        {rollback, `{"model_id":"m","to":"latest"}`, []string{"target", "to"}},
		"undeploy":        {undeploy, `{"target":"t","version":"1"}`, []string{"version"}},
		"long reason":     {undeploy, `{"model_id":"m","target":"t","reason":"` + strings.Repeat("x", 5000) + `"}`, []string{"reason"}},
		"long reason 2":   {rollback, `{"model_id":"m","target":"t","reason":"` + strings.Repeat("x", 5000) + `"}`, []string{"reason"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.parse([]byte(test.text))
			require.ErrorIs(t, err, domain.ErrInvalidInput)
			var fields []string
			for _, bad := range activities.Fields(err) {
				fields = append(fields, bad.Field)
			}
			require.Equal(t, test.fields, fields)
		})
	}
}

// Who asks is no part of what is asked for.
func TestRequestHashOfDeployments(t *testing.T) {
	t.Parallel()
	hash := func(text string) string {
		in, err := workflows.ParseDeployModel([]byte(text))
		require.NoError(t, err)
		sum, err := workflows.RequestHash(workflows.KindDeployModel, in)
		require.NoError(t, err)
		return sum
	}
	plain := hash(`{"model_id":"m","version":"1","target":"t"}`)
	require.Equal(t, plain, hash(`{"model_id":"m","version":"1","target":"t","requested_by":"a","strategy":{}}`))
	require.NotEqual(t, plain, hash(`{"model_id":"m","version":"2","target":"t"}`))
	require.NotEqual(t, plain, hash(`{"model_id":"m","version":"1","target":"t","strategy":{"canary":{"max_hold":"2h"}}}`))
}
