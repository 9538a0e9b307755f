package domain

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// ScalarText is a prediction or a label in one text form, so that "7" and 7 and 7.0 are the same class.
// What is no scalar has none, and is judged by nobody.
func ScalarText(raw json.RawMessage) string {
	reader := json.NewDecoder(bytes.NewReader(raw))
	reader.UseNumber()
	var value any
	if err := reader.Decode(&value); err != nil {
		return ""
	}
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return v.String()
		}
		if number, err := v.Float64(); err == nil {
			return strconv.FormatFloat(number, 'f', -1, 64)
		}
		return v.String()
	default:
		return ""
	}
}
