package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"phantom/eventstore"
	"phantom/internal/pgtest"
)

// TestOldCommandsAreForgottenInTheBackground: the loop ends a whole sweep, tells once how many it was, and ends when it is
// told to.
func TestOldCommandsAreForgottenInTheBackground(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := pgtest.Pool(t, db.AdminURL)
	for days, n := range map[int]int{40: 30_000, 20: 10} { // 30,000 take several pieces
		_, err := admin.Exec(t.Context(), `insert into phantom.commands
			select 'acme', $2::int || '-' || n, 'hash', '{}', now() - $2::int * interval '1 day' from generate_series(1, $1::int) n`, n, days)
		require.NoError(t, err)
	}
	core, told := observer.New(zapcore.InfoLevel)
	p := &parts{store: eventstore.New(db.Pool(t)), log: zap.New(core)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.forgetCommands(ctx) }()

	require.Eventually(t, func() bool { return told.Len() > 0 }, time.Minute, 5*time.Millisecond)
	require.Equal(t, int64(30_000), told.All()[0].ContextMap()["commands"])
	var left int
	require.NoError(t, admin.QueryRow(t.Context(), `select count(*) from phantom.commands`).Scan(&left))
	require.Equal(t, 10, left)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 1, told.Len())
}
