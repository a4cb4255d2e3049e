package main

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is how late a timer of this process may fire, in nanoseconds. Linux has 50 us, and wakes the Go runtime's
// monitor thread every 70 us for as long as anything runs: on a server with many small things to do that is a fifth of
// the CPU time. Nothing here needs a timer more exact than a millisecond.
const timerSlack = 1_000_000

// relaxTimers gives every thread of the process timerSlack. A thread has the slack of the one that has made it, and
// the monitor is there before main is, so the process begins anew with what it has set (prctl(2): the value is kept
// across execve); it keeps its id, its files and its arguments. Where somebody has set as much already, such as
// systemd with TimerSlackNSec=, or where it cannot be done, the process goes on as it is.
func relaxTimers() {
	if slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || slack >= timerSlack {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // prctl is for the thread that calls it, and that is the one that remains
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0); err != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, os.Environ()) // returns only when it fails, and then nothing is lost
}
