//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeDisk is what an ordinary user may still write at a folder, in bytes.
func freeDisk(folder string) (uint64, error) {
	var seen unix.Statfs_t
	if err := unix.Statfs(folder, &seen); err != nil {
		return 0, fmt.Errorf("how much disk is free at %s: %w", folder, err)
	}
	return uint64(seen.Bavail) * uint64(seen.Bsize), nil //nolint:unconvert // the types differ between systems
}
