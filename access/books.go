package access

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"phantom/serving/durable"
)

// Run writes when keys were used and what was refused to them, until ctx ends, and then once more.
func (v *Verifier) Run(ctx context.Context) {
	every := time.NewTicker(v.params.Flush)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			if err := v.Flush(ctx); err != nil && ctx.Err() == nil {
				v.params.Log.Warn("the use of keys was not written; it is tried again", zap.Error(err))
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
			err := v.Flush(last)
			cancel()
			if err != nil {
				v.params.Log.Warn("the last use of keys was not written", zap.Error(err))
			}
			return
		}
	}
}

// Flush writes what is in the books. What was not written stays in them.
func (v *Verifier) Flush(ctx context.Context) error {
	v.save()
	v.mu.Lock()
	used, denied, lost := v.used, v.denied, v.lost
	v.used, v.denied, v.lost = map[string]time.Time{}, map[denial]int64{}, 0
	v.mu.Unlock()
	if lost > 0 {
		v.params.Log.Warn("refusals were not kept: there are too many kinds of them", zap.Int64("refusals", lost))
	}
	if len(used)+len(denied) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := v.note(ctx, used, denied)
	if err != nil {
		v.putBack(used, denied)
	}
	return err
}

func (v *Verifier) note(ctx context.Context, used map[string]time.Time, denied map[denial]int64) error {
	ids, times := make([]string, 0, len(used)), make([]time.Time, 0, len(used))
	for id, at := range used {
		ids, times = append(ids, id), append(times, at)
	}
	n := len(denied)
	events, keys, operations, reasons, counts := make([]uuid.UUID, 0, n), make([]string, 0, n), make([]string, 0, n), make([]string, 0, n), make([]int64, 0, n)
	for one, count := range denied {
		events, keys, operations = append(events, newEventID()), append(keys, one.key), append(operations, one.operation)
		reasons, counts = append(reasons, one.reason), append(counts, count)
	}
	const call = `select phantom.access_note($1, $2, $3, $4, $5, $6, $7)`
	_, err := v.params.Pool.Exec(ctx, call, ids, times, events, keys, operations, reasons, counts)
	return err
}

func (v *Verifier) putBack(used map[string]time.Time, denied map[denial]int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, at := range used {
		if at.After(v.used[id]) {
			v.used[id] = at
		}
	}
	for one, count := range denied {
		if _, there := v.denied[one]; there || len(v.denied) < maxDenials {
			v.denied[one] += count
		} else {
			v.lost += count
		}
	}
}

// remembered is a key in the file.
type remembered struct {
	stored

	Seen time.Time `json:"seen"`
}

// save forgets keys that no longer stand, and writes the others to the file.
func (v *Verifier) save() {
	now := v.params.Now()
	v.mu.Lock()
	changed := v.changed
	v.changed = false
	keys := make([]remembered, 0, len(v.known))
	for id, key := range v.known {
		if now.Sub(key.seen) >= v.params.Keep {
			delete(v.known, id)
			continue
		}
		keys = append(keys, remembered{key.stored, key.seen})
	}
	v.mu.Unlock()
	if !changed || v.params.File == "" {
		return
	}
	err := os.MkdirAll(filepath.Dir(v.params.File), 0o755)
	if err == nil {
		err = durable.Save(v.params.File, keys)
	}
	if err != nil {
		v.params.Log.Warn("the known keys were not written", zap.Error(err))
	}
}

// restore takes the known keys from the file: they count from when PostgreSQL told of them.
func (v *Verifier) restore() {
	if v.params.File == "" {
		return
	}
	var keys []remembered
	switch err := durable.Load(v.params.File, &keys); {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		v.params.Log.Warn("the file of known keys cannot be read; keys are looked up anew", zap.Error(err))
		return
	}
	now := v.params.Now()
	for _, key := range keys {
		if key.Seen.After(now) { // the clock was wrong then or is wrong now
			continue
		}
		one := &entry{stored: key.stored, seen: key.Seen}
		if v.params.Limit.PerSecond > 0 {
			one.limit = rate.NewLimiter(rate.Limit(v.params.Limit.PerSecond), v.params.Limit.Burst)
		}
		v.known[key.KeyID] = one
	}
}
