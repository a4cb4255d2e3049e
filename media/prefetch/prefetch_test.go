//go:build unix

package prefetch

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestNoFault asks for memory that may not be read: that must go unpunished, and must end.
func TestNoFault(t *testing.T) {
	page := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Mprotect(memory[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	last := unsafe.Pointer(&memory[page-1])
	for _, size := range []int{0, 1, 2, page} {
		Bytes(last, uintptr(size))
	}
	Of((*[1000]byte)(nil))
	Of((*struct{})(last))
}

// TestNothingChanges asks for memory of every alignment and compares it afterwards.
func TestNothingChanges(t *testing.T) {
	var memory [4 * 64]byte
	for i := range memory {
		memory[i] = byte(i)
	}
	for from := range 64 {
		for size := range 128 {
			Bytes(unsafe.Pointer(&memory[from]), uintptr(size))
		}
	}
	for i := range memory {
		if memory[i] != byte(i) {
			t.Fatalf("byte %d is %d", i, memory[i])
		}
	}
}
