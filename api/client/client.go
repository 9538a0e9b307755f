// Package client speaks Phantom's HTTP API.
//
// What it promises: an answer that is no success is a *Problem with the server's code; a server that
// cannot be reached is ErrUnreachable. Bodies are passed on as they are, so that a caller that prints
// JSON prints exactly the API's object.
//
// What it does not: it retries nothing; it knows paths and bodies no better than its caller.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// ErrUnreachable says that no server answered.
var ErrUnreachable = errors.New("the Phantom API cannot be reached")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Client calls one API as one tenant. The zero value of every field but URL is fine.
type Client struct {
	URL    string // http://127.0.0.1:8300
	APIKey string // sent as a bearer token
	Tenant string // header Phantom-Tenant; beside an APIKey, which must then be of that tenant
	Actor  string // header Phantom-Actor, for servers without authentication
	HTTP   *http.Client
}

// Problem is an RFC 9457 answer.
type Problem struct {
	Type   string          `json:"type,omitempty"`
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Detail string          `json:"detail"`
	Code   string          `json:"code"`
	Errors []ProblemDetail `json:"errors,omitempty"`
}

// ProblemDetail names one bad field by JSON pointer.
type ProblemDetail struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	fields := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		fields[i] = strings.TrimPrefix(e.Pointer+": ", ": ") + e.Detail
	}
	return strings.Join(fields, "; ")
}

// Request is one call. Query, Body and Header may be nil.
type Request struct {
	Method string // GET when empty
	Path   string // begins with /
	Query  url.Values
	Body   any // encoded as JSON; an io.Reader is sent as it is, and Header names its Content-Type
	Header http.Header
}

// Do calls the API and decodes the answer into out, when out is not nil; *json.RawMessage takes it as
// it is. Errors are ErrUnreachable, *Problem, or that of the context.
func (c *Client) Do(ctx context.Context, r Request, out any) error {
	response, err := c.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %s broke off: %w", ErrUnreachable, c.URL, err)
	}
	if out == nil || len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("reading the answer of %s %s: %w", response.Request.Method, r.Path, err)
	}
	return nil
}

// Stream calls the API and leaves the body of a successful answer to the caller, who closes it.
func (c *Client) Stream(ctx context.Context, r Request) (*http.Response, error) {
	request, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	caller := c.HTTP
	if caller == nil {
		caller = http.DefaultClient
	}
	response, err := caller.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.URL, errors.Unwrap(err))
	}
	if response.StatusCode >= http.StatusBadRequest {
		defer response.Body.Close()
		return nil, problem(response)
	}
	return response, nil
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if raw, ok := r.Body.(io.Reader); ok {
		body = raw
	} else if r.Body != nil {
		encoded, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request to %s: %w", r.Path, err)
		}
		body = bytes.NewReader(encoded)
	}
	address := strings.TrimSuffix(c.URL, "/") + r.Path
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("the address %s: %w", address, err)
	}
	maps.Copy(request.Header, r.Header)
	if body != nil && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	c.identify(request.Header)
	return request, nil
}

func (c *Client) identify(header http.Header) {
	if c.APIKey != "" {
		header.Set("Authorization", "Bearer "+c.APIKey)
	}
	if c.Tenant != "" {
		header.Set("Phantom-Tenant", c.Tenant)
	}
	if c.APIKey == "" && c.Actor != "" {
		header.Set("Phantom-Actor", c.Actor)
	}
}

// problem reads a failed answer; one that is no problem+json (a proxy's page) keeps its status.
func problem(response *http.Response) *Problem {
	p := &Problem{Status: response.StatusCode}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || json.Unmarshal(body, p) != nil || p.Detail == "" && p.Title == "" {
		p.Detail = "the server answered " + response.Status
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	p.Status = response.StatusCode
	return p
}
