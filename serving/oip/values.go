package oip

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// maxNesting bounds how deep the lists of a tensor's data may be; the protocol has no deeper tensors.
const maxNesting = 8

// Floats reads the values of a numeric tensor, flat or nested, into a row-major list of exactly want
// numbers. NaN, infinities and numbers beyond float32 are refused.
func Floats(data json.RawMessage, want int) ([]float32, error) {
	values := make([]float32, 0, min(want, len(data)/2+1))
	depth := 0
	for at := 0; at < len(data); {
		switch c := data[at]; c {
		case ' ', '\t', '\n', '\r', ',':
			at++
		case '[':
			if depth++; depth > maxNesting {
				return nil, fmt.Errorf("data: lists nested deeper than %d", maxNesting)
			}
			at++
		case ']':
			depth--
			at++
		default:
			end := at + bytes.IndexAny(data[at:], " \t\n\r,]")
			if end < at {
				end = len(data)
			}
			value, err := finite(data[at:end])
			if err != nil {
				return nil, fmt.Errorf("data[%d]: %w", len(values), err)
			}
			if len(values) == want {
				return nil, fmt.Errorf("data holds more values than the %d of its shape", want)
			}
			values = append(values, value)
			at = end
		}
	}
	if len(values) != want {
		return nil, fmt.Errorf("data holds %d values, its shape %d", len(values), want)
	}
	return values, nil
}

func finite(text []byte) (float32, error) {
	if c := text[0]; c != '-' && (c < '0' || c > '9') {
		return 0, fmt.Errorf("%.20s is not a number", text)
	}
	value, err := strconv.ParseFloat(string(text), 32)
	if err != nil || math.IsInf(value, 0) {
		return 0, fmt.Errorf("%.40s is beyond FP32", text)
	}
	return float32(value), nil
}

// FloatData writes values as a flat list; false when one of them is not finite and so has no JSON form.
func FloatData(values []float32) (json.RawMessage, bool) {
	text := make([]byte, 0, 12*len(values)+2)
	text = append(text, '[')
	for i, value := range values {
		wide := float64(value)
		if math.IsNaN(wide) || math.IsInf(wide, 0) {
			return nil, false
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, wide, 'g', -1, 32)
	}
	return append(text, ']'), true
}

// Strings reads the values of a flat BYTES tensor of exactly want values.
func Strings(data json.RawMessage, want int) ([]string, error) {
	var values []string
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("data is not a list of strings: %w", err)
	}
	if len(values) != want {
		return nil, fmt.Errorf("data holds %d values, its shape %d", len(values), want)
	}
	return values, nil
}
