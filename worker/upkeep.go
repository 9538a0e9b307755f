package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"phantom/registry"
)

// How often old commands are looked for, and the rest between two pieces of a sweep.
const (
	sweepPause = 6 * time.Hour
	sweepLook  = 15 * time.Minute
	sweepRest  = 200 * time.Millisecond
)

// forgetCommands removes the commands that are older than registry.CommandRetention, until ctx ends. Every process looks,
// one works at a time. A failure is told and tried again later: what is remembered for longer does no harm.
func (p *parts) forgetCommands(ctx context.Context) error {
	var removed int64
	for {
		done, err := p.store.PruneCommands(ctx, registry.CommandRetention, sweepPause)
		if err != nil && ctx.Err() == nil {
			p.log.Warn("old commands were not forgotten", zap.Error(err))
		}
		removed += done.Removed
		rest := sweepRest
		if !done.More {
			rest = sweepLook
			if removed > 0 {
				p.log.Info("old commands were forgotten", zap.Int64("commands", removed))
			}
			removed = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
}
