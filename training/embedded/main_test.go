package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"phantom/artifact"
	"phantom/domain"
	"phantom/training"
	"phantom/training/embedded"
)

// TestMain is also the worker that the tests kill: with "train", the URL of the artifacts, the trainer's
// folder and a spec it trains the job "killed" to its end, and prints each epoch that it sees.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "train" {
		if err := train(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func train(url, dir, spec string) error {
	ctx := context.Background()
	store, err := artifact.Open(ctx, url)
	if err != nil {
		return err
	}
	trainer, err := embedded.New(store, dir)
	if err != nil {
		return err
	}
	var s training.Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	h, err := trainer.Submit(ctx, "killed", s)
	if err != nil {
		return err
	}
	var cursor training.Cursor
	for {
		seen, err := trainer.Observe(ctx, h, cursor)
		if err != nil {
			return err
		}
		for _, p := range seen.Points {
			fmt.Println("epoch", p.Epoch)
		}
		cursor = seen.Cursor
		if seen.State != training.Running {
			fmt.Println(seen.State, seen.Failure)
			return nil
		}
	}
}

// digits is the example's data, in a store of the test's own.
type digits struct {
	store *artifact.Store
	url   string
	data  training.Channel
}

func newDigits(t *testing.T) digits {
	t.Helper()
	d := digits{url: "file://" + t.TempDir()}
	var err error
	d.store, err = artifact.Open(t.Context(), d.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.store.Close()) })
	snapshot, err := training.SnapshotFile(t.Context(), d.store, "../../examples/digits/digits.csv", "label")
	require.NoError(t, err)
	d.data = channel(snapshot)
	return d
}

func channel(snapshot domain.DatasetInfo) training.Channel {
	return training.Channel{Digest: snapshot.Digest, Format: snapshot.Format, Label: snapshot.Label}
}

func (d digits) spec(algorithm, params string) training.Spec {
	return training.Spec{Algorithm: algorithm, Params: json.RawMessage(params), Seed: 1, Train: d.data}
}

// trainer returns one on a folder, and what closes it; closing twice is fine.
func (d digits) trainer(t *testing.T, dir string) *embedded.Trainer {
	t.Helper()
	trainer, err := embedded.New(d.store, dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, trainer.Close(context.WithoutCancel(t.Context()))) })
	return trainer
}

func submit(t *testing.T, trainer *embedded.Trainer, key string, spec training.Spec) training.Handle {
	t.Helper()
	h, err := trainer.Submit(t.Context(), key, spec)
	require.NoError(t, err)
	return h
}

// finish observes a job until it runs no more, and returns all that it told.
func finish(t *testing.T, trainer *embedded.Trainer, h training.Handle) training.Observation {
	t.Helper()
	return until(t, trainer, h, func(training.Observation) bool { return false })
}

// until observes a job until enough was seen or it runs no more.
func until(
	t *testing.T, trainer *embedded.Trainer, h training.Handle, enough func(training.Observation) bool,
) training.Observation {
	t.Helper()
	var cursor training.Cursor
	for {
		_, err := trainer.Observe(t.Context(), h, cursor)
		require.NoError(t, err)
		all, err := trainer.Observe(t.Context(), h, training.Cursor{})
		require.NoError(t, err)
		if all.State != training.Running || enough(all) {
			return all
		}
		cursor = all.Cursor
	}
}

// collect finishes a job that must succeed.
func collect(t *testing.T, trainer *embedded.Trainer, h training.Handle) training.Outcome {
	t.Helper()
	end := finish(t, trainer, h)
	require.Equal(t, training.Succeeded, end.State, end.Failure)
	outcome, err := trainer.Collect(t.Context(), h)
	require.NoError(t, err)
	return outcome
}
