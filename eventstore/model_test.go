package eventstore_test

import (
	"testing"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

func TestModel(t *testing.T) {
	t.Parallel()
	eventstoretest.RunModel(t, eventstore.New(pgtest.New(t).Pool(t)))
}
