package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// StateFolder is the folder in the working directory that holds the private stack's state.
const StateFolder = ".phantom"

// Config is everything that a Phantom process is told from outside.
type Config struct {
	StateDir     string // absolute; holds artifacts, keys, routes, models and logs of a private stack
	DatabaseURL  string // DSN of the serving role; empty: none was given and no private stack runs
	MigrateURL   string // DSN of the owner; empty: this process may not migrate
	ArtifactsURL string // gocloud.dev/blob URL
	KeysURL      string // gocloud.dev/secrets URL, or file:// for the local key file

	APIAddr         string // host:port, as are the next three
	GatewayAddr     string
	ModelServerAddr string
	MetricsAddr     string

	// ModelServerToken is what the gateway and the deployment of models show to the model server while
	// authentication is on; empty: the worker makes one up, when it has all of them in one process.
	ModelServerToken string

	TLS   TLS
	Roles Roles
	Auth  Auth
	File  File
	CLI   CLI
	Log   Log

	// StackTemporal is the address of the private stack's Temporal server, empty when none runs. It is
	// a default only: see temporalenv.
	StackTemporal string
}

// TLS names the PEM files of the API and the gateway; both are empty or both are set.
type TLS struct {
	CertFile string
	KeyFile  string
}

// On says whether the API and the gateway speak TLS.
func (t TLS) On() bool { return t.CertFile != "" }

// Auth says how callers of the API and the gateway prove who they are.
type Auth string

const (
	// AuthOff trusts every caller and is accepted on loopback addresses only.
	AuthOff Auth = "off"
	// AuthKeys wants an API key with every request.
	AuthKeys Auth = "keys"
)

// leastToken is how long the model server's token is at the least, in characters.
const leastToken = 32

// CLI is what the command `phantom` reads.
type CLI struct {
	URL     string // of the API, without a trailing slash
	APIKey  string
	Tenant  string
	NoColor bool // NO_COLOR is set to anything: https://no-color.org
}

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format LogFormat
}

// LogFormat is the shape of a log line.
type LogFormat string

// The formats of a log line. LogAuto is console on a terminal and json elsewhere.
const (
	LogAuto    LogFormat = ""
	LogConsole LogFormat = "console"
	LogJSON    LogFormat = "json"
)

// FromEnvironment loads the configuration of this process.
func FromEnvironment() (Config, error) { return Load(os.LookupEnv) }

// Load reads the variables through lookup, and phantom.yaml and the private stack from the working
// directory. The error joins one line for each wrong value.
func Load(lookup Lookup) (Config, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Config{}, fmt.Errorf("find the working directory, where phantom.yaml and %s lie: %w", StateFolder, err)
	}
	return LoadIn(dir, lookup)
}

// LoadIn is Load for another folder than the working directory.
func LoadIn(dir string, lookup Lookup) (Config, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Config{}, fmt.Errorf("make %s absolute: %w", dir, err)
	}
	state := filepath.Join(dir, StateFolder)
	stack, err := readDefaults(state)
	if err != nil {
		return Config{}, err
	}

	r := &reader{lookup: lookup}
	cfg := Config{
		StateDir:         state,
		DatabaseURL:      r.dsn("DATABASE_URL", stack.Postgres.ServingURL),
		MigrateURL:       r.dsn("PHANTOM_MIGRATE_URL", ""),
		ArtifactsURL:     r.url("PHANTOM_ARTIFACTS_URL", fileURL(filepath.Join(state, "artifacts")), blobSchemes()),
		KeysURL:          r.url("PHANTOM_KEYS_URL", fileURL(filepath.Join(state, "keys", "master.key")), nil),
		APIAddr:          r.addr("PHANTOM_API_ADDR", "127.0.0.1:8300"),
		GatewayAddr:      r.addr("PHANTOM_GATEWAY_ADDR", "127.0.0.1:8301"),
		ModelServerAddr:  r.addr("PHANTOM_MODELSERVER_ADDR", "127.0.0.1:8302"),
		MetricsAddr:      r.addr("PHANTOM_METRICS_ADDR", "127.0.0.1:9464"),
		ModelServerToken: r.token("PHANTOM_MODELSERVER_TOKEN"),
		TLS:              r.tls(),
		Roles:            r.roles(),
		Auth:             r.auth(),
		CLI:              r.cli(cmp.Or(stack.Phantom.APIURL, "http://127.0.0.1:8300")),
		Log:              r.log(),
		StackTemporal:    stack.Temporal.Address,
	}
	if cfg.MigrateURL == "" && !r.given("DATABASE_URL") {
		cfg.MigrateURL = stack.Postgres.OwnerURL
	}
	r.refuseOpenDoors(cfg)
	r.refuseStrangers(cfg)
	cfg.File = r.file(dir, cfg)
	return cfg, errors.Join(r.problems...)
}

func (r *reader) tls() TLS {
	t := TLS{CertFile: r.path("PHANTOM_TLS_CERT"), KeyFile: r.path("PHANTOM_TLS_KEY")}
	switch {
	case t.CertFile == "" && t.KeyFile != "":
		r.refuse("PHANTOM_TLS_CERT", "", "a PEM file, since PHANTOM_TLS_KEY is set")
	case t.CertFile != "" && t.KeyFile == "":
		r.refuse("PHANTOM_TLS_KEY", "", "a PEM file, since PHANTOM_TLS_CERT is set")
	}
	return t
}

func (r *reader) auth() Auth {
	return Auth(r.oneOf("PHANTOM_AUTH", string(AuthOff), string(AuthOff), string(AuthKeys)))
}

// token is a shared secret. It is not told when it is refused.
func (r *reader) token(variable string) string {
	value := r.text(variable, "")
	if value != "" && (len(value) < leastToken || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' })) {
		r.refuse(variable, "…", fmt.Sprintf("at least %d visible ASCII characters, such as `openssl rand -hex 32` gives", leastToken))
	}
	return value
}

func (r *reader) cli(url string) CLI {
	tenant := r.text("PHANTOM_TENANT", "default")
	if !tenantPattern.MatchString(tenant) {
		r.refuse("PHANTOM_TENANT", tenant, "1 to 63 of a-z, 0-9 and -, not starting with -")
	}
	return CLI{
		URL:     trimSlash(r.url("PHANTOM_URL", url, []string{"http", "https"})),
		APIKey:  r.text("PHANTOM_API_KEY", ""),
		Tenant:  tenant,
		NoColor: r.given("NO_COLOR"),
	}
}

func (r *reader) log() Log {
	return Log{
		Level:  r.oneOf("PHANTOM_LOG_LEVEL", "info", "debug", "info", "warn", "error"),
		Format: LogFormat(r.oneOf("PHANTOM_LOG_FORMAT", string(LogAuto), string(LogConsole), string(LogJSON))),
	}
}

// refuseOpenDoors holds what contracts promise of PHANTOM_AUTH=off: nothing that trusts every caller
// listens where another machine can reach it. An address is of account only where its role runs.
func (r *reader) refuseOpenDoors(cfg Config) {
	doors := []struct {
		role           Role
		variable, addr string
	}{
		{RoleAPI, "PHANTOM_API_ADDR", cfg.APIAddr},
		{RoleGateway, "PHANTOM_GATEWAY_ADDR", cfg.GatewayAddr},
		{RoleModelServer, "PHANTOM_MODELSERVER_ADDR", cfg.ModelServerAddr},
	}
	for _, door := range doors {
		if cfg.Auth == AuthOff && cfg.Roles.Has(door.role) && door.addr != "" && !loopback(door.addr) {
			r.refuse(door.variable, door.addr, "a loopback address such as 127.0.0.1:8300 while PHANTOM_AUTH is off")
		}
	}
}

// refuseStrangers wants a token where the model server and those who use it are not all in this process.
func (r *reader) refuseStrangers(cfg Config) {
	serves, asks := cfg.Roles.Has(RoleModelServer), cfg.Roles.Has(RoleGateway)
	loads := cfg.Roles.Has(RoleWorkflows) || cfg.Roles.Has(RoleActivities)
	together, apart := serves && asks && loads, serves || asks || loads
	if cfg.Auth == AuthKeys && cfg.ModelServerToken == "" && apart && !together {
		r.refuse("PHANTOM_MODELSERVER_TOKEN", "", "the same secret for the model server, the gateways and the activities, since PHANTOM_AUTH is keys and PHANTOM_ROLES keeps them apart")
	}
}
