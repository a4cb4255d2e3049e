package forwardbench

import "encoding/binary"

// A stamp is what a payload says about itself.
type stamp struct {
	sent   int64  // Unix time in nanoseconds
	number uint32 // counts the packets of a stream
	stream uint32
}

// stampAt is where the stamp stands in a payload, after a VP8 descriptor with its extensions (RFC 7741 section 4.2)
// and the first byte of a frame.
const stampAt = 8

func (s stamp) put(payload []byte) {
	binary.BigEndian.PutUint64(payload[stampAt:], uint64(s.sent))
	binary.BigEndian.PutUint32(payload[stampAt+8:], s.number)
	binary.BigEndian.PutUint32(payload[stampAt+12:], s.stream)
}

// readStamp returns false for what is too short to bear one, such as a packet of padding.
func readStamp(payload []byte) (stamp, bool) {
	if len(payload) < stampAt+16 {
		return stamp{}, false
	}
	return stamp{
		sent:   int64(binary.BigEndian.Uint64(payload[stampAt:])),
		number: binary.BigEndian.Uint32(payload[stampAt+8:]),
		stream: binary.BigEndian.Uint32(payload[stampAt+12:]),
	}, true
}

// putVP8 writes the descriptor of one packet of the frame with this picture id.
func putVP8(payload []byte, picture uint16, first, key bool) {
	payload[0] = 0x80 // X
	if first {
		payload[0] |= 0x10 // S
	}
	payload[1] = 0xc0 // I and L
	payload[2], payload[3] = 0x80|byte(picture>>8), byte(picture)
	payload[4] = byte(picture) // TL0PICIDX
	payload[5] = 1             // P: not a key frame
	if key {
		payload[5] = 0
	}
}
