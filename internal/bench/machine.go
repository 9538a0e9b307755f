package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
)

// machine is what the numbers depend on.
type machine struct {
	Cores    int    `json:"cores"`
	CPU      string `json:"cpu"`
	Memory   string `json:"memory"`
	System   string `json:"system"`
	Go       string `json:"go"`
	Postgres string `json:"postgres"`
	Fsync    string `json:"fsync"`
	Commit   string `json:"synchronous_commit"`
	Buffers  string `json:"shared_buffers"`
}

// look asks the machine and its PostgreSQL.
func look(ctx context.Context, adminURL string) (machine, error) {
	m := machine{
		Cores: runtime.NumCPU(), CPU: field("/proc/cpuinfo", "model name"), Memory: field("/proc/meminfo", "MemTotal"),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return m, fmt.Errorf("connect as the superuser: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const query = `select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
		current_setting('shared_buffers')`
	err = conn.QueryRow(ctx, query).Scan(&m.Postgres, &m.Fsync, &m.Commit, &m.Buffers)
	if err != nil {
		return m, fmt.Errorf("read the server's settings: %w", err)
	}
	return m, nil
}

// field is the first value of a name in a file of Linux's; "unknown" elsewhere.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores of %s, %s of memory, %s, %s, PostgreSQL %s with fsync %s, synchronous_commit %s, shared_buffers %s; "+
		"server and clients on this machine.",
		m.Cores, m.CPU, m.Memory, m.System, m.Go, m.Postgres, m.Fsync, m.Commit, m.Buffers)
}
