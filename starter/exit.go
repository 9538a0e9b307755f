package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"phantom/api/client"
)

// The exit statuses: the only place that names them.
const (
	exitDone        = 0
	exitFailed      = 1   // the job ran and failed, was rejected or rolled back
	exitUsage       = 2   // wrong usage, or input that the server refuses
	exitNotFound    = 3   // a model, version, job, rollout or saga that is not there
	exitConflict    = 4   // a conflict, or not allowed in this state
	exitUnreachable = 5   // a server cannot be reached, or does not answer now
	exitForbidden   = 6   // not permitted
	exitInterrupted = 130 // Ctrl-C: 128 + SIGINT, as shells have it; what was started goes on
)

// exitHelp is what `phantom --help` says of them.
const exitHelp = `Exit status: 0 done, 1 the job ran and failed, was rejected or rolled back, 2 wrong usage,
3 not found, 4 conflict or not allowed in this state, 5 a server cannot be reached, 6 not permitted,
130 interrupted (Ctrl-C on a wait detaches: the work goes on).`

// failure is an error that knows its exit status. Without text nothing is printed: it has been said.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func usagef(format string, args ...any) error {
	return &failure{exitUsage, fmt.Sprintf(format, args...)}
}

// explain turns an error into the exit status and the one line that a person reads.
func explain(err error) (status int, line string) {
	switch {
	case err == nil:
		return exitDone, ""
	case errors.Is(err, context.Canceled):
		return exitInterrupted, "interrupted"
	}
	if own, ok := errors.AsType[*failure](err); ok {
		return own.status, oneLine(own.text)
	}
	if problem, ok := errors.AsType[*client.Problem](err); ok {
		status = statusOf(problem)
		return status, oneLine(problem.Error() + advice(problem, status))
	}
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable, oneLine(err.Error() + "; start one with `make up`, or name another with --url or PHANTOM_URL")
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable, "the server did not answer in time; `phantom doctor` looks at every part"
	}
	return exitFailed, oneLine(err.Error())
}

// statusOf goes by the problem's code, and by the HTTP status where a proxy answered without one.
func statusOf(p *client.Problem) int {
	switch p.Code {
	case "malformed", "invalid_input", "too_large":
		return exitUsage
	case "not_found":
		return exitNotFound
	case "already_exists", "invalid_state", "conflict", "precondition_failed", "idempotency_mismatch":
		return exitConflict
	case "unauthenticated", "forbidden":
		return exitForbidden
	case "too_many_requests", "unavailable":
		return exitUnreachable
	}
	return statusOfHTTP(p.Status)
}

func statusOfHTTP(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitForbidden
	case http.StatusNotFound, http.StatusGone:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnreachable
	}
	return exitFailed
}

// advice says what to do next where the server's words do not. A 404 without a code is no answer of
// Phantom's: something else listens there.
func advice(p *client.Problem, status int) string {
	switch {
	case p.Code == "" && status == exitNotFound:
		return "; is that address Phantom's? --url or PHANTOM_URL names it"
	case status == exitNotFound:
		what, _, _ := strings.Cut(p.Detail, " ")
		return map[string]string{
			"model":    "; `phantom model list` shows those there are",
			"version":  "; `phantom model versions MODEL` shows those there are",
			"alias":    "; `phantom alias list MODEL` shows those there are",
			"training": "; `phantom training list` shows those there are",
			"rollout":  "; `phantom rollout list` shows those there are",
			"saga":     "; Temporal forgets ended sagas, `phantom training list` and `phantom rollout list` do not",
		}[what]
	case status == exitForbidden:
		return "; PHANTOM_API_KEY names the key to use"
	case p.Code == "already_exists":
		return "; an id is never used again: choose another"
	case status == exitUnreachable && !strings.Contains(p.Detail, "again"):
		return "; try again, or let `phantom doctor` look"
	}
	return ""
}

// oneLine keeps what was said, and nothing that moves a terminal's cursor.
func oneLine(text string) string {
	return clean(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
}
