package temporalenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/config"
	"phantom/internal/config/temporalenv"
)

// none names a profile file that is not there, so that the user's own does not count.
func none(t *testing.T) string {
	t.Helper()
	return "TEMPORAL_CONFIG_FILE=" + filepath.Join(t.TempDir(), "none.toml")
}

func TestTheAddressIsTheVariablesThenTheProfilesThenTheStacks(t *testing.T) {
	t.Parallel()
	profile := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(profile, []byte("[profile.default]\naddress = \"profile:1\"\nnamespace = \"n\"\n"), 0o600))
	cases := []struct {
		name, stack, address, namespace string
		environ                         []string
	}{
		{"nothing", "", "127.0.0.1:7233", "default", []string{none(t)}},
		{"the stack", "stack:1", "stack:1", "default", []string{none(t)}},
		{"a profile", "stack:1", "profile:1", "n", []string{"TEMPORAL_CONFIG_FILE=" + profile}},
		{"variables", "stack:1", "own:1", "m", []string{"TEMPORAL_CONFIG_FILE=" + profile, "TEMPORAL_ADDRESS=own:1", "TEMPORAL_NAMESPACE=m"}},
		{"an empty variable", "stack:1", "stack:1", "default", []string{none(t), "TEMPORAL_ADDRESS="}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts, err := temporalenv.Options(config.Config{StackTemporal: test.stack}, test.environ)
			require.NoError(t, err)
			require.Equal(t, test.address, opts.HostPort)
			require.Equal(t, test.namespace, opts.Namespace)
		})
	}
}

func TestAProfileThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	_, err := temporalenv.Options(config.Config{}, []string{none(t), "TEMPORAL_PROFILE=moon"})
	require.ErrorContains(t, err, "TEMPORAL_*")
}
