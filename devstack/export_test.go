package main

// Run is the program, for a test binary that stands in for it.
var Run = run //nolint:gochecknoglobals // the seam of the tests
