package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The bounds of free JSON. PostgreSQL's jsonb must be able to take what an event holds.
const (
	maxJSONBytes = 256 << 10
	maxJSONDepth = 64
)

// object checks free JSON that may be absent, else is an object.
func (v *checks) object(field string, raw json.RawMessage) {
	value := v.json(field, raw)
	if _, isObject := value.(map[string]any); value != nil && !isObject {
		v.refuse(field, "must be a JSON object")
	}
}

// scalar checks free JSON that must be one string, number or boolean.
func (v *checks) scalar(field string, raw json.RawMessage) {
	before := len(v.problems)
	value := v.json(field, raw)
	if len(v.problems) > before {
		return
	}
	switch value.(type) {
	case string, json.Number, bool:
	default:
		v.refuse(field, "must be a string, a number or a boolean")
	}
}

// content checks JSON that is stored sealed only: jsonb never gets to see it, so a NUL or a number beyond
// floating point in it does no harm. A client sends it, and must not be able to keep a batch out of the log.
func (v *checks) content(field string, raw json.RawMessage) {
	switch {
	case len(raw) > MaxContent:
		v.refuse(field, fmt.Sprintf("must have at most %d bytes", MaxContent))
	case len(raw) > 0 && !json.Valid(raw):
		v.refuse(field, "must be JSON")
	}
}

// json checks free JSON and returns its value, or nil when it is absent, null or refused.
func (v *checks) json(field string, raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) > maxJSONBytes {
		v.refuse(field, fmt.Sprintf("must have at most %d bytes", maxJSONBytes))
		return nil
	}
	value, err := parseJSON(raw)
	if err != nil {
		v.refuse(field, "must be JSON: "+err.Error())
		return nil
	}
	if reason := unfit(value, 0); reason != "" {
		v.refuse(field, reason)
		return nil
	}
	return value
}

// unfit says why a value cannot be stored, or nothing.
func unfit(value any, depth int) string {
	if depth > maxJSONDepth {
		return fmt.Sprintf("must be nested at most %d deep", maxJSONDepth)
	}
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return "must not have NUL characters"
		}
	case json.Number:
		if !fits(v) {
			return "must have numbers that fit into 64-bit floating point"
		}
	case []any:
		for _, element := range v {
			if reason := unfit(element, depth+1); reason != "" {
				return reason
			}
		}
	case map[string]any:
		for key, element := range v {
			if reason := unfit(key, depth); reason != "" {
				return reason
			}
			if reason := unfit(element, depth+1); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// fits tells a number that is a 64-bit float and whose text jsonb's decimals can hold: those have at most 16,383 digits
// behind the point, and "0e-99999" has more.
func fits(number json.Number) bool {
	const longest, steepest = 1024, 400
	if _, err := number.Float64(); err != nil || len(number) > longest {
		return false
	}
	_, exponent, given := strings.Cut(strings.ToLower(string(number)), "e")
	if !given {
		return true
	}
	e, err := strconv.Atoi(exponent)
	return err == nil && -steepest <= e && e <= steepest
}

// parseJSON reads exactly one value and keeps the text of numbers.
func parseJSON(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the first value")
	}
	return value, nil
}

// canonical is free JSON in the form that events hold: sorted keys, no blanks; nil for nothing and
// null. The value was checked.
func canonical(raw json.RawMessage) json.RawMessage {
	value, err := parseJSON(raw)
	if err != nil || value == nil {
		return nil
	}
	text, err := marshal(value)
	if err != nil {
		return nil
	}
	return text
}

// sameJSON compares values, not texts; numbers are compared as they are written.
func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(canonical(a), canonical(b))
}

// marshal is json.Marshal without escapes for HTML: ">=" stays readable.
func marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
