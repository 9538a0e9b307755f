package stack

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

func dieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// guard is not needed: the kernel guards.
func (l *launcher) guard(Options) (io.Closer, error) { return nil, nil }

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot; empty when there is no such
// process, or only its zombie is left. The second field is the program's name in brackets and may
// hold anything.
func startTime(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, found := strings.Cut(string(text), ") ")
	if last := strings.LastIndex(string(text), ") "); last >= 0 {
		rest, found = string(text)[last+2:], true
	}
	fields := strings.Fields(rest) // from field 3, the state
	if !found || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
