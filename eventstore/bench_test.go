package eventstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
)

func benchEvent() eventstore.NewEvent {
	return eventstore.NewEvent{
		ID: uuid.UUID{1}, Type: "TrainingProgressUpdated", Version: 1, OccurredAt: time.UnixMicro(1),
		Data:     []byte(`{"model_id":"digits","training_job_id":"7f1c2b5e-0d8f-4d53-9a60-2f8f5a3c1e77","epoch":12,"metrics":{"accuracy":0.97312}}`),
		Metadata: []byte(`{"actor":{"subject":"on-call","auth":"api_key","verified":true}}`), CorrelationID: "train:default:digits",
	}
}

func BenchmarkDigest(b *testing.B) {
	e := benchEvent()
	b.ReportAllocs()
	for b.Loop() {
		eventstore.Digest("acme", stream("digits"), e)
	}
}

func BenchmarkVerify(b *testing.B) {
	given, of := benchEvent(), stream("digits")
	digest := eventstore.Digest("acme", of, given)
	stored := eventstore.Event{
		EventID: given.ID, TenantID: "acme", AggregateType: of.Type, AggregateID: of.ID, EventType: given.Type, EventVersion: given.Version,
		EventData: given.Data, Metadata: given.Metadata, OccurredAt: given.OccurredAt, CorrelationID: &given.CorrelationID, Digest: digest[:],
	}
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, stored.Verify())
	}
}

func BenchmarkValidate(b *testing.B) {
	appends := []eventstore.Append{{Stream: stream("digits"), Events: []eventstore.NewEvent{benchEvent()}}}
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, eventstore.Validate("acme", eventstore.Lifecycle, appends, nil))
	}
}
