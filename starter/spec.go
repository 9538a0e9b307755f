package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

// spec is a saga's input on its way to the server, which judges it. Flags are laid over a file's fields.
type spec map[string]any

// readSpec reads -f: YAML or JSON, "-" for standard input, nothing for no file. Model and tenant may
// stand in it, as in an input for Temporal's own tools, but only those that are meant.
func (p *program) readSpec(path, model string) (spec, error) {
	if path == "" {
		return spec{}, nil
	}
	text, err := p.read(path)
	if err != nil {
		return nil, err
	}
	fields, err := object(path, text)
	if err != nil {
		return nil, err
	}
	for name, meant := range map[string]string{"model_id": model, "tenant": p.cfg.CLI.Tenant} {
		given, there := fields[name]
		if own, text := given.(string); name == "tenant" && meant == "" && text {
			p.api.Tenant, meant = own, own // the server holds it against the key's
		}
		if there && given != meant {
			return nil, usagef("%s: %s is %v, but the command is for %s", path, name, given, meant)
		}
		delete(fields, name)
	}
	return fields, nil
}

// read reads a file, or standard input for "-".
func (p *program) read(path string) ([]byte, error) {
	if path == "-" {
		text, err := io.ReadAll(p.in)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return text, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &failure{exitUsage, err.Error()}
	}
	return text, nil
}

// object decodes YAML or JSON whose top is an object. JSON keeps its numbers digit by digit.
func object(name string, text []byte) (spec, error) {
	var fields spec
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		decoder := json.NewDecoder(bytes.NewReader(trimmed))
		decoder.UseNumber()
		if err := decoder.Decode(&fields); err != nil {
			return nil, usagef("%s: %s", name, err)
		}
		return fields, nil
	}
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return nil, usagef("%s is neither YAML nor JSON with an object at its top: %s", name, yaml.FormatError(err, false, false))
	}
	if fields == nil {
		return nil, usagef("%s is empty", name)
	}
	if _, err := json.Marshal(fields); err != nil {
		return nil, usagef("%s holds what JSON has no word for: %s", name, err)
	}
	return fields, nil
}

// inline reads a flag's object: JSON, or @file with YAML or JSON.
func (p *program) inline(flag, value string) (spec, error) {
	if path, isFile := strings.CutPrefix(value, "@"); isFile {
		text, err := p.read(path)
		if err != nil {
			return nil, err
		}
		return object(path, text)
	}
	return object("--"+flag, []byte(value))
}

// scalar reads a flag's value as YAML does: 20 is a number, true a boolean, [64, 32] a list.
func scalar(text string) any {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil || value == nil {
		return text
	}
	if _, err := json.Marshal(value); err != nil {
		return text
	}
	return value
}

// put sets a field below objects that are made where they are missing: put(20, "params", "epochs"). What
// stands in the way and is no object is refused, as the server would.
func (s spec) put(value any, path ...string) error {
	at := map[string]any(s)
	for i, name := range path[:len(path)-1] {
		switch next := at[name].(type) {
		case map[string]any:
			at = next
		case nil:
			made := map[string]any{}
			at[name] = made
			at = made
		default:
			return usagef("%s must be an object", strings.Join(path[:i+1], "."))
		}
	}
	at[path[len(path)-1]] = value
	return nil
}

// pair splits k=v.
func pair(flag, text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return "", "", usagef("%s is %q: accepted is key=value", flag, text)
	}
	return key, value, nil
}

// pairs reads a flag that may be given many times.
func pairs(flag string, texts []string) (map[string]string, error) {
	found := map[string]string{}
	for _, text := range texts {
		key, value, err := pair(flag, text)
		if err != nil {
			return nil, err
		}
		found[key] = value
	}
	return found, nil
}
