package oracle_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"phantom/internal/oracle"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == oracle.AppendCommand {
		if err := oracle.Append(os.Args[2], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "appending process:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}
