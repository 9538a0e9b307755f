package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/api/client"
	main "phantom/starter"
)

func TestEveryErrorHasItsExitStatusAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	problem := func(status int, code, detail string) error {
		return fmt.Errorf("asking: %w", &client.Problem{Status: status, Code: code, Detail: detail})
	}
	cases := []struct {
		err    error
		status int
		says   string
	}{
		{nil, 0, ""},
		{main.Failed("it ended as rejected"), 1, "it ended as rejected"},
		{errors.New("two\nlines"), 1, "two; lines"},
		{problem(500, "internal", "the log has it"), 1, "the log has it"},
		{problem(400, "malformed", "no JSON"), 2, "no JSON"},
		{problem(422, "invalid_input", "name: is required"), 2, "name: is required"},
		{problem(413, "too_large", "too much"), 2, "too much"},
		{problem(404, "not_found", "model x not found"), 3, "model x not found; `phantom model list` shows those there are"},
		{problem(404, "not_found", "version 9 of model x not found"), 3, "`phantom model versions MODEL`"},
		{problem(404, "not_found", "alias x of model digits not found"), 3, "`phantom alias list MODEL`"},
		{problem(404, "not_found", "training 9 not found"), 3, "`phantom training list`"},
		{problem(404, "not_found", "rollout 9 not found"), 3, "`phantom rollout list`"},
		{problem(404, "not_found", "saga 9 not found"), 3, "Temporal forgets ended sagas"},
		{problem(404, "", "the server answered 404 Not Found"), 3, "is that address Phantom's?"},
		{problem(409, "already_exists", "model x already exists"), 4, "choose another"},
		{problem(409, "invalid_state", "not now"), 4, "not now"},
		{problem(409, "conflict", "try again"), 4, "try again"},
		{problem(412, "precondition_failed", "stale"), 4, "stale"},
		{problem(422, "idempotency_mismatch", "another request"), 4, "another request"},
		{problem(429, "too_many_requests", "slower"), 5, "slower; try again, or let `phantom doctor` look"},
		{problem(503, "unavailable", "Temporal does not answer now; try again"), 5, "Temporal does not answer now; try again"},
		{problem(502, "", "the server answered 502 Bad Gateway"), 5, "502"},
		{fmt.Errorf("%w at http://x: refused", client.ErrUnreachable), 5, "start one with `make up`, or name another with --url or PHANTOM_URL"},
		{context.DeadlineExceeded, 5, "`phantom doctor`"},
		{problem(401, "unauthenticated", "who are you?"), 6, "PHANTOM_API_KEY"},
		{problem(403, "forbidden", "viewers may not"), 6, "viewers may not; PHANTOM_API_KEY"},
		{fmt.Errorf("waiting: %w", context.Canceled), 130, "interrupted"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			t.Parallel()
			status, line := main.Explain(c.err)
			require.Equal(t, c.status, status)
			require.Contains(t, line, c.says)
			require.NotContains(t, line, "\n")
		})
	}
}

func TestAServerThatIsAwayIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	require.NoError(t, err)
	address := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	for _, args := range [][]string{
		{"model", "get", "digits"},
		{"train", "digits", "--data", "x.csv", "--wait"},
		{"rollout", "abort", deploy},
		{"infer", "digits", "-f", "-", "--gateway", address},
	} {
		r := command{in: `{"inputs":[]}`}.run(t.Context(), t, address, args...)
		require.Equal(t, 5, r.status, r)
		require.Empty(t, r.out)
		require.Regexp(t, `^phantom: the (Phantom API|gateway) cannot be reached at `+address+`: .*connection refused; start one with .make up.*\n$`, r.errs)
	}
}

func TestTheProgramItselfReadsArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	require.Equal(t, 0, main.Run(t.Context(), []string{"version"}, nil, nil, &out, &errs))
	require.Equal(t, "phantom devel\n", out.String())
	require.Equal(t, 2, main.Run(t.Context(), []string{"version"}, []string{"PHANTOM_TENANT=No"}, nil, &out, &errs))
	require.Contains(t, errs.String(), `phantom: PHANTOM_TENANT is "No": accepted is`)
}
