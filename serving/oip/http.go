package oip

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
)

// StatusError is a refusal with its HTTP status.
type StatusError struct {
	Status  int
	Message string
}

func (e *StatusError) Error() string { return e.Message }

// Errorf makes a StatusError.
func Errorf(status int, format string, args ...any) *StatusError {
	return &StatusError{Status: status, Message: fmt.Sprintf(format, args...)}
}

// WriteError answers with the status of a StatusError, or with 500 and no detail for any other error.
func WriteError(w http.ResponseWriter, err error) {
	var status *StatusError
	if !errors.As(err, &status) {
		status = Errorf(http.StatusInternalServerError, "internal error")
	}
	switch status.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	case http.StatusUnauthorized: // RFC 9110, section 15.5.2
		w.Header().Set("WWW-Authenticate", `Bearer realm="phantom"`)
	}
	WriteJSON(w, status.Status, map[string]string{"error": status.Message})
}

// WriteJSON answers with a JSON body.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer has no JSON form"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client is gone; nobody is left to tell.
	_, _ = w.Write(text)
}

// ReadBody reads a request's body up to limit bytes; more is a 413.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength, limit)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, Errorf(http.StatusRequestEntityTooLarge, "the request has more than %d bytes", limit)
	case err != nil:
		return nil, Errorf(http.StatusBadRequest, "the request's body ended early")
	}
	return body, nil
}

// readAll reads everything into one buffer of the announced size; a size beyond limit is not believed.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	if size < 0 || size > limit {
		return io.ReadAll(r)
	}
	var buffer bytes.Buffer
	buffer.Grow(int(size) + bytes.MinRead)
	_, err := buffer.ReadFrom(r)
	return buffer.Bytes(), err
}

// DecodeRequest reads an inference request; what is wrong is a 400 that names the input where it can.
func DecodeRequest(body []byte) (*InferRequest, error) {
	var request InferRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, explain(body, err)
	}
	if len(request.Inputs) == 0 {
		return nil, Errorf(http.StatusBadRequest, "inputs: at least one input is needed")
	}
	return &request, nil
}

var (
	notFinite = regexp.MustCompile(`^-?(NaN|Infinity|nan|inf)`)
	inputName = regexp.MustCompile(`"name"\s*:\s*"([^"]*)"`)
)

// explain says which input holds a NaN or an infinity: Python's json module writes them as bare words,
// which is no JSON, and the plain syntax error helps nobody to find them.
func explain(body []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 && syntax.Offset <= int64(len(body)) {
		// The decoder stops behind the first byte that it cannot take: the I of -Infinity, the a of nan.
		for back := min(3, syntax.Offset); back > 0; back-- {
			at := syntax.Offset - back
			word := notFinite.Find(body[at:])
			if word == nil {
				continue
			}
			names := inputName.FindAllSubmatch(body[:at], -1)
			if len(names) == 0 {
				return Errorf(http.StatusBadRequest, "inputs: %s is not a finite number", word)
			}
			return Errorf(http.StatusBadRequest, "input %q: %s is not a finite number", names[len(names)-1][1], word)
		}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return Errorf(http.StatusBadRequest, "%s: a JSON %s does not belong here", cmp.Or(wrong.Field, "the request"), wrong.Value)
	}
	return Errorf(http.StatusBadRequest, "the request is not JSON: %s", err)
}

// Guard answers a request that panics with a plain 500 and tells report what happened.
func Guard(next http.Handler, report func(cause any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			report(cause)
			WriteError(w, Errorf(http.StatusInternalServerError, "internal error"))
		}()
		next.ServeHTTP(w, r)
	})
}
