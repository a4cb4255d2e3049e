//go:build unix

package signaling

import "syscall"

const canTryWrite = true

// writeNow is write(2) on a socket that does not block; what is not taken now is no error.
func writeNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
