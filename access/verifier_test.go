package access_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantom/access"
)

// refused expects a key not to count.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	var stranger *access.Unauthenticated
	require.ErrorAs(t, err, &stranger)
	require.Contains(t, stranger.Reason, says)
}

// other changes one character of a text.
func other(text string, at int) string {
	letter := "a"
	if text[at] == 'a' {
		letter = "b"
	}
	return text[:at] + letter + text[at+1:]
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, token := h.create(acme, "a", access.Viewer)
	for _, wrong := range []string{
		"", "phk_", "phk__", token[4:], strings.ToUpper(token), token + "a", token[:len(token)-1], " " + token, token + "\n",
		"phk_" + key.KeyID, "phk_" + key.KeyID + "_", "phk_" + strings.Repeat("é", 8) + "_" + strings.Repeat("a", 52), strings.Repeat("phk_", 1<<16),
	} {
		_, err := h.Verify(t.Context(), wrong, "test")
		refused(t, err, "no API key")
	}
	_, unknown := h.Verify(t.Context(), other(token, 4), "test")
	_, wrong := h.Verify(t.Context(), other(token, len(token)-1), "test")
	refused(t, unknown, "not known")
	require.Equal(t, unknown.Error(), wrong.Error(), "nobody learns which ids there are")
}

func TestARevokedKeyIsRefusedWithinASecond(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, token := h.create(acme, "a", access.Viewer)
	_, err := h.Verify(t.Context(), token, "test")
	require.NoError(t, err)
	_, err = h.Revoke(t.Context(), acme, key.KeyID, "ann")
	require.NoError(t, err)
	h.clock.pass(time.Second)
	_, err = h.Verify(t.Context(), token, "test")
	refused(t, err, "was revoked")
	require.False(t, h.Alive(t.Context(), key.KeyID))
}

func TestAKeyExpires(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	_, token, err := h.Create(t.Context(), acme, access.Params{Name: "a", Role: access.Viewer, By: "ann", ExpiresAt: h.clock.Now().Add(time.Hour)})
	require.NoError(t, err)
	h.clock.pass(time.Hour - time.Millisecond)
	_, err = h.Verify(t.Context(), token, "test")
	require.NoError(t, err)
	h.clock.pass(2 * time.Millisecond)
	_, err = h.Verify(t.Context(), token, "test")
	refused(t, err, "has expired")
}

func TestAKeyThatAsksTooOftenWaits(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{Limit: access.Limit{PerSecond: 2, Burst: 3}})
	_, token := h.create(acme, "a", access.Viewer)
	_, calm := h.create(acme, "b", access.Viewer)
	for range 3 {
		_, err := h.Verify(t.Context(), token, "test")
		require.NoError(t, err)
	}
	for range 5 { // who is refused does not wait longer for it
		_, err := h.Verify(t.Context(), token, "test")
		var late *access.Throttled
		require.ErrorAs(t, err, &late)
		require.InDelta(t, 500*time.Millisecond, late.After, float64(time.Millisecond))
	}
	_, err := h.Verify(t.Context(), calm, "test")
	require.NoError(t, err, "each key has a limit of its own")
	h.clock.pass(time.Second) // the key is looked up anew, its limit goes on
	for range 2 {
		_, err = h.Verify(t.Context(), token, "test")
		require.NoError(t, err)
	}
	_, err = h.Verify(t.Context(), token, "test")
	require.Error(t, err)
}

func TestGuessingIsBounded(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	_, token := h.create(acme, "a", access.Viewer)
	_, err := h.Verify(t.Context(), token, "test")
	require.NoError(t, err)
	throttled := 0
	for i := range 400 {
		guess := "phk_" + strings.NewReplacer("0", "a", "1", "b", "8", "c", "9", "d").Replace(fmt.Sprintf("%016d", i)) + token[20:]
		_, err := h.Verify(t.Context(), guess, "test")
		if _, late := errors.AsType[*access.Throttled](err); late {
			throttled++
		}
	}
	require.Equal(t, 201, throttled, "of 400 with one known key looked up before")
	_, err = h.Verify(t.Context(), token, "test")
	require.NoError(t, err, "who has a key does not suffer")
}

func TestUsesAndRefusalsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, token := h.create(acme, "a", access.Viewer)
	for range 3 {
		_, err := h.Verify(t.Context(), token, "test")
		require.NoError(t, err)
	}
	for range 1_000 {
		_, err := h.Verify(t.Context(), other(token, len(token)-1), "authenticate")
		require.Error(t, err)
	}
	h.Deny(key.KeyID, "create-model", "needs the role trainer")
	h.Deny("aaaaaaaaaaaaaaaa", "create-model", "of no key")
	require.Len(t, h.trail(acme), 1, "not while a request waits")
	require.NoError(t, h.Flush(t.Context()))
	events := h.trail(acme)
	require.Len(t, events, 3)
	counts := map[string]int64{}
	for _, e := range events[:2] {
		require.Equal(t, access.AccessDenied, e.Kind)
		require.Equal(t, "a", e.DoneBy)
		counts[e.Operation+": "+e.Reason] = e.Count
	}
	require.Equal(t, map[string]int64{"authenticate: this API key is not known": 1_000, "create-model: needs the role trainer": 1}, counts)
	keys, _, err := h.List(t.Context(), acme, "", 10)
	require.NoError(t, err)
	require.WithinDuration(t, h.clock.Now(), *keys[0].LastUsedAt, time.Millisecond)

	require.NoError(t, h.Flush(t.Context()))
	require.Len(t, h.trail(acme), 3, "once")
}

func TestAFloodOfRefusalsIsBounded(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	key, _ := h.create(acme, "a", access.Viewer)
	for i := range 5_000 {
		h.Deny(key.KeyID, fmt.Sprintf("operation %d", i), "no")
	}
	require.NoError(t, h.Flush(t.Context()))
	var rows int64
	for before := newest; ; {
		events, more, err := h.Trail(t.Context(), acme, before, 200)
		require.NoError(t, err)
		rows += int64(len(events))
		if !more {
			break
		}
		before = events[len(events)-1].EventID
	}
	require.EqualValues(t, 1_001, rows)
}

// While PostgreSQL is away, keys that were seen stand for an hour, over a restart too.
func TestKnownKeysStandWhilePostgreSQLIsAway(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	_, token := h.create(acme, "a", access.Viewer)
	gone, goneToken := h.create(acme, "gone", access.Viewer)
	_, stranger := h.create(acme, "b", access.Viewer)
	_, err := h.Revoke(t.Context(), acme, gone.KeyID, "ann")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "gateway", "keys.json")
	pool := h.db.Pool(t)
	params := access.VerifierParams{File: file, Pool: pool}
	gateway := h.another(params)
	_, err = gateway.Verify(t.Context(), token, "infer")
	require.NoError(t, err)
	_, err = gateway.Verify(t.Context(), goneToken, "infer")
	refused(t, err, "revoked")
	require.NoError(t, gateway.Flush(t.Context()))
	saved, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(saved), token[21:], "no secret lies on the disk")

	pool.Close()
	for _, process := range []*access.Verifier{gateway, h.another(params)} {
		h.clock.pass(10 * time.Minute)
		_, err = process.Verify(t.Context(), token, "infer")
		require.NoError(t, err)
		_, err = process.Verify(t.Context(), goneToken, "infer")
		refused(t, err, "revoked")
		_, err = process.Verify(t.Context(), stranger, "infer")
		require.ErrorIs(t, err, access.ErrUnavailable)
		_, err = process.Verify(t.Context(), other(token, len(token)-1), "infer")
		refused(t, err, "not known")
	}
	h.clock.pass(41 * time.Minute)
	for _, process := range []*access.Verifier{gateway, h.another(params)} {
		_, err = process.Verify(t.Context(), token, "infer")
		require.ErrorIs(t, err, access.ErrUnavailable, "an hour is over")
	}
}

func TestADamagedFileOfKeysIsLeftBehind(t *testing.T) {
	t.Parallel()
	h := build(t, access.VerifierParams{})
	_, token := h.create(acme, "a", access.Viewer)
	file := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(file, []byte("phantom-state 1 sha256:00\n[]"), 0o600))
	_, err := h.another(access.VerifierParams{File: file}).Verify(t.Context(), token, "infer")
	require.NoError(t, err)
}
