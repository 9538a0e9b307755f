package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// The rules by which events are folded, a number for each aggregate. Whoever changes what an Evolve makes of the same
// events counts it up, so that states that were folded by the former rules are not read any more; a test reminds.
const (
	modelRules    = 1
	trainingRules = 1
	rolloutRules  = 1
)

// state is the aggregate of a type of stream, and the rules that fold it; nil for a stream that is never folded.
func (a *Aggregates) state(of AggregateType) (state any, rules int) {
	switch of {
	case TypeMLModel:
		return &a.Model, modelRules
	case TypeTrainingJob:
		return &a.Training, trainingRules
	case TypeRollout:
		return &a.Rollout, rolloutRules
	case TypeInferenceLog:
	}
	return nil, 0
}

// MarshalState is the JSON of the aggregate of a type of stream, which UnmarshalState reads back as it was, and a
// program with the same Fingerprint too.
func (a Aggregates) MarshalState(of AggregateType) (json.RawMessage, error) {
	state, _ := a.state(of)
	if state == nil {
		return nil, fmt.Errorf("a stream of type %q is never folded", of)
	}
	text, err := marshal(state)
	if err != nil {
		return nil, fmt.Errorf("encode the state of a %s: %w", of, err)
	}
	return text, nil
}

// UnmarshalState sets the aggregate of a type of stream to what MarshalState wrote. After an error it is the zero value.
func (a *Aggregates) UnmarshalState(of AggregateType, text json.RawMessage) error {
	state, _ := a.state(of)
	if state == nil {
		return fmt.Errorf("a stream of type %q is never folded", of)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(state); err != nil {
		reflect.ValueOf(state).Elem().SetZero()
		return fmt.Errorf("decode the state of a %s: %w", of, err)
	}
	return nil
}

// Fingerprint names what a saved state of a type of stream depends on: the shape of its Go type, down to the last field,
// and the rules that fold it. It is empty for a stream that is never folded.
func Fingerprint(of AggregateType) string {
	var a Aggregates
	state, rules := a.state(of)
	if state == nil {
		return ""
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "rules %d\n", rules)
	describe(hash, reflect.TypeOf(state).Elem(), nil)
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// describe writes the shape of a type. Types of other packages count by their names: they bring their own JSON. Within
// are the types around it, so that one that holds itself has an end.
func describe(w io.Writer, t reflect.Type, within []reflect.Type) {
	fmt.Fprintf(w, "%s %s", t.Kind(), t)
	if slices.Contains(within, t) {
		return
	}
	within = append(within, t)
	switch t.Kind() {
	case reflect.Struct:
		if t.PkgPath() != reflect.TypeFor[Model]().PkgPath() {
			return
		}
		fmt.Fprint(w, " {\n")
		for field := range t.Fields() {
			fmt.Fprintf(w, "%s %q ", field.Name, field.Tag)
			describe(w, field.Type, within)
			fmt.Fprint(w, "\n")
		}
		fmt.Fprint(w, "}")
	case reflect.Map:
		fmt.Fprint(w, " of ")
		describe(w, t.Key(), within)
		fmt.Fprint(w, " to ")
		describe(w, t.Elem(), within)
	case reflect.Slice, reflect.Array, reflect.Pointer:
		fmt.Fprint(w, " of ")
		describe(w, t.Elem(), within)
	default:
	}
}
