//go:build !unix

package main

import "errors"

func freeDisk(string) (uint64, error) {
	return 0, errors.New("how much disk is free is not known on this system")
}
