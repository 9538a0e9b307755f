package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// endStray ends a server on this cluster's data that this stack did not start, as `pg_ctl restart` leaves
// one behind. It answers for the cluster at the old address, outlives the stack, and keeps a new one from
// starting.
func (c *postgres) endStray(ctx context.Context) error {
	pid, port, found, err := c.postmaster()
	if err != nil || !found {
		return err
	}
	if mine, err := c.servesAt(ctx, port); err != nil || !mine {
		return nil //nolint:nilerr // the file is a dead server's: nobody answers there, or somebody else
	}
	if err := end(Identify(pid), syscall.SIGINT, 30*time.Second); err != nil {
		return fmt.Errorf("end the PostgreSQL that was started on %s by other means: %w", c.data, err)
	}
	return nil
}

// postmaster reads what the last server on the data said of itself: its process and its port.
func (c *postgres) postmaster() (pid, port int, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("look for a server on the PostgreSQL data: %w", err)
	}
	const portLine = 3
	lines := strings.Split(string(text), "\n")
	if len(lines) <= portLine {
		return 0, 0, false, nil // it is just starting, or died at it
	}
	pid, pidErr := strconv.Atoi(strings.TrimSpace(lines[0]))
	port, portErr := strconv.Atoi(strings.TrimSpace(lines[portLine]))
	return pid, port, pidErr == nil && portErr == nil && pid > 0, nil
}

// servesAt asks the server at a port whose data it serves: the number of a dead process may belong to
// anybody by now.
func (c *postgres) servesAt(ctx context.Context, port int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	at := *c
	at.port = port
	conn, err := pgx.Connect(ctx, at.url(adminRole, c.secrets.Admin, "postgres"))
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	var folder string
	if err := conn.QueryRow(ctx, "show data_directory").Scan(&folder); err != nil {
		return false, err
	}
	theirs, err := os.Stat(folder)
	if err != nil {
		return false, err
	}
	ours, err := os.Stat(c.data)
	return err == nil && os.SameFile(theirs, ours), err
}
