//go:build !unix

package main

import (
	"errors"
	"io/fs"
	"strings"
)

// fileLimit: such a limit is not known here.
func fileLimit() (limit uint64, known bool) { return 0, false }

// lockedByOther cannot be found out without taking the lock; the server says so at its start.
func lockedByOther(string) bool { return false }

// diskOf: this system is not asked.
func diskOf(string) (disk, error) { return disk{}, errors.ErrUnsupported }

func portTaken(err error) bool   { return strings.Contains(err.Error(), "Only one usage") }
func portDenied(err error) bool  { return errors.Is(err, fs.ErrPermission) }
func portNotHere(err error) bool { return strings.Contains(err.Error(), "not valid in its context") }
