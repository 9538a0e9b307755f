package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of a target's answer, in bytes.
const maxAnswer = 64 << 20

var errTooLong = errors.New("the answer is too long")

// forwarder sends requests to targets.
type forwarder struct {
	kept  *http.Client // keeps its connections
	fresh *http.Client // opens one for each request
	token string       // shown to targets, unless empty
}

func newForwarder(token string) *forwarder {
	dial := (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return &forwarder{
		token: token,
		kept: &http.Client{Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: 512, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		}},
		fresh: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}},
	}
}

func (f *forwarder) close() { f.kept.CloseIdleConnections() }

// send makes a request and reads the answer. When the connection fails before the first byte of an answer,
// it is made once more on a connection of its own: an inference changes nothing, so a repeat is harmless.
func (f *forwarder) send(ctx context.Context, method, address string, body []byte) (status int, answer []byte, err error) {
	var begun atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { begun.Store(true) }})
	status, answer, err = f.once(traced, f.kept, method, address, body)
	if err == nil || begun.Load() || ctx.Err() != nil {
		return status, answer, err
	}
	return f.once(ctx, f.fresh, method, address, body)
}

func (f *forwarder) once(ctx context.Context, client *http.Client, method, address string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if f.token != "" {
		request.Header.Set("Authorization", "Bearer "+f.token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() // It was read to its end, or is of no use.
	var answer bytes.Buffer
	if response.ContentLength > 0 && response.ContentLength <= maxAnswer {
		answer.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	if _, err := answer.ReadFrom(io.LimitReader(response.Body, maxAnswer+1)); err != nil {
		return 0, nil, err
	}
	if answer.Len() > maxAnswer {
		return 0, nil, errTooLong
	}
	return response.StatusCode, answer.Bytes(), nil
}
