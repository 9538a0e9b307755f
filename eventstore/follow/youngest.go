package follow

import (
	"context"
	"time"
)

// begin takes over and learns where every tenant stands.
func (l *Loop) begin(ctx context.Context) error {
	places, err := l.work.Begin(ctx)
	if err != nil {
		return err
	}
	for _, t := range l.tenants {
		t.position = 0
	}
	for _, at := range places {
		l.tenant(at.Tenant).position = at.Position
	}
	for name, t := range l.tenants {
		l.note(name, t)
	}
	l.running, l.beaten = true, time.Now()
	return nil
}

func (l *Loop) beat() time.Duration { return l.params.Takeover / 3 }

// live says that the runner lives, and stands back when there is a younger one.
func (l *Loop) live(ctx context.Context) error {
	youngest, err := l.work.Beat(ctx)
	if err != nil {
		return err
	}
	l.beaten = time.Now()
	if !youngest {
		l.standBack()
	}
	return nil
}

// standBack leaves the work to a younger runner. What workers have begun ends by compare-and-set.
func (l *Loop) standBack() {
	for _, tasks := range l.ready {
		for _, task := range tasks {
			l.tenant(task.Page.Tenant).busy = false
		}
	}
	for _, t := range l.tenants {
		t.more, t.ahead = false, nil
	}
	l.ready, l.running, l.standing, l.beaten = nil, false, true, time.Now()
}

// watch begins again when the younger runner has left or is silent.
func (l *Loop) watch(ctx context.Context) error {
	if time.Since(l.beaten) < l.beat() || l.busy > 0 {
		return nil
	}
	deserted, err := l.work.Deserted(ctx, l.params.Takeover)
	if err != nil {
		return err
	}
	l.beaten = time.Now()
	l.standing = !deserted
	return nil
}
