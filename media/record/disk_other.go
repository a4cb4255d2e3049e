//go:build !unix

package record

import (
	"errors"
	"math"
	"os"
)

// freeBytes is not known here; recordings end when the disk refuses to take more.
func freeBytes(string) (uint64, error) { return math.MaxUint64, errors.ErrUnsupported }

// diskFull cannot be told from other errors here.
func diskFull(error) bool { return false }

// lock makes the file at path, but keeps no other process away.
func lock(path string) (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) }
