package follow

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"phantom/eventstore"
)

// passPause is how long to gather after pages of positions to pass.
const passPause = 50 * time.Millisecond

// tenantsMost is how many tenants one call reads at most.
const tenantsMost = 500

// dispatch gives tenants with news to free workers, and reads ahead when pages are short of them.
func (l *Loop) dispatch(ctx context.Context) error {
	l.employ(ctx)
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
	l.employ(ctx)
	return nil
}

// employ gives what is ready to free workers.
func (l *Loop) employ(ctx context.Context) {
	for len(l.ready) > 0 && l.busy < l.params.Workers {
		l.start(ctx, l.ready[0])
		l.ready = l.ready[1:]
	}
}

// idle tells whether a worker would have nothing to do.
func (l *Loop) idle() bool { return len(l.ready) < l.params.Workers-l.busy }

// read reads many tenants in one call, but never more events than all workers together may have in their hands. Tenants
// that share a limit are read in one call. Of a tenant with a full page in hand it reads the next one meanwhile.
func (l *Loop) read(ctx context.Context) error {
	cursors := map[int][]eventstore.Cursor{}
	events, tenants, now := int64(l.params.Workers)*int64(l.params.Batch), tenantsMost, time.Now()
	for name := range l.behind { // in random order, so nobody is always last
		if events <= 0 || tenants == 0 {
			l.woken = true
			break
		}
		t := l.tenants[name]
		after := t.position
		switch {
		case t.busy && t.more:
			after = t.through
		case t.busy, now.Before(t.retryAt):
			continue
		}
		cursors[t.limit] = append(cursors[t.limit], eventstore.Cursor{Tenant: name, After: after})
		events -= min(t.head-t.position, int64(t.limit))
		tenants--
	}
	var found yield
	for _, limit := range slices.Sorted(maps.Keys(cursors)) {
		pages, err := l.work.Read(ctx, cursors[limit], limit)
		if err != nil {
			return err
		}
		l.queue(cursors[limit], pages)
		found.add(pages, limit)
	}
	l.gather(found)
	return nil
}

// queue keeps the pages for workers. A tenant without a page is not behind, whatever the news were.
func (l *Loop) queue(asked []eventstore.Cursor, pages []eventstore.Page) {
	found := make(map[string]struct{}, len(pages))
	var passing, joined []Task
	for _, page := range pages {
		t := l.tenant(page.Tenant)
		if t.busy {
			if page.Through > t.through && page.Err == nil {
				l.prepare(t, Task{After: t.through, Page: page})
			}
			continue
		}
		if page.Through <= t.position && page.Err == nil {
			continue
		}
		found[page.Tenant] = struct{}{}
		task := Task{After: t.position, Page: page}
		l.take(t, task)
		switch {
		case t.apart || page.Err != nil:
			l.ready = append(l.ready, []Task{task})
		case len(page.Events) == 0:
			passing = append(passing, task)
		default:
			joined = append(joined, task)
		}
	}
	l.pieces(passing, len(passing))
	l.pieces(joined, l.params.Together)
	for _, cursor := range asked {
		t := l.tenant(cursor.Tenant)
		switch _, has := found[cursor.Tenant]; {
		case has:
		case t.busy:
			t.more = false // it is read, if there was any
		default:
			t.head = t.position
			l.note(cursor.Tenant, t)
		}
	}
}

// prepare keeps the page that follows the one that a tenant is busy with.
func (l *Loop) prepare(t *tenant, next Task) {
	t.ahead = &next
	if l.params.Prepare == nil {
		return
	}
	task := next
	next.Prepared = sync.OnceValue(func() any { return l.params.Prepare(task) })
	l.workers.Go(func() { next.Prepared() })
}

// take marks a tenant whose page is in hand.
func (l *Loop) take(t *tenant, task Task) {
	t.busy, t.through, t.head = true, task.Page.Through, max(t.head, task.Page.Through)
	t.more = len(task.Page.Events) >= t.limit && t.head > t.through
	l.woken = l.woken || t.more
}

// pieces queues tasks in pieces of so many tenants at most. In the order of their names: two runners never wait for each other.
func (l *Loop) pieces(tasks []Task, tenants int) {
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(a.Page.Tenant, b.Page.Tenant) })
	for len(tasks) > 0 {
		n, events := 1, len(tasks[0].Page.Events)
		for n < min(tenants, len(tasks)) && events+len(tasks[n].Page.Events) <= l.params.Batch {
			events += len(tasks[n].Page.Events)
			n++
		}
		l.ready = append(l.ready, tasks[:n:n])
		tasks = tasks[n:]
	}
}

// yield is what a look has brought.
type yield struct {
	pages  int
	events int
	full   bool // there is more behind one of the pages
}

func (y *yield) add(pages []eventstore.Page, limit int) {
	y.pages += len(pages)
	for _, page := range pages {
		y.events += len(page.Events)
		y.full = y.full || len(page.Events) >= limit
	}
}

// gather says when to read again.
func (l *Loop) gather(found yield) {
	switch {
	case l.params.Gather == 0 || found.full || found.pages == 0:
	case found.events > 0:
		l.look = time.Now().Add(l.params.Gather)
	default:
		l.look = time.Now().Add(max(l.params.Gather, passPause))
	}
}

// start hands tasks to a worker. The channel has room for every worker, so none waits to report.
func (l *Loop) start(ctx context.Context, tasks []Task) {
	for i := range tasks {
		tasks[i].Head = l.tenant(tasks[i].Page.Tenant).head
	}
	l.busy++
	l.workers.Go(func() {
		all := l.work.Handle(ctx, tasks)
		for i := range all {
			all[i].Task = tasks[i]
		}
		l.outcomes <- all
	})
}
