package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"phantom/api/client"
)

const (
	probeLimit = 5 * time.Second
	maxSkew    = 5 * time.Second
	leastDisk  = 1 << 30 // bytes
)

// finding is what a look at one part says. Status is the exit status that it asks for.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning, bad
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`

	status int
}

func fine(check, format string, args ...any) finding {
	return finding{Check: check, State: "ok", Detail: fmt.Sprintf(format, args...)}
}

func (p *program) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look at every part, and say what to do", Args: takes(0, 0, ""),
		RunE: p.does(func(ctx context.Context, _ []string) error {
			findings := p.examine(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := p.report(findings); err != nil {
				return err
			}
			return worst(findings)
		}),
	}
}

// examine looks at every part, each on its own: one that is away hides no other.
func (p *program) examine(ctx context.Context) []finding {
	findings := p.lookAtAPI(ctx)
	for _, look := range []func(context.Context) finding{
		p.lookAtDatabase, p.lookAtWorker, p.lookAtGateway, p.lookAtTemporal, p.lookAtDisk,
	} {
		limited, cancel := context.WithTimeout(ctx, probeLimit)
		findings = append(findings, look(limited))
		cancel()
	}
	return findings
}

func (p *program) report(findings []finding) error {
	if p.json() {
		raw, err := json.Marshal(findings)
		if err != nil {
			return err
		}
		return p.print(raw)
	}
	rows := make([][]string, len(findings))
	for i, f := range findings {
		rows[i] = []string{f.Check, f.State, f.Detail, f.Advice}
	}
	p.table([]string{"CHECK", "STATE", "WHAT IS SEEN", "WHAT TO DO"}, rows)
	return nil
}

// worst is the error of what is bad: a server that is away before all else. A warning is none.
func worst(findings []finding) error {
	var bad []string
	status := exitFailed
	for _, f := range findings {
		if f.State == "bad" {
			bad = append(bad, f.Check)
			status = max(status, f.status)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &failure{status, "not well: " + strings.Join(bad, ", ")}
}

// lookAtAPI asks for the API's description: it names the server's version, and the answer its clock.
func (p *program) lookAtAPI(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	began := p.now()
	response, err := p.api.Stream(ctx, client.Request{Path: "/openapi.json"})
	if err != nil {
		return []finding{away("API", err, "`make up` starts one; --url or PHANTOM_URL names another")}
	}
	defer response.Body.Close()
	var description struct {
		Info struct {
			Title   string `json:"title"`
			Version string `json:"version"`
		} `json:"info"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&description)
	if err != nil || description.Info.Title != "Phantom" {
		return []finding{{
			Check: "API", State: "bad", Detail: "something else than Phantom answers at " + p.api.URL,
			Advice: "--url or PHANTOM_URL names Phantom's address", status: exitUnreachable,
		}}
	}
	return []finding{
		fine("API", "%s, version %s", p.api.URL, description.Info.Version),
		versions(description.Info.Version), skew(response.Header.Get("Date"), began, p.now()),
	}
}

func versions(server string) finding {
	if server == version {
		return fine("versions", "phantom and its server are both %s", version)
	}
	return finding{
		Check: "versions", State: "warning", Detail: "phantom is " + version + ", the server " + server,
		Advice: "`make build` builds both; restart the server",
	}
}

// skew compares the clocks. The server's is told in whole seconds.
func skew(date string, began, ended time.Time) finding {
	at, err := http.ParseTime(date)
	if err != nil {
		return finding{Check: "clock", State: "warning", Detail: "the server tells no time"}
	}
	var apart time.Duration
	switch {
	case at.Add(time.Second).Before(began):
		apart = began.Sub(at.Add(time.Second))
	case at.After(ended):
		apart = at.Sub(ended)
	}
	if apart > maxSkew {
		return finding{
			Check: "clock", State: "warning", Detail: "this machine and the server are " + apart.Round(time.Second).String() + " apart",
			Advice: "synchronise the clocks (NTP): times of events are the server's",
		}
	}
	return fine("clock", "at most %s from the server's", (apart + time.Second).Round(time.Second))
}

// lookAtDatabase reads a model list: schema, role and read models must be well for it.
func (p *program) lookAtDatabase(ctx context.Context) finding {
	err := p.api.Do(ctx, client.Request{Path: "/api/v1/models", Query: map[string][]string{"limit": {"1"}}}, nil)
	if err != nil {
		return away("database", err, "see the worker's log; `phantom-worker migrate status` shows the schema")
	}
	return fine("database", "read models answer")
}

// lookAtWorker asks which roles do not serve yet.
func (p *program) lookAtWorker(ctx context.Context) finding {
	address := p.cfg.MetricsAddr
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	base := "http://" + address
	if stack, err := p.stack(); err == nil && stack.Phantom.MetricsURL != "" {
		base = strings.TrimSuffix(stack.Phantom.MetricsURL, "/")
	}
	status, body, err := probe(ctx, base+"/readyz")
	switch {
	case err != nil:
		// Operators may keep that address to themselves, so it is no failure.
		return finding{
			Check: "worker", State: "warning", Detail: base + " does not answer: " + err.Error(),
			Advice: "PHANTOM_METRICS_ADDR names the worker's; `make up` starts one",
		}
	case status != http.StatusOK:
		return finding{
			Check: "worker", State: "bad", Detail: "not ready: " + oneLine(strings.TrimSpace(body)),
			Advice: "wait, or see the worker's log", status: exitUnreachable,
		}
	}
	return fine("worker", "ready, %s", base)
}

func (p *program) lookAtGateway(ctx context.Context) finding {
	base := p.gateway("")
	status, _, err := probe(ctx, base+"/v2/health/ready")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d: it does not know the latest routes yet", base, status)
	}
	if err != nil {
		return away("gateway", err, "`make up` starts one; PHANTOM_GATEWAY_ADDR names another")
	}
	return fine("gateway", "ready, %s", base)
}

func (p *program) lookAtDisk(context.Context) finding {
	free, err := freeDisk(p.folder)
	switch {
	case err != nil:
		return finding{Check: "disk", State: "warning", Detail: err.Error()}
	case free < leastDisk:
		return finding{
			Check: "disk", State: "warning", Detail: humanize.IBytes(free) + " free here",
			Advice: "make room: data and artifacts of a private stack lie in .phantom",
		}
	}
	return fine("disk", "%s free here", humanize.IBytes(free))
}

// away is the finding of a server that does not do its part.
func away(check string, err error, advice string) finding {
	status, line := explain(err)
	if errors.Is(err, context.DeadlineExceeded) {
		line = "no answer within " + probeLimit.String()
	} else if errors.Is(err, client.ErrUnreachable) {
		line = oneLine(err.Error())
	}
	return finding{Check: check, State: "bad", Detail: line, Advice: advice, status: max(status, exitUnreachable)}
}

// probe gets a small text.
func probe(ctx context.Context, address string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return 0, "", ctx.Err()
		}
		return 0, "", fmt.Errorf("%s: %w", address, errors.Unwrap(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return response.StatusCode, string(text), err
}
