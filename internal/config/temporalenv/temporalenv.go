// Package temporalenv reads the variables that the temporal CLI reads too: TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_TLS_*, TEMPORAL_API_KEY, TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE.
//
// It is apart from package config so that only what talks to Temporal is linked to its SDK.
package temporalenv

import (
	"cmp"
	"fmt"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"phantom/internal/config"
)

// localServer is where a Temporal server of this machine listens. It is not the SDK's localhost:7233,
// which may mean ::1, where the development server does not listen.
const localServer = "127.0.0.1:7233"

// FromEnvironment answers with the options of a client in this process. An address that neither the
// variables nor the profile name is that of the private stack, else 127.0.0.1:7233.
func FromEnvironment(cfg config.Config) (client.Options, error) {
	return Options(cfg, os.Environ())
}

// Options is FromEnvironment with the NAME=value lines of the caller's.
func Options(cfg config.Config, environ []string) (client.Options, error) {
	opts, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: variables(environ)})
	if err != nil {
		return client.Options{}, fmt.Errorf("read the TEMPORAL_* variables and the profile that they name: %w", err)
	}
	opts.HostPort = cmp.Or(opts.HostPort, cfg.StackTemporal, localServer)
	opts.Namespace = cmp.Or(opts.Namespace, client.DefaultNamespace)
	return opts, nil
}

// variables is an environment in which a variable that is set to nothing is not set.
type variables []string

// LookupEnv implements envconfig.EnvLookup.
func (v variables) LookupEnv(name string) (string, bool) {
	value, ok := config.In(v)(name)
	return value, ok && value != ""
}

// Environ implements envconfig.EnvLookup.
func (v variables) Environ() []string { return v }
