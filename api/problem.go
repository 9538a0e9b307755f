package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"phantom/domain"
	"phantom/projection"
)

// Code is the machine-readable kind of a problem.
type Code string

// The codes of problems; each has one HTTP status.
const (
	CodeMalformed           Code = "malformed"
	CodeInvalidInput        Code = "invalid_input"
	CodeUnauthenticated     Code = "unauthenticated"
	CodeForbidden           Code = "forbidden"
	CodeNotFound            Code = "not_found"
	CodeAlreadyExists       Code = "already_exists"
	CodeInvalidState        Code = "invalid_state"
	CodeConflict            Code = "conflict"
	CodePreconditionFailed  Code = "precondition_failed"
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	CodeTooLarge            Code = "too_large"
	CodeTooManyRequests     Code = "too_many_requests"
	CodeUnavailable         Code = "unavailable"
	CodeAsOfNotSupported    Code = "as_of_not_supported"
	CodeInternal            Code = "internal"
)

// Problem is an RFC 9457 answer. It never carries SQL, a driver's words or a value of the data.
type Problem struct {
	Type   string         `json:"type" doc:"A URI for the kind of problem"`
	Title  string         `json:"title" doc:"The kind of problem in words"`
	Status int            `json:"status"`
	Detail string         `json:"detail" doc:"What is wrong here, and what to do next"`
	Code   Code           `json:"code"`
	Errors []ProblemField `json:"errors,omitempty" doc:"The bad fields"`

	retryAfter int // seconds; 0 says nothing
}

// ProblemField names one bad field by JSON pointer (RFC 6901); a header or query parameter by its name.
type ProblemField struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	headers := http.Header{}
	if p.retryAfter > 0 {
		headers.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized { // RFC 9110, section 15.5.2
		headers.Set("WWW-Authenticate", `Bearer realm="phantom"`)
	}
	return headers
}

func problem(status int, code Code, detail string, fields ...ProblemField) *Problem {
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code, Errors: fields,
	}
	if status == http.StatusServiceUnavailable {
		p.retryAfter = 2
	}
	return p
}

// ourWords makes problems of huma's own refusals (a body that does not fit its schema). It is a transformer
// of every answer.
func ourWords(_ huma.Context, _ string, answer any) (any, error) {
	if refusal, ok := answer.(*huma.ErrorModel); ok {
		return fromHuma(refusal), nil
	}
	return answer, nil
}

func fromHuma(refusal *huma.ErrorModel) *Problem {
	fields := make([]ProblemField, 0, len(refusal.Errors))
	for _, bad := range refusal.Errors {
		fields = append(fields, fieldOf(bad))
	}
	code := CodeMalformed
	switch refusal.Status {
	case http.StatusUnprocessableEntity:
		code = CodeInvalidInput
	case http.StatusRequestEntityTooLarge:
		return problem(refusal.Status, CodeTooLarge, refusal.Detail)
	case http.StatusInternalServerError:
		return problem(http.StatusBadRequest, code, "the body broke off before its end")
	}
	detail := refusal.Detail
	if len(fields) > 0 {
		detail = summary(fields)
	}
	return problem(refusal.Status, code, detail, fields...)
}

// fieldOf names the field that is missing, not the object that it is missing in.
func fieldOf(bad *huma.ErrorDetail) ProblemField {
	before, after, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	if name, ok := strings.CutPrefix(bad.Message, before); ok {
		if name, ok = strings.CutSuffix(name, after); ok {
			return ProblemField{Pointer: pointerOf(bad.Location + "." + name), Detail: "is required"}
		}
	}
	if bad.Message == validation.MsgUnexpectedProperty {
		return ProblemField{Pointer: pointerOf(bad.Location), Detail: "is not a field"}
	}
	return ProblemField{Pointer: pointerOf(bad.Location), Detail: bad.Message}
}

// pointerOf turns huma's "body.data.train[0].uri" into "/data/train/0/uri"; what is no body keeps its name.
func pointerOf(location string) string {
	place, rest, _ := strings.Cut(location, ".")
	if place != "body" {
		return rest
	}
	return pointer(rest)
}

// pointer turns a field path of the domain ("data.train[0].uri") into a JSON pointer. A tag's key may have
// dots and slashes of its own.
func pointer(path string) string {
	if path == "" || path == "input" {
		return ""
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	if key, ok := strings.CutPrefix(path, "tags."); ok {
		return "/tags/" + escape.Replace(key)
	}
	path = strings.NewReplacer("[", ".", "]", "").Replace(escape.Replace(path))
	return "/" + strings.ReplaceAll(path, ".", "/")
}

// answer turns an error of the layers below into a problem. What nobody foresaw is logged and told as
// internal, without its words.
func (s *server) answer(ctx context.Context, err error) *Problem {
	if p := known(err); p != nil {
		return p
	}
	if errors.Is(err, context.Canceled) { // the caller left, or the process ends
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "the request was broken off; try again")
	}
	s.log.Error("a request ended unforeseen", zap.String("request_id", requestID(ctx)), zap.Error(err))
	return internal(requestID(ctx))
}

func internal(request string) *Problem {
	return problem(http.StatusInternalServerError, CodeInternal, "something went wrong on our side; the log has it under request "+request)
}

// param is a bad header or query parameter: it keeps its name instead of a pointer into the body.
func param(name, reason string) *Problem {
	return problem(http.StatusUnprocessableEntity, CodeInvalidInput, name+": "+reason, ProblemField{Pointer: name, Detail: reason})
}

func known(err error) *Problem {
	var (
		ours  *Problem
		stale *domain.Stale
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &stale):
		return problem(http.StatusPreconditionFailed, CodePreconditionFailed, stale.Field+": "+stale.Reason,
			ProblemField{Pointer: pointer(stale.Field), Detail: stale.Reason})
	case errors.Is(err, domain.ErrInvalidInput):
		fields := invalidFields(err)
		return problem(http.StatusUnprocessableEntity, CodeInvalidInput, summary(fields), fields...)
	case errors.Is(err, domain.ErrNotFound), errors.Is(err, projection.ErrUnknown):
		return problem(http.StatusNotFound, CodeNotFound, words(err))
	case errors.Is(err, domain.ErrAlreadyExists):
		return problem(http.StatusConflict, CodeAlreadyExists, words(err))
	case errors.Is(err, domain.ErrPreconditionFailed):
		return problem(http.StatusPreconditionFailed, CodePreconditionFailed, "If-Match: "+words(err)+"; read it again and repeat with the new revision")
	case errors.Is(err, domain.ErrIdempotencyMismatch), errors.Is(err, projection.ErrOtherRequest):
		return problem(http.StatusUnprocessableEntity, CodeIdempotencyMismatch, "this Idempotency-Key was used for another request")
	case errors.Is(err, domain.ErrInvalidState), errors.Is(err, projection.ErrRefused):
		return problem(http.StatusConflict, CodeInvalidState, words(err))
	case errors.Is(err, domain.ErrConflict):
		return problem(http.StatusConflict, CodeConflict, "it was changed by somebody else meanwhile; try again")
	}
	return away(err)
}

// away recognises a database that does not answer.
func away(err error) *Problem {
	var (
		connect  *pgconn.ConnectError
		postgres *pgconn.PgError
		network  net.Error
	)
	switch {
	case errors.Is(err, projection.ErrNotReached):
		return unavailable("the read model has not reached that position yet; try again")
	case errors.As(err, &connect), errors.As(err, &postgres) && shuttingDown(postgres.Code), errors.As(err, &network),
		pgconn.SafeToRetry(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return unavailable("the database does not answer now; try again")
	}
	return nil
}

func unavailable(detail string) *Problem {
	return problem(http.StatusServiceUnavailable, CodeUnavailable, detail)
}

// shuttingDown tells the SQLSTATEs of a server that ends, starts or has no connection left.
func shuttingDown(code string) bool {
	return strings.HasPrefix(code, "57P") || strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53")
}

// words are the text of a domain error: written for people, free of what lies below.
func words(err error) string { return err.Error() }

// invalidFields are the bad fields of an error, for an answer.
func invalidFields(err error) []ProblemField {
	var fields []ProblemField
	for _, bad := range invalidPaths(err) {
		fields = append(fields, ProblemField{Pointer: pointer(bad.Field), Detail: bad.Reason})
	}
	return fields
}

// invalidPaths lists every *domain.InvalidInput in an error, joined or wrapped.
func invalidPaths(err error) []*domain.InvalidInput {
	switch e := err.(type) { //nolint:errorlint // walks the whole tree, so that no joined field is lost
	case *domain.InvalidInput:
		return []*domain.InvalidInput{e}
	case interface{ Unwrap() []error }:
		var all []*domain.InvalidInput
		for _, part := range e.Unwrap() {
			all = append(all, invalidPaths(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		return invalidPaths(e.Unwrap())
	}
	return nil
}

// summary says in a line what is wrong.
func summary(fields []ProblemField) string {
	if len(fields) == 1 {
		name := strings.ReplaceAll(strings.TrimPrefix(fields[0].Pointer, "/"), "/", ".")
		return strings.TrimPrefix(name+": "+fields[0].Detail, ": ")
	}
	return "the request has bad fields; see errors"
}
