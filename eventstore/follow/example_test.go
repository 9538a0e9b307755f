package follow_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"phantom/eventstore"
	"phantom/eventstore/follow"
)

// announce is the program of docs/extend.md, "Follow the log from a Go program".
func announce(ctx context.Context, pool *pgxpool.Pool, tell func(string)) error {
	tail := eventstore.NewTail(eventstore.New(pool), eventstore.Lifecycle)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = tail.Run(ctx) }) // one a process and log, for all of its followers; it ends with ctx
	defer running.Wait()
	defer stop()

	return follow.Subscribe(ctx, pool, tail, follow.Subscription{
		Name:   "announcements",
		Types:  []string{"ModelDeployed"},
		Failed: func(tenant string, err error) { tell(fmt.Sprintf("%s waits: %v", tenant, err)) },
	}, func(_ context.Context, d *follow.Delivery) error {
		for _, event := range d.Events {
			tell(fmt.Sprintf("%s: %s was deployed, position %d", d.Tenant, event.AggregateID, event.Position))
		}
		return nil
	})
}

func TestTheProgramOfTheGuide(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	said := make(chan string, 10)
	s.append("acme", "ModelCreated", 1)
	s.append("acme", "ModelDeployed", 1)
	stop := s.background(func(ctx context.Context) { _ = announce(ctx, s.pool, func(line string) { said <- line }) })
	require.Equal(t, "acme: s was deployed, position 2", <-said)
	s.append("globex", "ModelDeployed", 1)
	require.Equal(t, "globex: s was deployed, position 1", <-said)
	stop()
	require.Empty(t, said)

	guide, err := os.ReadFile("../../docs/extend.md")
	require.NoError(t, err)
	program, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(guide), "```go\n")
	require.True(t, found)
	printed, _, _ := strings.Cut(rest, "```")
	require.Contains(t, string(program), printed, "what the guide prints is what runs")
}
