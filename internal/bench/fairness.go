package main

import (
	"context"
	"fmt"
	"slices"
)

const (
	crowd = 64 // goroutines
	stuck = 4  // of them, that append to the tenant whose head is held
)

// shares counts what each tenant, or each client of a hot tenant, got.
type shares struct {
	counts []int64
	by     func(client, tenant int) int // -1 does not count
}

// fair runs a crowd beside followers in rounds and judges how little the slowest got beside the median one. next chooses
// the tenants, and must give each that is counted the same chance.
func (l *lab) fair(ctx context.Context, w *world, r row, next pick, s shares) error {
	r.Floor, r.Aim = 0.5, 1
	r.Against = "the slowest's events to the median one's"
	seen := &lags{}
	own := writers(crowd, l.options.tenants)
	work := task(func(ctx context.Context, client int) error {
		to := next(own[client], client)
		return own[client].append(ctx, w.store, to, 1)
	})
	counted := s.split(own)
	err := w.followed(ctx, w.store, seen, func(ctx context.Context) error {
		if _, err := work.drive(ctx, crowd, 1, l.options.round/2); err != nil {
			return err
		}
		counted()
		for range l.options.rounds {
			got, err := work.drive(ctx, crowd, 1, l.options.round)
			if err != nil {
				return err
			}
			shares := counted()
			r.ours = append(r.ours, got)
			r.Ratios = append(r.Ratios, float64(slices.Min(shares))/float64(max(1, median(shares))))
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.done(r)
	l.note(seen.String())
	return nil
}

// split gives a function that tells what each got since it was last called: the streams' revisions tell it.
func (s shares) split(own []*writer) func() []int64 {
	last := make([]int64, len(s.counts))
	return func() []int64 {
		now := make([]int64, len(s.counts))
		for client, w := range own {
			for tenant, revision := range w.revisions {
				if at := s.by(client, tenant); at >= 0 {
					now[at] += revision
				}
			}
		}
		since := make([]int64, len(now))
		for i := range now {
			since[i] = now[i] - last[i]
		}
		last = now
		return since
	}
}

// inTurn is a client's own share of the tenants from first on, one after the other: then nothing but the store decides
// how much a tenant gets. Clients before skip have none.
func inTurn(skip, first, tenants int) pick {
	turns := make([]int, crowd)
	return func(_ *writer, client int) int {
		mine := (tenants - first) / (crowd - skip)
		turns[client]++
		return first + (client-skip)*mine + turns[client]%mine
	}
}

func fairnessRows(ctx context.Context, l *lab, w *world) error {
	n := l.options.tenants
	each := n / crowd * crowd // tenants that have a client
	many := row{Name: fmt.Sprintf("%d goroutines over %d tenants, %d followers", crowd, each, followers)}
	if err := l.fair(ctx, w, many, inTurn(0, 0, n), shares{make([]int64, each), func(_, tenant int) int {
		if tenant < each {
			return tenant
		}
		return -1
	}}); err != nil {
		return err
	}
	one := row{Name: fmt.Sprintf("%d goroutines on one hot tenant, %d followers", crowd, followers), Note: "shares of the goroutines"}
	if err := l.fair(ctx, w, one, hot, shares{make([]int64, crowd), func(client, _ int) int { return client }}); err != nil {
		return err
	}
	const flood = crowd / 2
	others := inTurn(flood, 1, n)
	served := (n - 1) / flood * flood
	flooded := row{Name: fmt.Sprintf("%d of %d goroutines flood one tenant, the others over %d, %d followers", flood, crowd, served, followers)}
	next := func(w *writer, client int) int {
		if client < flood {
			return 0
		}
		return others(w, client)
	}
	return l.fair(ctx, w, flooded, next, shares{make([]int64, served), func(_, tenant int) int {
		if tenant > served {
			return -1
		}
		return tenant - 1 // the flooded one is -1
	}})
}
