package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// completes is what a shell is offered, without cobra's last line.
func completes(t *testing.T, url string, words ...string) []string {
	t.Helper()
	r := phantom(t, url, append([]string{"__complete"}, words...)...)
	require.Equal(t, 0, r.status, r)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	require.Equal(t, ":4", lines[len(lines)-1], "no files are offered")
	return lines[:len(lines)-1]
}

func TestLiveNamesAreCompleted(t *testing.T) {
	t.Parallel()
	s := recorded(t).
		says("GET /api/v1/models?limit=200", http.StatusOK, "models.json").
		says("GET /api/v1/models/digits/versions?limit=200", http.StatusOK, "versions.json").
		says("GET /api/v1/models/digits/aliases?limit=200", http.StatusOK, "aliases.json").
		says("GET /api/v1/models/digits/deployments?limit=200", http.StatusOK, "deployments.json")
	for _, c := range []struct{ words, offered string }{
		{"model get ", "digits letters"},
		{"model get l", "letters"},
		{"model analytics d", "digits"},
		{"train d", "digits"},
		{"training get d", "digits"},
		{"rollout watch d", "digits"},
		{"alias get digits ", "challenger champion"},
		{"alias set digits champion ", "3 2 1"},
		{"deploy digits --version ", "3 2 1"},
		{"deploy digits --target l", "local"},
		{"deploy --target l", ""},
		{"model get digits ", ""},
	} {
		require.ElementsMatch(t, strings.Fields(c.offered), completes(t, s.url, strings.Split(c.words, " ")...), c.words)
	}
}

// A shell is not bothered with what goes wrong.
func TestCompletionIsSilentWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	require.Empty(t, completes(t, "http://127.0.0.1:1", "model", "get", ""))
	s := newServer(t).saysText("GET /api/v1/models?limit=200", http.StatusUnauthorized, `{"code":"unauthenticated"}`)
	require.Empty(t, completes(t, s.url, "model", "get", ""))
}
