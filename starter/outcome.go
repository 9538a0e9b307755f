package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
)

// outcome is what the results of sagas have in common.
type outcome struct {
	Outcome    string             `json:"outcome"`
	Version    string             `json:"version"`
	Previous   string             `json:"previous"`
	Initial    bool               `json:"initial"`
	Reason     string             `json:"reason"`
	Metrics    map[string]float64 `json:"metrics"`
	Deployment *outcome           `json:"deployment"`
}

// ended prints how a saga ended; its error is the exit status of the job.
func (p *program) ended(raw json.RawMessage, s saga) error {
	var result outcome
	if len(s.Result) > 0 {
		var err error
		if result, err = decode[outcome](s.Result, sagaPath(s.SagaID)); err != nil {
			return err
		}
	}
	if p.json() {
		if err := p.print(raw); err != nil {
			return err
		}
	}
	if why := disappointment(s, result); why != "" {
		return &failure{exitFailed, s.SagaID + " " + why}
	}
	if !p.json() {
		p.line("%s", success(s, result))
	}
	return nil
}

// disappointment says in which way a saga did not do what it was asked for; "" when it did.
func disappointment(s saga, result outcome) string {
	switch {
	case s.State != "completed":
		return strings.TrimSuffix("ended as "+s.State+": "+s.Error, ": ")
	case strings.HasPrefix(s.SagaID, "train:"):
		if result.Outcome != "registered" {
			return notAsked(result)
		}
		if d := result.Deployment; d != nil && d.Outcome != "promoted" {
			return "registered version " + result.Version + ", but its deployment " + notAsked(*d)
		}
	case strings.HasPrefix(s.SagaID, "deploy:") && result.Outcome != "promoted":
		return notAsked(result)
	}
	return ""
}

func notAsked(result outcome) string {
	text := "ended as " + cmp.Or(result.Outcome, "nothing that is known")
	if result.Previous != "" && result.Outcome == "rolled_back" {
		text += " to version " + result.Previous
	}
	return strings.TrimSuffix(text+": "+result.Reason, ": ")
}

// success is the last word on a saga that did what it was asked for.
func success(s saga, result outcome) string {
	text := s.SagaID + " " + cmp.Or(result.Outcome, "completed")
	switch {
	case result.Version != "" && result.Previous != "":
		text += fmt.Sprintf(": version %s, before it %s", result.Version, result.Previous)
	case result.Version != "":
		text += ": version " + result.Version
	}
	var details []string
	for _, detail := range []string{metricsText(result.Metrics), result.Reason} {
		if detail != "" {
			details = append(details, detail)
		}
	}
	if d := result.Deployment; d != nil {
		details = append(details, "deployment "+d.Outcome)
	}
	if s.StartedAt != nil && s.EndedAt != nil {
		details = append(details, "took "+took(*s.StartedAt, s.EndedAt))
	}
	if len(details) > 0 {
		text += " (" + strings.Join(details, "; ") + ")"
	}
	return text
}
