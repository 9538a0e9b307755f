package workflows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"phantom/domain"
)

// Duration is a length of time that travels as text: "30s", "24h", "1h30m".
type Duration time.Duration

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a Go duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// payloadJSON is the JSON text that a caller sent; none at all is an empty object.
func payloadJSON(raw converter.RawValue) ([]byte, error) {
	payload := raw.Payload()
	switch encoding := string(payload.GetMetadata()[converter.MetadataEncoding]); encoding {
	case "", converter.MetadataEncodingNil:
		return []byte("{}"), nil
	case converter.MetadataEncodingJSON:
		return payload.GetData(), nil
	default:
		return nil, &domain.InvalidInput{Field: "input", Reason: "must be JSON (encoding json/plain), not " + encoding}
	}
}

// decode reads what a caller sent into a struct, and accepts nothing that the struct does not have:
// unknown fields, wrong types and fields of a later release are each named by their JSON path. The error
// joins one *domain.InvalidInput for each. A null is a field that was not given.
//
// Only callers' input is read so; payloads of activities and events stay lenient.
func decode(text []byte, into any) error {
	document, err := parse(text)
	if err != nil {
		return err
	}
	var bad badFields
	bad.check("", document, reflect.TypeOf(into).Elem())
	if len(bad) > 0 {
		return bad.err()
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &domain.InvalidInput{Field: "input", Reason: err.Error()}
	}
	return nil
}

// parse reads one JSON value, with its numbers as they are written.
func parse(text []byte) (any, error) {
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	var document any
	if err := reader.Decode(&document); err != nil {
		return nil, &domain.InvalidInput{Field: "input", Reason: "is not JSON: " + err.Error()}
	}
	if _, err := reader.Token(); !errors.Is(err, io.EOF) {
		return nil, &domain.InvalidInput{Field: "input", Reason: "has more than one JSON value"}
	}
	return document, nil
}

// badFields gathers what is wrong with an input.
type badFields []error

func (b *badFields) add(field, format string, args ...any) {
	if field == "" {
		field = "input"
	}
	*b = append(*b, &domain.InvalidInput{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (b badFields) err() error { return errors.Join(b...) }

// check compares a decoded JSON value with the Go type that is to take it.
func (b *badFields) check(path string, value any, want reflect.Type) {
	switch {
	case value == nil || want == reflect.TypeFor[json.RawMessage]():
		return
	case want == reflect.TypeFor[Duration]():
		b.checkDuration(path, value)
		return
	}
	switch want.Kind() {
	case reflect.Pointer:
		b.check(path, value, want.Elem())
	case reflect.Struct:
		b.checkObject(path, value, want)
	case reflect.Map:
		b.checkMap(path, value, want)
	case reflect.Slice:
		b.checkList(path, value, want)
	default:
		b.checkScalar(path, value, want)
	}
}

func (b *badFields) checkDuration(path string, value any) {
	text, ok := value.(string)
	if !ok {
		b.add(path, `must be a duration in text, like "30m", not %s`, kindOf(value))
		return
	}
	if _, err := time.ParseDuration(text); err != nil {
		b.add(path, `must be a duration like "30m", not %q`, text)
	}
}

func (b *badFields) checkObject(path string, value any, want reflect.Type) {
	object, ok := value.(map[string]any)
	if !ok {
		b.add(path, "must be an object, not %s", kindOf(value))
		return
	}
	known := map[string]reflect.StructField{}
	var names []string
	for field := range want.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = field
		if field.Tag.Get("later") == "" {
			names = append(names, name)
		}
	}
	for _, name := range workflow.DeterministicKeys(object) {
		field, ok := known[name]
		switch {
		case !ok:
			b.add(under(path, name), "is not a field; the fields are %s", strings.Join(names, ", "))
		case field.Tag.Get("later") != "":
			b.add(under(path, name), "is not available yet")
		default:
			b.check(under(path, name), object[name], field.Type)
		}
	}
}

func (b *badFields) checkMap(path string, value any, want reflect.Type) {
	object, ok := value.(map[string]any)
	if !ok {
		b.add(path, "must be an object, not %s", kindOf(value))
		return
	}
	for _, name := range workflow.DeterministicKeys(object) {
		if object[name] == nil {
			b.add(under(path, name), "must not be null")
			continue
		}
		b.check(under(path, name), object[name], want.Elem())
	}
}

func (b *badFields) checkList(path string, value any, want reflect.Type) {
	list, ok := value.([]any)
	if !ok {
		b.add(path, "must be a list, not %s", kindOf(value))
		return
	}
	for i, element := range list {
		b.check(under(path, strconv.Itoa(i)), element, want.Elem())
	}
}

func (b *badFields) checkScalar(path string, value any, want reflect.Type) {
	switch want.Kind() {
	case reflect.String:
		if _, ok := value.(string); !ok {
			b.add(path, "must be text, not %s", kindOf(value))
		}
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			b.add(path, "must be true or false, not %s", kindOf(value))
		}
	case reflect.Int, reflect.Int64:
		number, ok := value.(json.Number)
		if !ok {
			b.add(path, "must be a whole number, not %s", kindOf(value))
		} else if _, err := strconv.ParseInt(number.String(), 10, 64); err != nil {
			b.add(path, "must be a whole number, not %s", number)
		}
	case reflect.Float64:
		number, ok := value.(json.Number)
		if !ok {
			b.add(path, "must be a number, not %s", kindOf(value))
		} else if _, err := number.Float64(); err != nil {
			b.add(path, "must be a number of 64 bits, not %s", number)
		}
	default:
		b.add(path, "has the Go type %s, which no input can have", want)
	}
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "text"
	case bool:
		return "true or false"
	default:
		return "a number"
	}
}
