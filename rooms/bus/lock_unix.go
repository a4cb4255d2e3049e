//go:build unix

package bus

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A folderLock keeps a second process out of a data folder: NATS itself takes no lock, and two servers on one
// store lose all of it. The kernel releases it when the process dies.
type folderLock struct{ file *os.File }

// lockFolder takes the lock whose file is at path, without waiting.
func lockFolder(path string) (*folderLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("it cannot be written: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errFolderInUse
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &folderLock{file: file}, nil
}

// release gives the lock back.
func (l *folderLock) release() error { return l.file.Close() }
