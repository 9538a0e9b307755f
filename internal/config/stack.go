package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// StackFile is the name, in a state folder, of the file that tells of a stack that runs.
const StackFile = "stack.json"

// Stack tells where the parts of a stack that runs can be reached. It holds passwords, so its file
// is readable by its owner only.
type Stack struct {
	Postgres StackPostgres `json:"postgres"`
	Temporal StackTemporal `json:"temporal"`
	Phantom  StackPhantom  `json:"phantom,omitzero"`
}

// StackPostgres holds one DSN a role.
type StackPostgres struct {
	AdminURL   string `json:"admin_url"`   // a superuser, for tests that break things; empty with a foreign database
	OwnerURL   string `json:"owner_url"`   // phantom_owner: owns databases, runs migrations
	ServingURL string `json:"serving_url"` // phantom: what a worker connects as
}

// StackTemporal tells where Temporal is.
type StackTemporal struct {
	Address   string `json:"address"` // host:port of the gRPC frontend
	Namespace string `json:"namespace"`
	UIURL     string `json:"ui_url"` // empty with a foreign server
	CLI       string `json:"cli"`    // the temporal program; empty with a foreign server
}

// StackPhantom tells where the worker of the stack listens; zero where it has none.
type StackPhantom struct {
	APIURL         string `json:"api_url"`
	GatewayURL     string `json:"gateway_url"`
	ModelServerURL string `json:"model_server_url"`
	MetricsURL     string `json:"metrics_url"`
}

// ReadStack reads a stack file.
func ReadStack(path string) (Stack, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Stack{}, fmt.Errorf("read the stack file: %w", err)
	}
	var stack Stack
	if err := json.Unmarshal(text, &stack); err != nil {
		return Stack{}, fmt.Errorf("decode the stack file %s: %w; remove the file, and `make up` writes it anew", path, err)
	}
	return stack, nil
}

// TestStack is the stack that the tests share, named by PHANTOM_TEST_STACK.
func TestStack() (Stack, error) { return testStack(os.LookupEnv) }

func testStack(lookup Lookup) (Stack, error) {
	r := &reader{lookup: lookup}
	path := r.text("PHANTOM_TEST_STACK", "")
	if path == "" {
		return Stack{}, errors.New("PHANTOM_TEST_STACK names no stack file: run the tests with `make test`, " +
			"or one package with `bin/phantom-dev test -- go test ./eventstore`")
	}
	return ReadStack(path)
}

// readDefaults reads the private stack of a state folder, which is empty where none runs.
func readDefaults(state string) (Stack, error) {
	stack, err := ReadStack(filepath.Join(state, StackFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Stack{}, nil
	}
	return stack, err
}
