package registry

import (
	"context"
	"fmt"
	"iter"

	"phantom/domain"
	"phantom/eventstore"
)

// The most events of one append to the inference log, and the bytes of their payloads, so that one caller does not hold
// the tenant's head for long. A single event may have more bytes.
const (
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

// observe appends inferences or feedback as they are. Rows that are stored already are left out, so a
// batch can be sent again as a whole, also one of which only a part was appended.
func (r *Registry) observe(ctx context.Context, tenant domain.Tenant, cmd domain.Command, meta domain.Meta) (domain.Result, error) {
	if meta.Expect != nil {
		return domain.Result{}, &domain.InvalidInput{Field: "expect", Reason: "cannot be given for inferences and feedback"}
	}
	decided, err := domain.Decide(domain.Aggregates{}, cmd)
	if err != nil {
		return domain.Result{}, err
	}
	if err := r.seal(ctx, tenant, decided); err != nil {
		return domain.Result{}, err
	}
	events, err := encode(decided, meta)
	if err != nil {
		return domain.Result{}, err
	}
	stream := cmd.Writes()
	var result domain.Result
	for batch := range batches(events) {
		appends := []eventstore.Append{{Stream: storeStream(stream), Expect: eventstore.Any(), Events: batch, SkipStored: true}}
		done, err := r.store.Append(ctx, string(tenant), eventstore.Inference, appends, nil)
		if err != nil {
			return domain.Result{}, fmt.Errorf("%s: %w", domain.CommandType(cmd), err)
		}
		result = domain.Result{Revision: done[0].Revision, Position: done[0].Position}
	}
	return result, nil
}

// batches splits events in order.
func batches(events []eventstore.NewEvent) iter.Seq[[]eventstore.NewEvent] {
	return func(yield func([]eventstore.NewEvent) bool) {
		begin, bytes := 0, 0
		for i, e := range events {
			size := len(e.Data) + len(e.Metadata)
			if i > begin && (i-begin == maxBatch || bytes+size > maxBatchBytes) {
				if !yield(events[begin:i]) {
					return
				}
				begin, bytes = i, 0
			}
			bytes += size
		}
		if begin < len(events) {
			yield(events[begin:])
		}
	}
}
