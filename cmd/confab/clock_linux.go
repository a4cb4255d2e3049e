package main

import "golang.org/x/sys/unix"

// timeError is the state of a clock that is not synchronized (adjtimex(2), TIME_ERROR).
const timeError = 5

// clockSynchronized asks the kernel whether something keeps its clock right: a client of NTP, or the host of a virtual
// machine.
func clockSynchronized() (right, known bool) {
	state, err := unix.Adjtimex(&unix.Timex{})
	return state != timeError, err == nil
}
