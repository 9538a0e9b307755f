package main

import "io"

// Run is the command without its exit.
func Run(args []string, out io.Writer) error { return run(args, out) }

// Fingerprint is the comment that belongs below the tables.
func Fingerprint(tables []byte) ([]byte, error) { return fingerprint(tables) }
