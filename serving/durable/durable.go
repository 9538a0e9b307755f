// Package durable writes small files that survive a crash.
//
// What it promises: after WriteFile returns, the file holds exactly the new body, also after a power cut;
// before, it holds exactly the old one. Load tells a whole file from a damaged one by its checksum.
//
// What it does not: it takes no lock between processes and keeps no older versions.
package durable

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrDamaged says that a file is not what Save wrote.
var ErrDamaged = errors.New("the file is damaged")

const header = "phantom-state 1 sha256:"

// Save writes the value as JSON behind a line with its checksum.
func Save(path string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	sum := sha256.Sum256(body)
	return WriteFile(path, []byte(header+hex.EncodeToString(sum[:])+"\n"+string(body)+"\n"))
}

// Load reads what Save wrote. A file that is not there is fs.ErrNotExist, a bad one ErrDamaged.
func Load(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	first, body, found := bytes.Cut(text, []byte("\n"))
	body = bytes.TrimSuffix(body, []byte("\n"))
	sum := sha256.Sum256(body)
	if !found || string(first) != header+hex.EncodeToString(sum[:]) {
		return fmt.Errorf("read %s: %w", path, ErrDamaged)
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("read %s: %w: %w", path, ErrDamaged, err)
	}
	return nil
}

// WriteFile replaces the file by way of a temporary one beside it; both file and folder are synced.
func WriteFile(path string, body []byte) error {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(file.Name()) // After the rename it is gone, before it is only litter.
	_, err = file.Write(body)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = SyncFolder(folder)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(folder string) error {
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Exists reports whether there is anything at the path.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
