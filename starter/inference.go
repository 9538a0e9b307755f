package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

const (
	inferLimit = 60 * time.Second
	maxAnswer  = 64 << 20 // bytes of an answer that are read
)

// inferenceAnswer is what a table shows of an answer of the Open Inference Protocol.
type inferenceAnswer struct {
	ModelVersion string `json:"model_version"`
	Parameters   struct {
		InferenceID string `json:"inference_id"`
	} `json:"parameters"`
	Outputs []struct {
		Name string            `json:"name"`
		Data []json.RawMessage `json:"data"`
	} `json:"outputs"`
}

type inferFlags struct{ file, gateway, version, target, routeKey string }

func (p *program) inferCommand() *cobra.Command {
	var f inferFlags
	cmd := &cobra.Command{
		Use: "infer MODEL -f REQUEST.json", Short: "Ask a deployed model, through the gateway", Args: takes(1, 1, modelArgument),
		Long: `Ask a deployed model, through the gateway. The request is one of the Open Inference Protocol v2:
{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[0,0,5,…]}]}.`,
		RunE: p.does(func(ctx context.Context, args []string) error {
			body, err := p.read(f.file)
			if err != nil {
				return err
			}
			if !json.Valid(body) {
				return usagef("%s is no JSON", f.file)
			}
			if f.version, err = p.versionNumber(ctx, args[0], f.version); err != nil {
				return err
			}
			raw, err := p.infer(ctx, f, args[0], body)
			switch {
			case err != nil:
				return err
			case p.json():
				return p.print(raw)
			}
			answer, err := decode[inferenceAnswer](raw, "an inference")
			if err != nil {
				return err
			}
			p.showAnswer(answer)
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "the request: JSON, - for standard input")
	flags.StringVar(&f.gateway, "gateway", "", "the gateway's address (default PHANTOM_GATEWAY_ADDR, else the private stack's)")
	flags.StringVar(&f.version, "version", "", "ask this version, whatever the split: its number, latest, or @ALIAS")
	flags.StringVar(&f.target, "target", "", "where to ask, when the model serves at several targets")
	flags.StringVar(&f.routeKey, "route-key", "", "requests with the same key go to the same version")
	require(cmd, "file")
	return cmd
}

// versionNumber asks the API what latest or an alias stands for: gateways know numbers alone.
func (p *program) versionNumber(ctx context.Context, model, named string) (string, error) {
	if named != "latest" && !strings.HasPrefix(named, "@") {
		return named, nil
	}
	path := modelPath(model) + "/versions/" + url.PathEscape(named)
	var raw json.RawMessage
	if err := p.call(ctx, client.Request{Path: path}, &raw); err != nil {
		return "", err
	}
	v, err := decode[modelVersion](raw, path)
	return v.Version, err
}

// infer posts a request to the gateway.
func (p *program) infer(ctx context.Context, f inferFlags, model string, body []byte) (json.RawMessage, error) {
	base := p.gateway(f.gateway)
	address := base + "/v2/models/" + url.PathEscape(model)
	if f.version != "" {
		address += "/versions/" + url.PathEscape(f.version)
	}
	ctx, cancel := context.WithTimeout(ctx, inferLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, usagef("--gateway is %q: accepted is an address like http://127.0.0.1:8301", base)
	}
	request.Header.Set("Content-Type", "application/json")
	p.identify(request.Header)
	for name, value := range map[string]string{"Phantom-Target": f.target, "Phantom-Route-Key": f.routeKey} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &failure{exitUnreachable, fmt.Sprintf("the gateway cannot be reached at %s: %s; start one with `make up`, or name another with --gateway or PHANTOM_GATEWAY_ADDR",
			base, errors.Unwrap(err))}
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, &failure{exitUnreachable, "the gateway's answer broke off: " + err.Error()}
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusedInference(response, raw, model)
	}
	return raw, nil
}

func (p *program) identify(header http.Header) {
	if p.api.APIKey != "" {
		header.Set("Authorization", "Bearer "+p.api.APIKey)
	}
	if p.api.Tenant != "" {
		header.Set("Phantom-Tenant", p.api.Tenant)
	}
	if p.api.APIKey == "" && p.api.Actor != "" {
		header.Set("Phantom-Actor", p.api.Actor)
	}
}

// refusedInference reads the protocol's {"error": …}.
func refusedInference(response *http.Response, raw []byte, model string) error {
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(raw, &body) != nil || body.Error == "" {
		body.Error = "the gateway answered " + response.Status
	}
	status := statusOfHTTP(response.StatusCode)
	if response.StatusCode == http.StatusBadGateway { // the gateway's word for a version that failed
		status = exitFailed
	}
	switch status {
	case exitNotFound:
		body.Error += "; `phantom model deployments " + model + "` shows what serves"
	case exitUnreachable:
		body.Error += "; try again, or let `phantom doctor` look"
	}
	return &failure{status, body.Error}
}

// showAnswer shows a classifier's answer by row; what has no labels is shown by output.
func (p *program) showAnswer(a inferenceAnswer) {
	outputs := map[string][]json.RawMessage{}
	for _, o := range a.Outputs {
		outputs[o.Name] = o.Data
	}
	labels, confidences := outputs["label"], outputs["confidence"]
	if len(labels) == 0 {
		rows := make([][]string, len(a.Outputs))
		for i, o := range a.Outputs {
			values := make([]string, len(o.Data))
			for v, raw := range o.Data {
				values[v] = string(raw)
			}
			rows[i] = []string{o.Name, short(strings.Join(values, " ")), a.ModelVersion, a.Parameters.InferenceID}
		}
		p.table([]string{"OUTPUT", "VALUES", "VERSION", "INFERENCE"}, rows)
		return
	}
	rows := make([][]string, len(labels))
	for i, label := range labels {
		confidence, id := "", a.Parameters.InferenceID
		if i < len(confidences) {
			confidence = shortNumber(string(confidences[i]))
		}
		if len(labels) > 1 {
			id += "#" + strconv.Itoa(i)
		}
		rows[i] = []string{strings.Trim(string(label), `"`), confidence, a.ModelVersion, id}
	}
	p.table([]string{"LABEL", "CONFIDENCE", "VERSION", "INFERENCE"}, rows)
}

// shortNumber rounds a number for people; what is none stays.
func shortNumber(text string) string {
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return number(x)
	}
	return text
}
