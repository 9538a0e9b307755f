package mainjob

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"phantom/training"
)

// side is the width and height of an image; its pixels stand row by row in the columns p0 to p63.
const side = 8

const (
	digitsFolder   = "examples/digits"
	digitsCSV      = digitsFolder + "/digits.csv"
	transposedName = "digits_transposed.csv"
)

// row is one held-out image with its true label.
type row struct {
	pixels []float32
	label  string
}

// prepareData reads the specs and the held-out rows, and writes the data with the bug: each image
// transposed, as when rows and columns are mixed up.
func (j *job) prepareData() error {
	raw, err := os.ReadFile(filepath.Join(j.Root, digitsCSV))
	if err != nil {
		return fmt.Errorf("reading the digits: %w", err)
	}
	table, err := training.Parse(raw, "label")
	if err != nil {
		return fmt.Errorf("%s: %w", digitsCSV, err)
	}
	_, heldOut := training.Split(table)
	for i, pixels := range heldOut.Rows {
		j.rows = append(j.rows, row{pixels: pixels, label: heldOut.Labels[i]})
	}
	transposed, err := transpose(raw)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(j.State, transposedName), transposed, 0o644); err != nil {
		return fmt.Errorf("writing the transposed digits: %w", err)
	}
	return j.readSpecs()
}

// readSpecs reads how A, B and C are trained.
func (j *job) readSpecs() error {
	j.specs = map[string]spec{}
	for _, name := range []string{"A", "B", "C"} {
		path := filepath.Join(j.Root, digitsFolder, "train_"+string(name[0]+'a'-'A')+".json")
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading how version %s is trained: %w", name, err)
		}
		var s spec
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		j.specs[name] = s
	}
	return nil
}

// transposedURI is the transposed data as the worker names it: relative to its working directory.
func (j *job) transposedURI() (string, error) {
	uri, err := filepath.Rel(j.Root, filepath.Join(j.State, transposedName))
	if err != nil {
		return "", fmt.Errorf("the state folder %s is not below %s: %w", j.State, j.Root, err)
	}
	return filepath.ToSlash(uri), nil
}

// transpose swaps the rows and columns of each image.
func transpose(raw []byte) ([]byte, error) {
	records, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digitsCSV, err)
	}
	column := map[string]int{}
	for i, name := range records[0] {
		column[name] = i
	}
	for _, record := range records[1:] {
		for y := range side {
			for x := range y {
				a, b := column["p"+strconv.Itoa(y*side+x)], column["p"+strconv.Itoa(x*side+y)]
				record[a], record[b] = record[b], record[a]
			}
		}
	}
	var out bytes.Buffer
	writer := csv.NewWriter(&out)
	if err := writer.WriteAll(records); err != nil {
		return nil, fmt.Errorf("writing the transposed digits: %w", err)
	}
	return out.Bytes(), nil
}
