package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"phantom/training"
)

// state is how far a job has come. With the task it decides the rest of the job bit by bit.
type state struct {
	epoch   int     // finished
	batch   int     // finished in the epoch that runs
	step    int64   // of the optimizer
	loss    float64 // summed over the rows of the epoch that runs
	correct int64   // the same for hits
	weights []float32
	first   []float32 // Adam's moments
	second  []float32
	points  []point // one a finished epoch
}

// point is a training.Point in the checkpoint's form.
type point struct {
	epoch                      int
	step                       int64
	loss, accuracy, validation float64
}

func (p point) metrics() map[string]float64 {
	return map[string]float64{"loss": p.loss, "accuracy": p.accuracy, "val_accuracy": p.validation}
}

func (p point) public() training.Point {
	return training.Point{Epoch: p.epoch, Step: p.step, Metrics: p.metrics()}
}

func newState(t *task) *state {
	weights := initial(t.sizes, t.spec.Seed)
	return &state{weights: weights, first: make([]float32, len(weights)), second: make([]float32, len(weights))}
}

// The form of a checkpoint: magic, the hash of the spec, the state in little endian with counts before
// lists, and the SHA-256 of all that.
const magic = "phantom checkpoint 1\n"

var errDamaged = errors.New("the checkpoint is damaged")

func (s *state) encode(spec [sha256.Size]byte) []byte {
	b := make([]byte, 0, len(magic)+2*sha256.Size+64+12*len(s.weights)+40*len(s.points))
	b = append(append(b, magic...), spec[:]...)
	for _, n := range []int64{int64(s.epoch), int64(s.batch), s.step, s.correct, int64(len(s.weights)), int64(len(s.points))} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	b = appendFloat(b, s.loss)
	for _, vector := range [][]float32{s.weights, s.first, s.second} {
		for _, v := range vector {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	for _, p := range s.points {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.epoch))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.step))
		b = appendFloat(appendFloat(appendFloat(b, p.loss), p.accuracy), p.validation)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeState reads a checkpoint of a spec; errDamaged when it is not one, whole and of that spec.
func decodeState(b []byte, spec [sha256.Size]byte) (*state, error) {
	head := len(magic) + len(spec)
	if len(b) < head+sha256.Size || string(b[:len(magic)]) != magic {
		return nil, errDamaged
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sha256.Sum256(body) != [sha256.Size]byte(sum) {
		return nil, errDamaged
	}
	if !bytes.Equal(body[len(magic):head], spec[:]) {
		return nil, fmt.Errorf("%w: it is of another job", errDamaged)
	}
	r := reader(body[head:])
	s := &state{epoch: int(r.int()), batch: int(r.int()), step: r.int(), correct: r.int()}
	weights, points := r.int(), r.int()
	s.loss = r.float()
	if weights*12+points*40 != int64(len(r)) {
		return nil, errDamaged
	}
	s.weights, s.first, s.second = r.vector(weights), r.vector(weights), r.vector(weights)
	for range points {
		s.points = append(s.points, point{int(r.int()), r.int(), r.float(), r.float(), r.float()})
	}
	return s, nil
}

// reader takes values off the front of a checkpoint whose digest and length were found right.
type reader []byte

func (r *reader) take(n int) []byte {
	taken := (*r)[:n]
	*r = (*r)[n:]
	return taken
}

func (r *reader) int() int64 { return int64(binary.LittleEndian.Uint64(r.take(8))) }

func (r *reader) float() float64 { return math.Float64frombits(binary.LittleEndian.Uint64(r.take(8))) }

func (r *reader) vector(n int64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.take(4)))
	}
	return v
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
