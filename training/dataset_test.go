package training_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
)

func openStore(t *testing.T) *artifact.Store {
	t.Helper()
	store, err := artifact.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestParse(t *testing.T) {
	t.Parallel()
	want := []string{"a", "c"}
	for name, body := range map[string]string{
		"plain":           "a,kind,c\n1,x,2\n3,y,-4.5e1\n",
		"no last newline": "a,kind,c\n1,x,2\n3,y,-45",
		"CRLF":            "a,kind,c\r\n1,x,2\r\n3,y,-45\r\n",
		"BOM":             "\xef\xbb\xbfa,kind,c\n1,x,2\n3,y,-45\n",
		"quotes, blanks":  "a,kind,c\n\n\"1\",\"x\", 2\n\n 3,y ,-45\n\n",
	} {
		table, err := training.Parse([]byte(body), "kind")
		require.NoError(t, err, name)
		require.Equal(t, want, table.Columns, name)
		require.Equal(t, [][]float32{{1, 2}, {3, -45}}, table.Rows, name)
		require.Equal(t, []string{"x", "y"}, table.Labels, name)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const secret = "4711"
	for _, c := range []struct{ name, body, field, reason string }{
		{"empty", "", "", "the file is empty"},
		{"only a BOM", "\xef\xbb\xbf", "", "the file is empty"},
		{"only newlines", "\n\r\n\n", "", "the file is empty"},
		{"no row", "a,label\n", "", "there is a header but no row"},
		{"no label column", "a,b\n1,2\n", "label", `the data has no column "label"`},
		{"only the label", "label\n1\n", "", "there is no column but the label"},
		{"duplicate column", "a,a,label\n1,2,3\n", "", "header: two columns are called a"},
		{"duplicate label", "a,label,label\n1,2,3\n", "", "header: two columns are called label"},
		{"nameless column", "a, ,label\n1,2,3\n", "", "header: column 2 has no name"},
		{"NaN", "a,p3,label\n1,2,0\n1,NaN,0\n", "", "row 2, column p3: not a finite number"},
		{"Inf", "a,p3,label\n-Inf,2,0\n", "", "row 1, column a: not a finite number"},
		{"no 32-bit number", "a,p3,label\n1,1e39,0\n", "", "row 1, column p3: not a finite number"},
		{"text", "a,p3,label\n1," + secret + "x,0\n", "", "row 1, column p3: not a finite number"},
		{"control character in a column", "a,p\x003,label\n1,2,0\n", "", "header: the name of column 2 is not plain text of at most 4096 characters"},
		{"Latin-1 column", "a,p\xe9,label\n1,2,0\n", "", "header: the name of column 2 is not plain text of at most 4096 characters"},
		{"control character in a label", "a,p3,label\n1,2,x\x00\n", "", "row 1, column label: not plain text of at most 4096 characters"},
		{"missing value", "a,p3,label\n1,,0\n", "", "row 1, column p3: no value"},
		{"missing label", "a,p3,label\n1,2, \n", "", "row 1, column label: no value"},
		{"short row", "a,p3,label\n1,2,0\n" + secret + ",1\n", "", "row 2: 2 values where the header has 3 columns"},
		{"long row", "a,label\n1,2," + secret + "\n", "", "row 1: 3 values where the header has 2 columns"},
		{"open quote", "a,label\n\"" + secret + ",1\n", "", "row 1: a quoted value does not end as it must"},
		{"bare quote", "a,label\n" + secret + "\",1\n", "", "row 1: a quote stands inside a value that does not begin with one"},
		{"binary", "\x00\x01\x02", "label", `the data has no column "label"`},
	} {
		_, err := training.Parse([]byte(c.body), "label")
		var bad *domain.InvalidInput
		require.ErrorAs(t, err, &bad, c.name)
		require.Equal(t, domain.InvalidInput{Field: c.field, Reason: c.reason}, *bad, c.name)
		require.NotContains(t, err.Error(), secret, c.name)
	}
	wide := strings.Repeat("c,", training.MaxColumns) + "label\n"
	_, err := training.Parse([]byte(wide), "label")
	require.ErrorContains(t, err, "16385 columns; at most 16384 are taken")
}

func TestUnder(t *testing.T) {
	t.Parallel()
	_, err := training.Parse([]byte("a,p3,label\n1,2,0\n1,nan,0\n"), "label")
	require.EqualError(t, training.Under("data.train", err), "data.train: row 2, column p3: not a finite number")
	_, err = training.Parse([]byte("a,p3\n1,2\n"), "label")
	require.EqualError(t, training.Under("data.train", err), `data.train.label: the data has no column "label"`)
	require.ErrorIs(t, training.Under("data.train", err), domain.ErrInvalidInput)
	other := errors.New("the store is away")
	require.Equal(t, other, training.Under("data.train", other))
	require.NoError(t, training.Under("data.train", nil))
}

func TestClasses(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"-1", "2", "10"}, (&training.Table{Labels: []string{"10", "2", "-1", "10"}}).Classes())
	require.Equal(t, []string{"10", "2", "x"}, (&training.Table{Labels: []string{"x", "10", "2"}}).Classes())
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	body := "a,kind\r\n1,x\r\n2,y\r\n"
	snapshot, err := training.Snapshot(t.Context(), store, strings.NewReader(body), "kind")
	require.NoError(t, err)
	require.Equal(t, domain.DatasetInfo{
		Digest: snapshot.Digest, Format: "csv", Rows: 2, Label: "kind",
		Schema: map[string]string{"a": "number", "kind": "string"},
	}, snapshot)
	r, err := store.Get(t.Context(), snapshot.Digest)
	require.NoError(t, err)
	stored, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, body, string(stored), "the bytes, not a clean copy")

	table, err := training.Load(t.Context(), store, training.Channel{Digest: snapshot.Digest, Format: "csv", Label: "kind"})
	require.NoError(t, err)
	require.Equal(t, [][]float32{{1}, {2}}, table.Rows)
	_, err = training.Load(t.Context(), store, training.Channel{Digest: snapshot.Digest, Format: "parquet", Label: "kind"})
	require.EqualError(t, err, `format: only "csv" is known`)
}

func TestSnapshotRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := artifact.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })

	_, err = training.Snapshot(t.Context(), store, strings.NewReader("a,kind\n1,x\nNaN,y\n"), "kind")
	require.ErrorIs(t, err, domain.ErrInvalidInput)
	away := errors.New("connection reset")
	_, err = training.Snapshot(t.Context(), store, iotest.ErrReader(away), "kind")
	require.ErrorIs(t, err, away)
	require.NotErrorIs(t, err, domain.ErrInvalidInput, "a reader that breaks says nothing about the data")
	_, err = training.Snapshot(t.Context(), store, endless{}, "kind")
	require.EqualError(t, training.Under("data.train", err), "data.train: larger than 256 MiB")

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing half-written")
}

func TestSnapshotFile(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	dir := t.TempDir()
	_, err := training.SnapshotFile(t.Context(), store, filepath.Join(dir, "none.csv"), "label")
	require.EqualError(t, training.Under("data.train", err), "data.train.uri: cannot be read: no such file or directory")
	_, err = training.SnapshotFile(t.Context(), store, dir, "label")
	require.EqualError(t, err, "uri: cannot be read: not a plain file")

	snapshot, err := training.SnapshotFile(t.Context(), store, "../examples/digits/digits.csv", "label")
	require.NoError(t, err)
	require.Equal(t, int64(1797), snapshot.Rows)
	require.Len(t, snapshot.Schema, 65)
}

func TestSplitDependsOnTheRowAlone(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range 2_000 {
		rows = append(rows, fmt.Sprintf("%d,%d", i, i%7))
	}
	held := heldOutRows(t, "a,label\n"+strings.Join(rows, "\n"))
	require.InDelta(t, 400, len(held), 80)

	require.Equal(t, held, heldOutRows(t, "a,label\r\n"+strings.Join(rows, "\r\n")+"\r\n"), "line ends do not matter")
	more := append([]string{"-1,0", "-2,0", ""}, rows...)
	after := heldOutRows(t, "\xef\xbb\xbfanother,label\n"+strings.Join(more, "\n")+"\n")
	delete(after, "-1,0")
	delete(after, "-2,0")
	require.Equal(t, held, after, "rows that come and another header move no row")
}

func heldOutRows(t *testing.T, body string) map[string]bool {
	t.Helper()
	table, err := training.Parse([]byte(body), "label")
	require.NoError(t, err)
	train, heldOut := training.Split(table)
	require.Len(t, table.Rows, len(train.Rows)+len(heldOut.Rows))
	rows := map[string]bool{}
	for i, row := range heldOut.Rows {
		line := fmt.Sprintf("%v,%s", row[0], heldOut.Labels[i])
		rows[line] = true
		require.True(t, training.HeldOut([]byte(line)))
	}
	for i, row := range train.Rows {
		require.False(t, training.HeldOut(fmt.Appendf(nil, "%v,%s", row[0], train.Labels[i])))
	}
	return rows
}

// endless is a file that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
