package main

import (
	"context"
	"fmt"

	"go.temporal.io/api/workflowservice/v1"
	temporal "go.temporal.io/sdk/client"

	"phantom/internal/config/temporalenv"
)

// leastTemporal is the oldest minor version of a 1.x server with the updates and details that the
// sagas use.
const leastTemporal = 29

// lookAtTemporal asks the server itself: the API may be well while its Temporal is not.
func (p *program) lookAtTemporal(ctx context.Context) finding {
	options, err := temporalenv.Options(p.cfg, p.environ)
	if err != nil {
		return finding{Check: "Temporal", State: "bad", Detail: err.Error(), Advice: "see TEMPORAL_*", status: exitUsage}
	}
	options.Logger = silent{}
	server, err := temporal.NewLazyClient(options)
	if err != nil {
		return finding{Check: "Temporal", State: "bad", Detail: err.Error(), Advice: "see TEMPORAL_*", status: exitUsage}
	}
	defer server.Close()
	seen, err := server.WorkflowService().GetClusterInfo(ctx, &workflowservice.GetClusterInfoRequest{})
	if err != nil {
		return away("Temporal", fmt.Errorf("%s does not answer: %w", options.HostPort, err), "`make up` starts one; TEMPORAL_ADDRESS names another")
	}
	if _, err := server.CheckHealth(ctx, &temporal.CheckHealthRequest{}); err != nil {
		return away("Temporal", fmt.Errorf("%s is not well: %w", options.HostPort, err), "see the server's log")
	}
	if tooOld(seen.GetServerVersion()) {
		return finding{
			Check: "Temporal", State: "bad", Detail: options.HostPort + " runs version " + seen.GetServerVersion(),
			Advice: "sagas need server 1.29 or later", status: exitFailed,
		}
	}
	return fine("Temporal", "%s, namespace %s, version %s", options.HostPort, options.Namespace, seen.GetServerVersion())
}

// tooOld goes by a version like 1.29.1; one that reads otherwise is taken at its word.
func tooOld(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 1 || major == 1 && minor < leastTemporal
}

// silent keeps the Temporal client from talking over the table.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
