package sealing_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/sealing"
)

// TestTheKeyFileIsMadeOnFirstUse, for its owner only, and never made anew.
func TestTheKeyFileIsMadeOnFirstUse(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	require.NoFileExists(t, h.keyFile)
	ann := sealed(t, h.Keyring, acme, inference("ann"))
	state, err := os.Stat(h.keyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), state.Mode().Perm())
	folder, err := os.Stat(filepath.Dir(h.keyFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), folder.Mode().Perm())
	rest, err := os.ReadDir(filepath.Dir(h.keyFile))
	require.NoError(t, err)
	require.Len(t, rest, 1, "no draft is left")

	after := h.another(t, "file://"+h.keyFile, sealing.Params{}) // a restart
	require.Equal(t, `"7"`, string(opened(t, after, acme, ann).Prediction.Clear))

	require.NoError(t, os.Chmod(h.keyFile, 0o640))
	require.ErrorContains(t, refused(t, h.another(t, "file://"+h.keyFile, sealing.Params{}), acme, ann), "chmod 600")
	require.NoError(t, os.Chmod(h.keyFile, 0o600))
	require.NoError(t, os.WriteFile(h.keyFile, []byte("short\n"), 0o600))
	require.ErrorContains(t, refused(t, h.another(t, "file://"+h.keyFile, sealing.Params{}), acme, ann), "restore it")
	require.NoError(t, os.Remove(h.keyFile))
	err = refused(t, h.another(t, "file://"+h.keyFile, sealing.Params{}), acme, ann)
	require.ErrorIs(t, err, sealing.ErrUnwrap)
	require.NoFileExists(t, h.keyFile, "a new key would open nothing")
}

// TestAnotherWrappingKeyIsToldClearly: both keys are named, and neither is shown.
func TestAnotherWrappingKeyIsToldClearly(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{})
	ann := sealed(t, h.Keyring, acme, inference("ann"))
	const other = "smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
	wrong := h.another(t, "base64key://"+other, sealing.Params{})
	err := refused(t, wrong, acme, ann)
	require.ErrorIs(t, err, sealing.ErrUnwrap)
	require.ErrorContains(t, err, "was wrapped with local:")
	require.ErrorContains(t, err, "PHANTOM_KEYS_URL names local:")
	require.NotContains(t, err.Error(), other)
	require.ErrorIs(t, wrong.Seal(t.Context(), acme, []domain.InferenceMade{inference("ann")}), sealing.ErrUnwrap)
	right := h.another(t, "file://"+h.keyFile, sealing.Params{})
	require.Equal(t, `"7"`, string(opened(t, right, acme, ann).Prediction.Clear), "nothing was spoilt")
}

func TestAKeysURLThatCannotServeIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for address, why := range map[string]string{
		"base64key://":          "a new one at each start",
		"base64key://c2VjcmV0=": "base64key",
		"nonsense://key":        "no driver registered",
		"://":                   "not a URL",
	} {
		_, err := sealing.OpenWrapper(t.Context(), address)
		require.ErrorContains(t, err, "PHANTOM_KEYS_URL", address)
		require.ErrorContains(t, err, why, address)
		require.NotContains(t, err.Error(), "c2VjcmV0")
	}
	wrapper, err := sealing.OpenWrapper(t.Context(), "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=")
	require.NoError(t, err)
	require.Regexp(t, `^local:[0-9a-f]{12}$`, wrapper.Name())
	require.NoError(t, wrapper.Close())
}

// TestABrokenKeyringIsNotAnErasure: what is missing is said, and {"erased":true} only of what was destroyed.
func TestABrokenKeyringIsNotAnErasure(t *testing.T) {
	t.Parallel()
	h := build(t, sealing.Params{Lifetime: -1})
	ann := sealed(t, h.Keyring, acme, inference("ann"))
	h.admin(t, "delete from keyring.material")
	require.ErrorIs(t, refused(t, h.Keyring, acme, ann), sealing.ErrUnknownKey)
	nonsense := ann
	nonsense.Prediction.Sealed = &domain.Sealed{Key: "nonsense"}
	require.ErrorIs(t, refused(t, h.Keyring, acme, nonsense), sealing.ErrUnknownKey)
	h.admin(t, "drop schema keyring cascade")
	require.ErrorContains(t, refused(t, h.Keyring, acme, ann), "restore its backup")
}
