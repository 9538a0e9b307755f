package stack

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"phantom/internal/config"
)

// State is what stack.json holds: the addresses that config reads, and the processes.
type State struct {
	config.Stack

	Starts     int         `json:"starts"`            // counts Up and every Revive that is over
	Failure    string      `json:"failure,omitempty"` // why the last of them failed
	Supervisor Identity    `json:"supervisor"`
	Parts      []PartState `json:"parts"`
}

// PartState tells of one part.
type PartState struct {
	Identity

	Name    string `json:"name"`
	Address string `json:"address"`
	Log     string `json:"log"`
	Alive   bool   `json:"alive"`
	Reason  string `json:"reason,omitempty"` // how it ended
}

// Part finds a part by its name.
func (s State) Part(name string) (PartState, bool) {
	for _, part := range s.Parts {
		if part.Name == name {
			return part, true
		}
	}
	return PartState{}, false
}

// ReadState reads the state of a folder; fs.ErrNotExist when nothing runs there.
func ReadState(folder string) (State, error) {
	path := filepath.Join(folder, config.StackFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return State{}, err
	}
	var state State
	if err := json.Unmarshal(text, &state); err != nil {
		return State{}, fmt.Errorf("decode %s: %w", path, err)
	}
	return state, nil
}

func (s State) write(folder string) error {
	return writeJSON(filepath.Join(folder, config.StackFile), s)
}

// writeJSON replaces a file as a whole, so that no reader sees half of it.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// reap kills what a dead supervisor left behind, and waits until it is gone. The caller holds the lock.
func reap(folder string) error {
	state, err := ReadState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the last stack left behind (remove the file if it is broken): %w", err)
	}
	for _, part := range state.Parts {
		if err := end(part.Identity, syscall.SIGKILL, 10*time.Second); err != nil {
			return fmt.Errorf("kill %s, which the last stack left behind: %w", part.Name, err)
		}
	}
	return forget(folder)
}

// end signals a process and waits until it is gone.
func end(process Identity, signal syscall.Signal, patience time.Duration) error {
	if err := process.Signal(signal); err != nil {
		return fmt.Errorf("signal process %d: %w", process.PID, err)
	}
	for deadline := time.Now().Add(patience); process.Alive(); time.Sleep(probeInterval) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end within %s of %s", process.PID, patience, signal)
		}
	}
	return nil
}

// forget removes the stack file: nothing runs any more.
func forget(folder string) error {
	if err := os.Remove(filepath.Join(folder, config.StackFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// secrets are the passwords of the private PostgreSQL.
type secrets struct {
	Admin   string `json:"admin"`
	Owner   string `json:"owner"`
	Serving string `json:"serving"`
}

// readSecrets reads the passwords of a state folder, or makes them.
func readSecrets(folder string) (secrets, error) {
	path := filepath.Join(folder, "secrets.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made := secrets{Admin: rand.Text(), Owner: rand.Text(), Serving: rand.Text()}
		return made, writeJSON(path, made)
	}
	if err != nil {
		return secrets{}, err
	}
	var kept secrets
	if err := json.Unmarshal(text, &kept); err != nil {
		return secrets{}, fmt.Errorf("decode %s: %w", path, err)
	}
	return kept, nil
}
