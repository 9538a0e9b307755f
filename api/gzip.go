package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// gzipFrom is the size of an answer, in bytes, from which compressing it saves more than it costs: below, it
// fits one packet anyway.
const gzipFrom = 1400

// compressed gzips the answers that are text of a known end for callers who take it. What is followed (event
// streams, logs) and the bytes of artifacts pass as they are.
func compressed(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(gzipFrom), gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{"application/json", "application/problem+json", "text/html"}))
	if err != nil { // the options are constants
		panic(fmt.Sprintf("gzip: %v", err))
	}
	packed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") { // nothing may hold back its first byte
			next.ServeHTTP(w, r)
			return
		}
		packed.ServeHTTP(w, r)
	})
}
