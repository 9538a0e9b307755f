package follow

import (
	"context"
	"maps"
	"slices"
	"time"

	"phantom/eventstore"
)

// tenantsMost is how many tenants one call reads at most.
const tenantsMost = 500

// dispatch gives tenants with news to free workers, and reads ahead when pages are short of them.
func (l *Loop) dispatch(ctx context.Context) error {
	if len(l.ready) < l.params.Workers-l.busy {
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

// read reads many tenants in one call, but never more events than all workers together may have in their hands. Tenants
// that share a limit are read in one call.
func (l *Loop) read(ctx context.Context) error {
	cursors := map[int][]eventstore.Cursor{}
	events, tenants, now := int64(l.params.Workers)*int64(l.params.Batch), tenantsMost, time.Now()
	for name := range l.behind { // in random order, so nobody is always last
		if events <= 0 || tenants == 0 {
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
	}
	return nil
}

// queue keeps the pages for workers. A tenant without one is not behind, whatever the news were.
func (l *Loop) queue(asked []eventstore.Cursor, pages []eventstore.Page) {
	found := make(map[string]struct{}, len(pages))
	for _, page := range pages {
		t := l.tenant(page.Tenant)
		if page.Through <= t.position && page.Err == nil {
			continue
		}
		found[page.Tenant] = struct{}{}
		t.busy, t.head = true, max(t.head, page.Through)
		l.ready = append(l.ready, Task{After: t.position, Page: page})
	}
	for _, cursor := range asked {
		if _, has := found[cursor.Tenant]; !has {
			t := l.tenant(cursor.Tenant)
			t.head = t.position
			l.note(cursor.Tenant, t)
		}
	}
}

// start hands a task to a worker. The channel has room for every worker, so none waits to report.
func (l *Loop) start(ctx context.Context, task Task) {
	task.Head = l.tenant(task.Page.Tenant).head
	l.busy++
	l.workers.Go(func() {
		done := l.work.Handle(ctx, task)
		done.Task = task
		l.outcomes <- done
	})
}
