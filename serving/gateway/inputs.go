package gateway

import (
	"encoding/json"

	"phantom/domain"
	"phantom/serving/oip"
)

// inputsByRow takes the inputs of a request apart: a row's are {"<input>": <its values>}, in the form that
// the client sent. Rows are left out whose inputs are larger than an event takes, and all of them when the
// data of an input is not a list of as many rows, flat or nested.
func inputsByRow(inputs []oip.Tensor, rows int) []domain.Content {
	captured := make([]domain.Content, rows)
	parts := make([]map[string]json.RawMessage, rows)
	sizes := make([]int, rows)
	for row := range parts {
		parts[row] = make(map[string]json.RawMessage, len(inputs))
	}
	for _, input := range inputs {
		split := splitRows(input.Data, rows)
		if split == nil {
			for row := range captured {
				captured[row] = domain.Content{Omitted: domain.OmittedNoRows}
			}
			return captured
		}
		for row, values := range split {
			parts[row][input.Name] = values
			sizes[row] += len(values)
		}
	}
	for row, part := range parts {
		captured[row] = domain.Content{Omitted: domain.OmittedTooLarge}
		if sizes[row] > domain.MaxContent {
			continue // not even written down
		}
		if text, err := json.Marshal(part); err == nil && len(text) <= domain.MaxContent {
			captured[row] = domain.InClear(text)
		}
	}
	return captured
}

// splitRows cuts row-major data into its rows; nil when it has no such rows.
func splitRows(data json.RawMessage, rows int) []json.RawMessage {
	var values []json.RawMessage
	if json.Unmarshal(data, &values) != nil || len(values) == 0 || len(values)%rows != 0 {
		return nil
	}
	split := make([]json.RawMessage, rows)
	width := len(values) / rows
	for row := range split {
		if width == 1 {
			split[row] = values[row]
			continue
		}
		list := []byte{'['}
		for i, value := range values[row*width : (row+1)*width] {
			if i > 0 {
				list = append(list, ',')
			}
			list = append(list, value...)
		}
		split[row] = append(list, ']')
	}
	return split
}
