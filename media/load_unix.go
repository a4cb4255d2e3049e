//go:build unix

package media

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used of the CPU so far, 0 if the system does not say.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
