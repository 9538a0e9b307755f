package stack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"phantom/internal/config"
)

// planTemporal finds the development server and tells where it will be. Its SQLite file carries the
// server's version in its name, since the server never migrates it.
func (s *Stack) planTemporal(ctx context.Context, free ports) error {
	program, err := s.findTemporal(ctx)
	if err != nil {
		return err
	}
	s.told.Temporal = config.StackTemporal{
		Address:   local(free.Temporal),
		Namespace: "default",
		UIURL:     "http://" + local(free.TemporalUI),
		CLI:       program.path,
	}
	args := []string{
		"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(free.Temporal),
		"--db-filename", filepath.Join(s.opts.State, "temporal-"+program.server+".db"),
		"--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL",
		"--dynamic-config-value", "matching.numTaskqueueReadPartitions=1",
		"--dynamic-config-value", "matching.numTaskqueueWritePartitions=1",
		"--dynamic-config-value", "system.enableActivityEagerExecution=true",
		"--log-level", "warn",
	}
	if s.opts.Scratch {
		args = append(args, "--headless")
		s.told.Temporal.UIURL = ""
	} else {
		args = append(args, "--ui-ip", "127.0.0.1", "--ui-port", strconv.Itoa(free.TemporalUI))
	}
	s.parts = append(s.parts, &part{
		name:    "temporal",
		address: s.told.Temporal.Address,
		log:     filepath.Join(s.opts.State, "logs", "temporal.log"),
		command: func() *exec.Cmd { return exec.Command(program.path, args...) }, //nolint:noctx // stopped by signal, in order
		probe:   temporalServes(s.told.Temporal),
		stopBy:  syscall.SIGTERM,
		dieBy:   syscall.SIGKILL,
		grace:   20 * time.Second,
	})
	return nil
}

// temporalServes asks for the namespace: the frontend answers before it knows any.
func temporalServes(at config.StackTemporal) func(context.Context) error {
	return func(ctx context.Context) error {
		temporal, err := client.DialContext(ctx, client.Options{HostPort: at.Address, Namespace: at.Namespace, Logger: silent{}})
		if err != nil {
			return err
		}
		defer temporal.Close()
		_, err = temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: at.Namespace})
		if err != nil {
			return fmt.Errorf("ask Temporal for namespace %s: %w", at.Namespace, err)
		}
		return nil
	}
}

// silent drops what the SDK says while a server starts.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
