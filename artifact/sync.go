package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// syncFolders makes the rename of a file durable: its folder and the folders above it, as many as levels,
// because the object may be the first in each.
func syncFolders(file string, levels int) error {
	folder := filepath.Dir(file)
	for range levels {
		if err := syncFolder(folder); err != nil {
			return fmt.Errorf("make %s durable: %w", folder, err)
		}
		folder = filepath.Dir(folder)
	}
	return nil
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
