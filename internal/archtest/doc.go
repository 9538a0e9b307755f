// Package archtest holds the tests of the house's walls: which folder may reach which package, also by
// way of others. Direct imports are the linter's, see depguard in .golangci.yml.
package archtest
