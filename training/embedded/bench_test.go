package embedded_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
	"phantom/training/embedded"
)

// BenchmarkMainJob trains the versions of the main job and reports what examples/digits/README.md quotes:
//
//	go test ./training/embedded -run '^$' -bench MainJob -benchtime 1x
func BenchmarkMainJob(b *testing.B) {
	const upright = "../../examples/digits/digits.csv"
	store, err := artifact.Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	straight, err := training.SnapshotFile(b.Context(), store, upright, "label")
	require.NoError(b, err)
	turned, err := training.Snapshot(b.Context(), store, strings.NewReader(transpose(b, upright)), "label")
	require.NoError(b, err)
	for _, c := range []struct {
		name, spec  string
		train, test domain.DatasetInfo
	}{
		{"a", "train_a.json", straight, domain.DatasetInfo{}},
		{"b", "train_b.json", straight, domain.DatasetInfo{}},
		{"c", "train_c.json", turned, domain.DatasetInfo{}},
		{"c_on_upright", "train_c.json", turned, straight},
	} {
		b.Run(c.name, func(b *testing.B) {
			body, err := os.ReadFile("../../examples/digits/" + c.spec)
			require.NoError(b, err)
			spec := training.Spec{Train: channel(c.train)}
			require.NoError(b, json.Unmarshal(body, &spec))
			if c.test.Digest != "" {
				test := channel(c.test)
				spec.Test = &test
			}
			before := processorTime(b)
			var accuracy float64
			for b.Loop() {
				accuracy = trainOnce(b, store, spec)
			}
			b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(accuracy, "accuracy")
		})
	}
}

func trainOnce(b *testing.B, store *artifact.Store, spec training.Spec) float64 {
	b.Helper()
	trainer, err := embedded.New(store, b.TempDir())
	require.NoError(b, err)
	h, err := trainer.Submit(b.Context(), "job", spec)
	require.NoError(b, err)
	for seen := (training.Observation{State: training.Running}); seen.State == training.Running; {
		seen, err = trainer.Observe(b.Context(), h, seen.Cursor)
		require.NoError(b, err)
	}
	outcome, err := trainer.Collect(b.Context(), h)
	require.NoError(b, err)
	require.NoError(b, trainer.Close(context.WithoutCancel(b.Context())))
	return outcome.Evaluation.Metrics["accuracy"]
}

// transpose swaps rows and columns of the images in a file, as the main job does for version C.
func transpose(b *testing.B, path string) string {
	b.Helper()
	file, err := os.Open(path)
	require.NoError(b, err)
	records, err := csv.NewReader(file).ReadAll()
	require.NoError(b, err)
	require.NoError(b, file.Close())
	var out strings.Builder
	w := csv.NewWriter(&out)
	require.NoError(b, w.Write(records[0]))
	for _, record := range records[1:] {
		turned := make([]string, len(record))
		for i := range 64 {
			turned[i] = record[i%8*8+i/8]
		}
		turned[64] = record[64]
		require.NoError(b, w.Write(turned))
	}
	w.Flush()
	require.NoError(b, w.Error())
	return out.String()
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
