package main

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

// trainFlags are laid over the spec's fields of the same meaning.
type trainFlags struct {
	file, data, label, test, algorithm, trainer, approval, concurrency, deploy, key string
	params, gates                                                                   []string
	seed                                                                            int64
	create, wait                                                                    bool
}

func (p *program) trainCommand() *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use: "train MODEL [-f SPEC.yaml]", Short: "Train a version of a model", Args: takes(1, 1, modelArgument),
		Long: `Train a version of a model: start a TrainModel saga. The spec is its input, in YAML or JSON; flags
override its fields. Paths of data are the server's.`,
		Example: `  phantom train digits --data examples/digits/digits.csv --param epochs=20 --gate 'accuracy>=0.95' --wait
  phantom train digits -f spec.yaml --seed 7`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "the spec: YAML or JSON, - for standard input")
	flags.StringVar(&f.data, "data", "", "URI of the data to learn from")
	flags.StringVar(&f.label, "label", "", "the label's column (default label)")
	flags.StringVar(&f.test, "test", "", "URI of the data to evaluate on (default: a part of --data is held out)")
	flags.StringVar(&f.algorithm, "algorithm", "", "mlp or logistic_regression (default mlp)")
	flags.StringVar(&f.trainer, "trainer", "", "who trains (default embedded)")
	flags.StringArrayVar(&f.params, "param", nil, "key=value for the trainer, such as epochs=20 or hidden=[64]")
	flags.Int64Var(&f.seed, "seed", 0, "of chance (default 1)")
	flags.StringArrayVar(&f.gates, "gate", nil, "what a version must meet, such as accuracy>=0.95")
	flags.StringVar(&f.approval, "approval", "", "ask a person before it is registered, and wait so long, such as 24h")
	flags.StringVar(&f.concurrency, "concurrency", "", "while another training runs: forbid, queue or allow (default forbid)")
	flags.StringVar(&f.deploy, "deploy", "", "deploy the version to this target, with the default canary")
	flags.BoolVar(&f.create, "create", false, "create the model when it is not there")
	flags.StringVar(&f.key, "key", "", "a key for this training: asked for twice, it happens once")
	flags.BoolVar(&f.wait, "wait", false, "show it until it ends")
	cmd.RunE = p.does(func(ctx context.Context, args []string) error {
		body, err := p.readSpec(f.file, args[0])
		if err != nil {
			return err
		}
		if err := f.lay(body, flags.Changed); err != nil {
			return err
		}
		return p.start(ctx, client.Request{
			Method: http.MethodPost, Path: modelPath(args[0]) + "/trainings", Body: body, Header: keyed(f.key),
		}, f.wait)
	})
	return cmd
}

// lay puts the flags that were given over the spec.
func (f *trainFlags) lay(body spec, given func(string) bool) error {
	for _, one := range []struct {
		flag  string
		value any
		path  []string
	}{
		{"data", f.data, []string{"data", "train", "uri"}},
		{"label", f.label, []string{"data", "train", "label"}},
		{"test", f.test, []string{"data", "test", "uri"}},
		{"algorithm", f.algorithm, []string{"algorithm"}},
		{"trainer", f.trainer, []string{"trainer", "kind"}},
		{"seed", f.seed, []string{"seed"}},
		{"approval", f.approval, []string{"approval", "timeout"}},
		{"concurrency", f.concurrency, []string{"concurrency"}},
		{"deploy", f.deploy, []string{"deploy", "target"}},
	} {
		if given(one.flag) {
			if err := body.put(one.value, one.path...); err != nil {
				return err
			}
		}
	}
	if _, there := body["create"]; f.create && !there {
		body["create"] = spec{}
	}
	for _, text := range f.params {
		key, value, err := pair("--param", text)
		if err != nil {
			return err
		}
		if err := body.put(scalar(value), "params", key); err != nil {
			return err
		}
	}
	if len(f.gates) == 0 {
		return nil
	}
	gates := make([]rule, len(f.gates))
	for i, text := range f.gates {
		gate, err := parseRule("--gate", text)
		if err != nil {
			return err
		}
		gates[i] = gate
	}
	body["gates"] = gates
	return nil
}

// rule is a metric, a comparison and a threshold: a gate, or a part of a canary's analysis.
type rule struct {
	Metric    string  `json:"metric"`
	Op        string  `json:"op"`
	Threshold float64 `json:"threshold"`
	Required  bool    `json:"required,omitempty"`
}

var ruleForm = regexp.MustCompile(`^\s*([^<>=\s]+)\s*(>=|<=|>|<)\s*(\S+)\s*$`)

func parseRule(flag, text string) (rule, error) {
	parts := ruleForm.FindStringSubmatch(text)
	if parts == nil {
		return rule{}, usagef("%s is %q: accepted is a metric, a comparison and a number, such as accuracy>=0.95", flag, text)
	}
	threshold, err := strconv.ParseFloat(strings.TrimSpace(parts[3]), 64)
	if err != nil {
		return rule{}, usagef("%s is %q: %q is no number", flag, text, parts[3])
	}
	return rule{Metric: parts[1], Op: parts[2], Threshold: threshold}, nil
}
