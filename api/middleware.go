package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"phantom/access"
	"phantom/domain"
)

// HeaderRequestID names a request in answers and logs.
const HeaderRequestID = "X-Request-Id"

type requestKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// protect names the request, identifies the caller, logs the access and turns a panic into a problem. Neither a
// header nor a query gets into the log.
func protect(params Params, next http.Handler) http.Handler {
	log := params.Log
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := r.Header.Get(HeaderRequestID)
		if !requestForm.MatchString(id) {
			id = uuid.NewString()
		}
		seen := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		seen.Header().Set(HeaderRequestID, id)
		SecurityHeaders(seen.Header())
		caller, refusal := admitted(r, params.Verifier)
		defer func() {
			if broken := recover(); broken != nil {
				log.Error("a request panicked", zap.String("request_id", id), zap.Any("panic", broken), zap.ByteString("stack", debug.Stack()))
				if !seen.begun {
					write(seen, internal(id))
				}
			}
			log.Log(level(r.Method, seen.status), "request", zap.String("request_id", id), zap.String("method", r.Method),
				zap.String("path", r.URL.Path), zap.String("tenant", string(caller.Tenant)), zap.String("actor", caller.Actor.Subject), zap.String("key_id", caller.KeyID),
				zap.Int("status", seen.status), zap.Duration("took", time.Since(began)))
		}()
		if refusal != nil {
			write(seen, refusal)
			return
		}
		ctx, done := whileAlive(r.Context(), params.Verifier, caller)
		defer done()
		ctx = context.WithValue(ctx, requestKey{}, id)
		next.ServeHTTP(seen, r.WithContext(withCaller(ctx, caller)))
	})
}

// admitted tells who the caller is, or why the request is not looked at. What the API is like is told to everybody.
func admitted(r *http.Request, keys *access.Verifier) (Caller, *Problem) {
	if len(r.RequestURI) > maxURL {
		return Caller{}, problem(http.StatusRequestEntityTooLarge, CodeTooLarge, fmt.Sprintf("the address has more than %d bytes", maxURL))
	}
	if r.URL.Path == "/openapi.json" || r.URL.Path == "/docs" {
		return Caller{}, nil
	}
	caller, err := Identify(r, keys, "authenticate")
	if err != nil {
		return Caller{}, Refusal(err)
	}
	if place := illegible(r.URL); place != "" {
		return caller, param(place, "must be UTF-8 without NUL")
	}
	return caller, nil
}

// illegible names what in the address is no text that a database or Temporal can be asked for: a query
// parameter, or the path.
func illegible(address *url.URL) string {
	text := func(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
	if !text(address.Path) {
		return "path"
	}
	for name, values := range address.Query() {
		if !text(name) {
			return "query"
		}
		if slices.ContainsFunc(values, func(value string) bool { return !text(value) }) {
			return name
		}
	}
	return ""
}

// requestForm is what a caller may name his request: it gets into logs and events.
var requestForm = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// level of a request in the log: reads are many and say little.
func level(method string, status int) zapcore.Level {
	switch {
	case status >= http.StatusInternalServerError:
		return zapcore.WarnLevel
	case method == http.MethodGet || method == http.MethodHead:
		return zapcore.DebugLevel
	default:
		return zapcore.InfoLevel
	}
}

// SecurityHeaders are those of every answer of every server of Phantom's: nothing guesses its type, frames it, keeps it or
// loads from elsewhere.
func SecurityHeaders(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
}

// statusRecorder remembers the status for the access log.
type statusRecorder struct {
	http.ResponseWriter

	status int
	begun  bool // an answer is on its way
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	s.status, s.begun = status, true
	s.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *statusRecorder) Write(p []byte) (int, error) {
	s.begun = true
	return s.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the writer below, to flush.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// meta is what a command of this request carries.
func meta(ctx context.Context, h WriteHeaders) (domain.Meta, error) {
	expect, err := h.expect()
	if err != nil {
		return domain.Meta{}, err
	}
	m := domain.Meta{Actor: callerOf(ctx).Actor, CausationID: requestID(ctx), CorrelationID: requestID(ctx), Expect: expect}
	if h.IdempotencyKey != "" {
		m.CommandID = "http:" + h.IdempotencyKey
	}
	return m, nil
}
