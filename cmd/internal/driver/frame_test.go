package driver

import (
	"bytes"
	"testing"
)

// serverFrame is a frame as servers send them: without a mask.
func serverFrame(payload []byte) []byte {
	frame := appendFrame(nil, opText, payload)
	head := len(frame) - len(payload) - 4
	frame[1] &^= maskBit
	return append(frame[:head:head], payload...)
}

func TestFramesOfEverySize(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 200_000} {
		payload := bytes.Repeat([]byte{'x'}, size)
		frame := serverFrame(payload)
		op, got, used, ok, err := parseFrame(append(frame, "next"...))
		if err != nil || !ok || op != opText || used != len(frame) || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: op %d, %d bytes, used %d of %d, %v, %v", size, op, len(got), used, len(frame), ok, err)
		}
		for _, cut := range []int{0, 1, 2, 3, len(frame) - 1} {
			if cut >= len(frame) {
				continue
			}
			if _, _, need, ok, err := parseFrame(frame[:cut]); ok || err != nil || need != 0 && need != len(frame) {
				t.Errorf("%d bytes cut to %d: ok %v, needs %d, %v", size, cut, ok, need, err)
			}
		}
	}
}

func TestFramesThatAreRefused(t *testing.T) {
	for name, frame := range map[string][]byte{
		"masked": appendFrame(nil, opText, []byte("x")), "fragment": {opText, 1, 'x'}, "compressed": {0xc1, 1, 'x'},
	} {
		if _, _, _, _, err := parseFrame(frame); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
