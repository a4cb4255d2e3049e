//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileLimit is how many files this process may have open. Go's runtime has raised the soft limit to the hard one
// before main (package os, since Go 1.19), so that there is nothing left to raise.
func fileLimit() (limit uint64, known bool) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}

// lockedByOther reports whether another process holds the lock at path. It holds it for an instant itself.
func lockedByOther(path string) bool {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false // nobody has made it yet
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// diskOf looks at the disk that path is on. The error is that of the system.
func diskOf(path string) (disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return disk{}, err
	}
	return disk{free: s.Bavail * uint64(s.Bsize), size: s.Blocks * uint64(s.Bsize)}, nil
}

func portTaken(err error) bool   { return errors.Is(err, syscall.EADDRINUSE) }
func portDenied(err error) bool  { return errors.Is(err, syscall.EACCES) }
func portNotHere(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }
