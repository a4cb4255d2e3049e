//go:build !unix

package bus

import (
	"errors"
	"fmt"
	"os"
)

// A folderLock keeps a second process out of a data folder. Without flock it is a file that must not exist; a
// process that dies leaves it behind, and whoever starts the next one removes it.
type folderLock struct {
	file *os.File
	path string
}

// lockFolder takes the lock whose file is at path, without waiting.
func lockFolder(path string) (*folderLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w (if none runs, remove %s)", errFolderInUse, path)
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be written: %w", err)
	}
	return &folderLock{file: file, path: path}, nil
}

// release gives the lock back.
func (l *folderLock) release() error { return errors.Join(l.file.Close(), os.Remove(l.path)) }
