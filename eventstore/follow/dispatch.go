package follow

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"phantom/eventstore"
)

// passPause is how long to gather after pages of positions to pass.
const passPause = 50 * time.Millisecond

// tenantsMost is how many tenants one call reads at most.
const tenantsMost = 500

// dispatch gives tenants with news to free workers, and reads ahead when pages are short of them.
func (l *Loop) dispatch(ctx context.Context) error {
	switch {
	case !l.idle():
	case time.Now().Before(l.look):
		l.woken = true // it reads then
	default:
		l.woken = false
		if err := l.read(ctx); err != nil {
			return err
		}
	}
	for len(l.ready) > 0 && l.busy < l.params.Workers {
		l.start(ctx, l.ready[0])
		l.ready = l.ready[1:]
	}
	return nil
}

// idle tells whether a worker would have nothing to do.
func (l *Loop) idle() bool { return len(l.ready) < l.params.Workers-l.busy }

// read reads many tenants in one call, but never more events than all workers together may have in their hands. Tenants
// that share a limit are read in one call.
func (l *Loop) read(ctx context.Context) error {
	cursors := map[int][]eventstore.Cursor{}
	events, tenants, now := int64(l.params.Workers)*int64(l.params.Batch), tenantsMost, time.Now()
	for name := range l.behind { // in random order, so nobody is always last
		if events <= 0 || tenants == 0 {
			l.woken = true
			break
		}
		t := l.tenants[name]
		if t.busy || now.Before(t.retryAt) {
			continue
		}
		cursors[t.limit] = append(cursors[t.limit], eventstore.Cursor{Tenant: name, After: t.position})
		events -= min(t.head-t.position, int64(t.limit))
		tenants--
	}
	for _, limit := range slices.Sorted(maps.Keys(cursors)) {
		pages, err := l.work.Read(ctx, cursors[limit], limit)
		if err != nil {
			return err
		}
		l.queue(cursors[limit], pages)
		l.gather(pages, limit)
	}
	return nil
}

// queue keeps the pages for workers; those without events go together. A tenant without a page is not behind, whatever the
// news were.
func (l *Loop) queue(asked []eventstore.Cursor, pages []eventstore.Page) {
	found := make(map[string]struct{}, len(pages))
	var passing []Task
	for _, page := range pages {
		t := l.tenant(page.Tenant)
		if page.Through <= t.position && page.Err == nil {
			continue
		}
		found[page.Tenant] = struct{}{}
		t.busy, t.head = true, max(t.head, page.Through)
		task := Task{After: t.position, Page: page}
		if len(page.Events) == 0 && page.Err == nil && !t.apart {
			passing = append(passing, task)
			continue
		}
		l.ready = append(l.ready, []Task{task})
	}
	if len(passing) > 0 {
		slices.SortFunc(passing, func(a, b Task) int { return cmp.Compare(a.Page.Tenant, b.Page.Tenant) })
		l.ready = append(l.ready, passing)
	}
	for _, cursor := range asked {
		if _, has := found[cursor.Tenant]; !has {
			t := l.tenant(cursor.Tenant)
			t.head = t.position
			l.note(cursor.Tenant, t)
		}
	}
}

// gather says when to read again, after these pages. One that is full has more behind it.
func (l *Loop) gather(pages []eventstore.Page, limit int) {
	if l.params.Gather == 0 {
		return
	}
	pause := max(l.params.Gather, passPause)
	for _, page := range pages {
		switch {
		case len(page.Events) >= limit:
			return
		case len(page.Events) > 0:
			pause = l.params.Gather
		}
	}
	if len(pages) > 0 {
		l.look = time.Now().Add(pause)
	}
}

// start hands tasks to a worker. The channel has room for every worker, so none waits to report.
func (l *Loop) start(ctx context.Context, tasks []Task) {
	for i := range tasks {
		tasks[i].Head = l.tenant(tasks[i].Page.Tenant).head
	}
	l.busy++
	l.workers.Go(func() {
		var all []Outcome
		if len(tasks) > 1 {
			all = l.work.Pass(ctx, tasks)
		} else {
			all = []Outcome{l.work.Handle(ctx, tasks[0])}
		}
		for i := range all {
			all[i].Task = tasks[i]
		}
		l.outcomes <- all
	})
}
