package embedded_test

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/training"
)

// The params of jobs that are long enough to be hit in the middle of an epoch, and to be killed often.
const (
	interrupted = `{"epochs":30}`
	killedOften = `{"epochs":80}`
)

// A job whose process is killed again and again, at random points, ends with the bits of one that ran
// undisturbed: weights, moments, metrics of every epoch, artifact.
func TestResumeAfterKillIsBitEqual(t *testing.T) {
	t.Parallel()
	d, dir := newDigits(t), t.TempDir()
	spec := d.spec("mlp", killedOften)
	body, err := json.Marshal(spec)
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("kills are placed by seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	killed, lastEpoch := 0, ""
	for killed < 8 {
		epochs, ended := runAndKill(t, random, d.url, dir, string(body))
		if ended {
			break
		}
		killed++
		if len(epochs) > 0 {
			lastEpoch = epochs[len(epochs)-1]
		}
	}
	require.GreaterOrEqual(t, killed, 2, "the job was too quick to be killed")
	require.NotEmpty(t, lastEpoch, "it was never killed after an epoch")

	trainer := d.trainer(t, dir)
	h := submit(t, trainer, "killed", spec)
	end := finish(t, trainer, h)
	require.Len(t, end.Points, 80)
	require.Contains(t, strings.Join(end.Logs, "\n"), "resumed after epoch")
	undisturbed(t, d, spec).requireSame(t, dir, collect(t, trainer, h))
}

// runAndKill starts the worker of TestMain, waits for a random number of epochs and a moment more, and
// kills it. It returns the epochs that the worker saw, and whether the job ended before the kill.
func runAndKill(t *testing.T, random *rand.Rand, args ...string) (epochs []string, ended bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], append([]string{"train"}, args...)...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	for range 1 + random.IntN(4) {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "epoch ") {
			require.Equal(t, "succeeded ", lines.Text())
			return epochs, child.Wait() == nil
		}
		epochs = append(epochs, lines.Text())
	}
	<-time.After(time.Duration(random.IntN(20_000)) * time.Microsecond) // anywhere in an epoch
	require.NoError(t, child.Process.Kill())
	for lines.Scan() {
		epochs = append(epochs, lines.Text())
	}
	return epochs, child.Wait() == nil
}

// calm is what the interrupted job leaves when nobody disturbs it.
type calm struct {
	outcome    training.Outcome
	checkpoint []byte
}

func undisturbed(t *testing.T, d digits, spec training.Spec) calm {
	t.Helper()
	dir := t.TempDir()
	trainer := d.trainer(t, dir)
	outcome := collect(t, trainer, submit(t, trainer, "undisturbed", spec))
	return calm{outcome, checkpoint(t, dir, "checkpoint")}
}

// requireSame holds an outcome, and the last checkpoint in dir, against the undisturbed job's.
func (c calm) requireSame(t *testing.T, dir string, got training.Outcome) {
	t.Helper()
	require.Equal(t, c.outcome, got)
	require.Equal(t, c.checkpoint, checkpoint(t, dir, "checkpoint"))
}

func checkpoint(t *testing.T, dir, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(only(t, dir, name))
	require.NoError(t, err)
	return body
}

// only returns the path of the file of that name of the only job in dir.
func only(t *testing.T, dir, name string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", name))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	return paths[0]
}

// Stopping saves the state in the middle of an epoch; killing goes back to the last checkpoint. Neither
// changes the result.
func TestStoppedInTheMiddleOfEpochsIsBitEqual(t *testing.T) {
	t.Parallel()
	d, dir := newDigits(t), t.TempDir()
	trainer := d.trainer(t, dir)
	spec := d.spec("mlp", interrupted)
	var h training.Handle
	middles := 0
	for i := range 12 {
		h = submit(t, trainer, "job", spec)
		order := training.Stop
		if i%4 == 3 {
			order = training.Kill
		}
		require.NoError(t, trainer.Signal(t.Context(), h, training.Checkpoint))
		require.NoError(t, trainer.Signal(t.Context(), h, order))
	}
	end, err := trainer.Observe(t.Context(), h, training.Cursor{})
	require.NoError(t, err)
	for _, line := range end.Logs {
		if strings.HasPrefix(line, "resumed after") && !strings.HasSuffix(line, "batch 0") {
			middles++
		}
	}
	require.Positive(t, middles, "it was never stopped within an epoch")
	undisturbed(t, d, spec).requireSame(t, dir, collect(t, trainer, submit(t, trainer, "job", spec)))
}

func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	d := newDigits(t)
	spec := d.spec("mlp", interrupted)
	want := undisturbed(t, d, spec)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 4; return b }
	for name, c := range map[string]struct {
		newest, previous func([]byte) []byte
		resumed          string // what the log says
	}{
		"a flipped bit":       {flip, nil, "resumed after epoch "},
		"truncated":           {func(b []byte) []byte { return b[:len(b)*2/3] }, nil, "resumed after epoch "},
		"a few bytes":         {func(b []byte) []byte { return b[:5] }, nil, "resumed after epoch "},
		"empty":               {func([]byte) []byte { return nil }, nil, "resumed after epoch "},
		"something appended":  {func(b []byte) []byte { return append(b, 1) }, nil, "resumed after epoch "},
		"both, so from start": {flip, flip, "training mlp "},
	} {
		dir := t.TempDir()
		trainer := d.trainer(t, dir)
		h := submit(t, trainer, "job", spec)
		before := until(t, trainer, h, func(o training.Observation) bool { return o.Checkpoint >= 2 })
		require.NoError(t, trainer.Signal(t.Context(), h, training.Kill), name)
		damage(t, only(t, dir, "checkpoint"), c.newest)
		damage(t, only(t, dir, "checkpoint.previous"), c.previous)

		outcome := collect(t, trainer, submit(t, trainer, "job", spec))
		logs := finish(t, trainer, h).Logs[len(before.Logs):]
		at := -1
		for i, line := range logs {
			if line == "the last checkpoint is damaged and left out" {
				at = i
			}
		}
		require.GreaterOrEqual(t, at, 0, "%s: %q", name, logs)
		require.True(t, strings.HasPrefix(logs[at+1], c.resumed), "%s: %q", name, logs[at+1])
		want.requireSame(t, dir, outcome)
	}
}

func damage(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	if how == nil {
		return
	}
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, how(body), 0o600))
}

// A checkpoint is good for its own job only, and files that a crash left half-written are in nobody's way.
func TestStrayFiles(t *testing.T) {
	t.Parallel()
	d, dir, other := newDigits(t), t.TempDir(), t.TempDir()
	foreign := d.trainer(t, other)
	collect(t, foreign, submit(t, foreign, "job", d.spec("mlp", `{"epochs":30,"learning_rate":0.01}`)))

	spec := d.spec("mlp", interrupted)
	trainer := d.trainer(t, dir)
	h := submit(t, trainer, "job", spec)
	until(t, trainer, h, func(o training.Observation) bool { return o.Checkpoint >= 1 })
	require.NoError(t, trainer.Signal(t.Context(), h, training.Kill))
	folder := filepath.Dir(only(t, dir, "job.json"))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "checkpoint"), checkpoint(t, other, "checkpoint"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "checkpoint.new"), []byte("half"), 0o600))
	log, err := os.OpenFile(filepath.Join(folder, "log.txt"), os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = log.WriteString("epoch 9/30 lo") // torn
	require.NoError(t, err)
	require.NoError(t, log.Close())

	undisturbed(t, d, spec).requireSame(t, dir, collect(t, trainer, submit(t, trainer, "job", spec)))
	logs := finish(t, trainer, h).Logs
	written, err := os.ReadFile(filepath.Join(folder, "log.txt"))
	require.NoError(t, err)
	require.Equal(t, strings.Join(logs, "\n")+"\n", string(written), "lines keep their numbers over restarts")
	require.Contains(t, logs, "epoch 9/30 lo")
}
