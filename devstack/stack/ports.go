package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"phantom/internal/config"
)

// ports of one stack.
type ports struct {
	Postgres    int `json:"postgres"`
	Temporal    int `json:"temporal"`
	TemporalUI  int `json:"temporal_ui"`
	API         int `json:"api"`
	Gateway     int `json:"gateway"`
	ModelServer int `json:"model_server"`
	Metrics     int `json:"metrics"`
}

func (p *ports) each() []*int {
	return []*int{&p.Postgres, &p.Temporal, &p.TemporalUI, &p.API, &p.Gateway, &p.ModelServer, &p.Metrics}
}

// choosePorts prefers those of the last start, then the defaults, then any that is free. A scratch
// stack takes any that is free. An address that the user gave is taken as it is.
func choosePorts(ctx context.Context, opts Options, cfg config.Config) (ports, error) {
	preferred := ports{Postgres: 15432, Temporal: 7233, TemporalUI: 8233}
	preferred.API, preferred.Gateway = portOf(cfg.APIAddr), portOf(cfg.GatewayAddr)
	preferred.ModelServer, preferred.Metrics = portOf(cfg.ModelServerAddr), portOf(cfg.MetricsAddr)
	path := filepath.Join(opts.State, "ports.json")
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &preferred) // a broken file costs a preference only
	}
	if opts.Scratch {
		preferred = ports{}
	}
	chosen, err := preferred.free(ctx)
	if err != nil {
		return ports{}, err
	}
	return chosen, writeJSON(path, chosen)
}

// free holds every port until all are chosen, so that none is chosen twice.
func (p ports) free(ctx context.Context) (ports, error) {
	for _, port := range p.each() {
		listener, err := listenNear(ctx, *port)
		if err != nil {
			return ports{}, err
		}
		defer listener.Close() // all are held until the last is chosen
		*port = portOf(listener.Addr().String())
	}
	return p, nil
}

// listenNear takes the preferred port, else any below the range from which the system takes the ports
// of outgoing connections: one of those could take it again before the part does.
func listenNear(ctx context.Context, preferred int) (net.Listener, error) {
	const lowest, highest, tries = 20000, 32000, 200
	var listen net.ListenConfig
	var last error
	for range tries {
		if preferred != 0 {
			listener, err := listen.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(preferred)))
			if err == nil {
				return listener, nil
			}
			last = err
		}
		preferred = lowest + rand.IntN(highest-lowest)
	}
	return nil, errors.Join(fmt.Errorf("find a free port between %d and %d", lowest, highest), last)
}

func portOf(address string) int {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return port
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
