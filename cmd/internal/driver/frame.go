package driver

import (
	"encoding/binary"
	"errors"
)

// The parts of a WebSocket frame that the driver needs (RFC 6455 section 5.2). It is written by hand so that the
// driver, which shares the cores with the server, spends as little as it can on each delivered message.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa

	finBit  = 0x80
	maskBit = 0x80
)

var errFrame = errors.New("a frame that the driver does not read: masked, fragmented or with reserved bits")

// parseFrame reads the frame at the start of buf. size is what the whole frame takes; while buf holds less of it,
// ok is false, and size is 0 when not even the length is known. The payload aliases buf.
func parseFrame(buf []byte) (op byte, payload []byte, size int, ok bool, err error) {
	if len(buf) < 2 {
		return 0, nil, 0, false, nil
	}
	if buf[0]&finBit == 0 || buf[0]&0x70 != 0 || buf[1]&maskBit != 0 {
		return 0, nil, 0, false, errFrame
	}
	head, length := 2, int(buf[1])
	switch length {
	case 126:
		if len(buf) < 4 {
			return 0, nil, 0, false, nil
		}
		head, length = 4, int(binary.BigEndian.Uint16(buf[2:]))
	case 127:
		if len(buf) < 10 {
			return 0, nil, 0, false, nil
		}
		head, length = 10, int(binary.BigEndian.Uint64(buf[2:]))
	}
	size = head + length
	if len(buf) < size {
		return 0, nil, size, false, nil
	}
	return buf[0] & 0x0f, buf[head:size], size, true, nil
}

// appendFrame appends a client's frame. Its mask is four zero bytes: a legal mask that leaves the payload as it is.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, finBit|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, maskBit|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, maskBit|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, maskBit|127), uint64(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}
