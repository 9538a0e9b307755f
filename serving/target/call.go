package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds what is read of a server's answer, in bytes.
const maxAnswer = 64 << 20

// RefusedError is an ErrRefused with the server's HTTP status and words.
type RefusedError struct {
	Status int
	Reason string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Reason, e.Status) }

// Unwrap makes a RefusedError an ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// call sends body as JSON, if any, and reads the answer into result, if any.
func (t *Target) call(ctx context.Context, method, path string, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%w: the request has no JSON form: %w", ErrRefused, err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, t.base+path, content)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if t.token != "" {
		request.Header.Set("Authorization", "Bearer "+t.token)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer response.Body.Close() // It was read, or nobody wants it.
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: the answer broke off: %w", ErrUnavailable, err)
	}
	if response.StatusCode != http.StatusOK {
		return judge(response.StatusCode, text)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("%w: the answer is not the protocol's: %w", ErrUnavailable, err)
	}
	return nil
}

// judge tells a refusal from trouble: a 4xx is about the model or the request, but for those that ask to
// come again; anything else is about the server.
func judge(status int, text []byte) error {
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &body) != nil || body.Error == "" {
		body.Error = http.StatusText(status)
	}
	again := status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status == http.StatusTooEarly
	if status >= 400 && status < 500 && !again {
		return &RefusedError{Status: status, Reason: body.Error}
	}
	return fmt.Errorf("%w: %s (HTTP %d)", ErrUnavailable, body.Error, status)
}
