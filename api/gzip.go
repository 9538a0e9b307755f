package api

import (
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// gzipFrom is the size of an answer, in bytes, from which compressing it saves more than it costs: below, it
// fits one packet anyway.
const gzipFrom = 1400

// compressed gzips the answers that are text of a known end for callers who take it. What is followed (event
// streams, logs) and the bytes of artifacts pass as they are.
func compressed(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(gzipFrom),
		gzhttp.ContentTypes([]string{"application/json", "application/problem+json", "application/openapi+json", "text/html"}))
	if err != nil { // the options are constants
		panic(fmt.Sprintf("gzip: %v", err))
	}
	return wrap(next)
}
