package training

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"phantom/artifact"
	"phantom/domain"
)

// The bounds of a data set that is held in memory.
const (
	MaxDatasetBytes = 256 << 20
	MaxColumns      = 16_384
	MaxClasses      = 1_000
)

// FormatCSV is comma-separated values with a header, UTF-8, RFC 4180; a byte order mark and CRLF are fine.
const FormatCSV = "csv"

// Table is a data set for classification: numbers to learn from, and a class for each row.
type Table struct {
	Columns []string    // the names of the features, in the file's order, without the label
	Rows    [][]float32 // one value a column, all finite
	Labels  []string    // the class of each row, as written
	heldOut []bool
}

// Snapshot reads a CSV to its end, checks it as Parse does, and stores its bytes. Split and URI of the
// answer are the caller's to fill in. Nothing is stored when the data is refused.
func Snapshot(ctx context.Context, store *artifact.Store, r io.Reader, label string) (domain.DatasetInfo, error) {
	body, err := readBounded(r)
	if err != nil {
		return domain.DatasetInfo{}, err
	}
	table, err := Parse(body, label)
	if err != nil {
		return domain.DatasetInfo{}, err
	}
	stored, err := store.Put(ctx, bytes.NewReader(body))
	if err != nil {
		return domain.DatasetInfo{}, fmt.Errorf("store the data: %w", err)
	}
	return domain.DatasetInfo{
		Digest: stored.Digest, Format: FormatCSV, Rows: int64(len(table.Rows)), Schema: table.schema(label), Label: label,
	}, nil
}

// SnapshotFile is Snapshot of a local file; a file that cannot be opened is a *domain.InvalidInput of the
// field "uri". Whether the path is allowed is the caller's question.
func SnapshotFile(
	ctx context.Context, store *artifact.Store, path, label string,
) (snapshot domain.DatasetInfo, err error) {
	known, err := os.Stat(path)
	if err != nil {
		return domain.DatasetInfo{}, unreadable(err)
	}
	if !known.Mode().IsRegular() {
		return domain.DatasetInfo{}, &domain.InvalidInput{Field: "uri", Reason: "cannot be read: not a plain file"}
	}
	file, err := os.Open(path)
	if err != nil {
		return domain.DatasetInfo{}, unreadable(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return Snapshot(ctx, store, file, label)
}

// Load reads a snapshot back from the store.
func Load(ctx context.Context, store *artifact.Store, c Channel) (table *Table, err error) {
	if c.Format != FormatCSV && c.Format != "" {
		return nil, &domain.InvalidInput{Field: "format", Reason: `only "csv" is known`}
	}
	r, err := store.Get(ctx, c.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	body, err := readBounded(r)
	if err != nil {
		return nil, err
	}
	return Parse(body, c.Label)
}

// Under puts a prefix before the field of an error of this file: under "data.train", the field "label"
// becomes "data.train.label". Other errors stay as they are.
func Under(prefix string, err error) error {
	bad, refused := errors.AsType[*domain.InvalidInput](err)
	if !refused {
		return err
	}
	if bad.Field == "" {
		return &domain.InvalidInput{Field: prefix, Reason: bad.Reason}
	}
	return &domain.InvalidInput{Field: prefix + "." + bad.Field, Reason: bad.Reason}
}

// Parse reads a CSV whose columns are numbers, but for the label's. An error is one *domain.InvalidInput:
// of the field "label" when that column is missing, else with no field; its reason names row (from 1, the
// header not counted) and column, and never a cell's value.
func Parse(body []byte, label string) (*Table, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse("the file is empty")
	}
	r := csv.NewReader(bytes.NewReader(body))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, refuse("header: " + malformed(err))
	}
	header = slices.Clone(header)
	at, err := checkHeader(header, label)
	if err != nil {
		return nil, err
	}
	table := &Table{Columns: slices.Delete(slices.Clone(header), at, at+1)}
	for {
		from := r.InputOffset()
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		row := len(table.Rows) + 1
		if err != nil {
			return nil, refuse(fmt.Sprintf("row %d: %s", row, malformed(err)))
		}
		if len(record) != len(header) {
			return nil, refuse(fmt.Sprintf("row %d: %d values where the header has %d columns", row, len(record), len(header)))
		}
		if err := table.add(record, header, at); err != nil {
			return nil, err
		}
		raw := bytes.Trim(body[from:r.InputOffset()], "\r\n")
		table.heldOut = append(table.heldOut, HeldOut(raw))
	}
	if len(table.Rows) == 0 {
		return nil, refuse("there is a header but no row")
	}
	return table, nil
}

// Classes are the distinct labels: by number when all are integers, else by text.
func (t *Table) Classes() []string {
	classes := slices.Compact(slices.Sorted(slices.Values(t.Labels)))
	numbers := make(map[string]int64, len(classes))
	for _, class := range classes {
		number, err := strconv.ParseInt(class, 10, 64)
		if err != nil {
			return classes
		}
		numbers[class] = number
	}
	slices.SortStableFunc(classes, func(a, b string) int {
		return cmp.Compare(numbers[a], numbers[b])
	})
	return classes
}

func (t *Table) add(record, header []string, label int) error {
	row := len(t.Rows) + 1
	values := make([]float32, 0, len(t.Columns))
	for i, cell := range record {
		cell = strings.TrimSpace(cell)
		if cell == "" {
			return refuse(fmt.Sprintf("row %d, column %s: no value", row, header[i]))
		}
		if i == label {
			if !plain(cell) {
				return refuse(fmt.Sprintf("row %d, column %s: %s", row, header[i], notPlain))
			}
			t.Labels = append(t.Labels, strings.Clone(cell))
			continue
		}
		value, err := strconv.ParseFloat(cell, 32)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			return refuse(fmt.Sprintf("row %d, column %s: not a finite number", row, header[i]))
		}
		values = append(values, float32(value))
	}
	t.Rows = append(t.Rows, values)
	return nil
}

func (t *Table) schema(label string) map[string]string {
	schema := make(map[string]string, len(t.Columns)+1)
	for _, column := range t.Columns {
		schema[column] = "number"
	}
	schema[label] = "number"
	for _, class := range t.Labels {
		if _, err := strconv.ParseFloat(class, 64); err != nil {
			schema[label] = "string"
			break
		}
	}
	return schema
}

func checkHeader(header []string, label string) (int, error) {
	if len(header) > MaxColumns {
		return 0, refuse(fmt.Sprintf("%d columns; at most %d are taken", len(header), MaxColumns))
	}
	at := -1
	seen := make(map[string]bool, len(header))
	for i, name := range header {
		if strings.TrimSpace(name) == "" {
			return 0, refuse(fmt.Sprintf("header: column %d has no name", i+1))
		}
		if seen[name] {
			return 0, refuse("header: two columns are called " + name)
		}
		seen[name] = true
		if name == label {
			at = i
		}
	}
	if at < 0 {
		return 0, &domain.InvalidInput{Field: "label", Reason: fmt.Sprintf("the data has no column %q", label)}
	}
	if len(header) == 1 {
		return 0, refuse("there is no column but the label")
	}
	for i, name := range header {
		if !plain(name) {
			return 0, refuse(fmt.Sprintf("header: the name of column %d is %s", i+1, notPlain))
		}
	}
	return at, nil
}

const notPlain = "not plain text of at most 4096 characters"

// plain is text that an event may hold: refused here, before the training, and not by the domain after it.
func plain(text string) bool {
	const longest = 4096
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= longest && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r)
	})
}

func readBounded(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxDatasetBytes+1))
	if _, local := errors.AsType[*fs.PathError](err); local {
		return nil, unreadable(err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the data: %w", err)
	}
	if len(body) > MaxDatasetBytes {
		return nil, refuse(fmt.Sprintf("larger than %d MiB", MaxDatasetBytes>>20))
	}
	return body, nil
}

func unreadable(err error) error {
	reason := err.Error()
	if path, local := errors.AsType[*fs.PathError](err); local {
		reason = path.Err.Error()
	}
	return &domain.InvalidInput{Field: "uri", Reason: "cannot be read: " + reason}
}

func refuse(reason string) error { return &domain.InvalidInput{Reason: reason} }

// malformed names what the CSV reader found, without the text that it found it in.
func malformed(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote):
		return "a quoted value does not end as it must"
	case errors.Is(err, csv.ErrBareQuote):
		return "a quote stands inside a value that does not begin with one"
	default:
		return "not readable as CSV"
	}
}
