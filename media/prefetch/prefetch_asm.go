//go:build amd64 || arm64

package prefetch

import "unsafe"

// lines asks for the lines that hold the size bytes from p on.
//
//go:noescape
func lines(p unsafe.Pointer, size uintptr)
