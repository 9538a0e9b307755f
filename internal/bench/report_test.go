package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func rowOf(floor float64, times bool, ours, theirs float64) row {
	r := row{Name: "a row", Floor: floor, Times: times}
	for _, scale := range []float64{1, 2, 1} {
		r.add(sample{PerSecond: ours * scale, P50: time.Duration(ours * scale)}, sample{PerSecond: theirs, P50: time.Duration(theirs)})
	}
	r.summarize()
	return r
}

func TestARowIsJudgedByItsMedian(t *testing.T) {
	t.Parallel()
	require.True(t, rowOf(0.5, false, 50, 100).meets())
	require.False(t, rowOf(0.6, false, 50, 100).meets(), "one good round is not enough")
	require.True(t, rowOf(1.2, true, 120, 100).meets())
	require.False(t, rowOf(1.1, true, 120, 100).meets(), "of times the floor is the most")
	require.True(t, rowOf(0, false, 1, 100).meets(), "a row without a floor is only told")
}

func TestARowWithoutAnotherSideIsJudgedByItsTimes(t *testing.T) {
	t.Parallel()
	r := row{Name: "a row", Within: within{P50: 10 * time.Millisecond, P99: 50 * time.Millisecond}}
	for _, p99 := range []time.Duration{40 * time.Millisecond, 90 * time.Millisecond, 45 * time.Millisecond} {
		r.alone(sample{PerSecond: 1000, P50: 5 * time.Millisecond, P99: p99})
	}
	r.summarize()
	require.True(t, r.meets(), "one bad round is not enough")
	require.Contains(t, r.line(), "p50 ≤ 10 ms, p99 ≤ 50 ms")
	r.Within.P50 = 4 * time.Millisecond
	require.False(t, r.meets())
	require.Contains(t, r.line(), "missed")
	r.Within = within{P99: 40 * time.Millisecond}
	require.False(t, r.meets(), "the p99 counts alone where there is no other bound")
	require.Contains(t, (&report{Rows: []row{r}}).missed()[0], "floor p99 ≤ 40 ms")
}

func TestTheTableStandsBetweenTheMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	require.NoError(t, os.WriteFile(path, []byte("before\n"+markBegin+"old\n"+markEnd+"after\n"), 0o600))
	r := report{Rows: []row{rowOf(0.5, false, 50, 100)}}
	require.NoError(t, r.write("", path))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "before\n"+markBegin+r.markdown()+markEnd+"after\n", string(text))
	require.NoError(t, os.WriteFile(path, []byte("no marks"), 0o600))
	require.Error(t, r.write("", path))
}
