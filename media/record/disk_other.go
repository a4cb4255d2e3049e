//go:build !unix

package record

import (
	"errors"
	"math"
)

// freeBytes is not known here; recordings end when the disk refuses to take more.
func freeBytes(string) (uint64, error) { return math.MaxUint64, errors.ErrUnsupported }

// diskFull cannot be told from other errors here.
func diskFull(error) bool { return false }
