package api_test

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLongAnswersAreGzippedForWhoTakesIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	model := digits()
	model["description"] = strings.Repeat("reads digits. ", 200)
	h.post("/api/v1/models", model).as(http.StatusCreated)
	const path = "/api/v1/models/digits"
	gzipped := map[string]string{"Accept-Encoding": "gzip"}

	plain := h.do(request{path: path, header: map[string]string{"Accept-Encoding": "identity"}})
	require.Empty(t, plain.header.Get("Content-Encoding"))
	require.Equal(t, "Accept-Encoding", plain.header.Get("Vary"))

	short := h.do(request{path: path, header: gzipped})
	require.Equal(t, "gzip", short.header.Get("Content-Encoding"))
	require.Less(t, len(short.body), len(plain.body)/2)
	require.Equal(t, plain.header.Get("ETag"), short.header.Get("ETag"))
	unpacked, err := gzip.NewReader(strings.NewReader(string(short.body)))
	require.NoError(t, err)
	var got object
	require.NoError(t, json.NewDecoder(unpacked).Decode(&got))
	require.Equal(t, plain.as(http.StatusOK), got)

	small := h.do(request{path: "/api/v1/models?status=archived", header: gzipped})
	require.Empty(t, small.header.Get("Content-Encoding"), "what fits a packet is sent as it is")
}

func TestNobodyElsesPageMayCall(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		answer := h.do(request{method: method, path: "/api/v1/models", header: map[string]string{
			"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET",
		}})
		for name := range answer.header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
		}
	}
}
