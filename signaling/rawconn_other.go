//go:build !unix

package signaling

import "errors"

const canTryWrite = false

func writeNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
