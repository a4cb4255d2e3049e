// Package prefetch tells the processor what memory will be read soon, so that it is in the cache then.
//
// A server that forwards one packet to a hundred people looks at a hundred sets of state, one after the other, and each
// line of the cache that is not there costs as much as encrypting a small packet. Asked for beforehand, many of them come
// at the same time. A request changes nothing and waits for nothing, so no lock is needed for the memory it names; it may
// be ignored. Where there is no instruction for it, nothing is done.
//
// The package imports nothing.
package prefetch

import "unsafe"

// Of asks for what p points to; nil is allowed.
func Of[T any](p *T) { lines(unsafe.Pointer(p), unsafe.Sizeof(*p)) }

// Bytes asks for so many bytes from p on.
func Bytes(p unsafe.Pointer, size uintptr) { lines(p, size) }
