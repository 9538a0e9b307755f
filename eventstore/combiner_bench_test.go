package eventstore //nolint:testpackage // the combiner without a database is not reachable from outside

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

func oneEvent() []Append {
	return []Append{{Stream: Stream{Type: "Model", ID: "digits"}, Events: []NewEvent{{
		ID: uuid.New(), Type: "ModelCreated", Version: 1, Data: []byte(`{"name":"Digits"}`), OccurredAt: time.UnixMicro(1),
	}}}}
}

// BenchmarkNewCall: an append becomes the arguments of a statement, digests included.
func BenchmarkNewCall(b *testing.B) {
	appends := oneEvent()
	b.ReportAllocs()
	for b.Loop() {
		newCall("acme", Lifecycle, appends, nil).events.args()
	}
}

// BenchmarkCombiner: the way of a call through the combiner when PostgreSQL answers at once.
func BenchmarkCombiner(b *testing.B) {
	way := newCombiner(func(_ context.Context, _ bool, calls []*call) bool {
		for _, c := range calls {
			c.end(nil, nil)
		}
		return false
	}, func([]*call) {})
	appends := oneEvent()
	b.ReportAllocs()
	b.SetParallelism(32)
	var clients atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		tenant := strconv.FormatInt(clients.Add(1)%100, 10)
		for pb.Next() {
			if _, err := way.do(b.Context(), tenant, func() *call { return newCall(tenant, Lifecycle, appends, nil) }); err != nil {
				b.Error(err)
			}
		}
	})
}
