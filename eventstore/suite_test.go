package eventstore_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"phantom/eventstore"
	"phantom/eventstore/eventstoretest"
	"phantom/internal/pgtest"
)

func TestMain(m *testing.M) {
	flag.Bool("rewrite", false, "write testdata anew")
	goleak.VerifyTestMain(m)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	store := eventstore.New(pgtest.New(t).Pool(t))
	eventstoretest.Run(t, func(*testing.T) eventstoretest.Store { return store })
}
