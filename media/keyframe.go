package media

import "strings"

// A codecKind is how a payload is to be read. The zero value is one of which nothing is known.
type codecKind uint8

const (
	codecOther codecKind = iota
	codecVP8
	codecVP9
	codecH264
	codecAV1
)

func kindOfCodec(mime string) codecKind {
	switch strings.ToLower(mime) {
	case "video/vp8":
		return codecVP8
	case "video/vp9":
		return codecVP9
	case "video/h264":
		return codecH264
	case "video/av1":
		return codecAV1
	default:
		return codecOther
	}
}

// startsKeyFrame reports whether payload is the first packet of a key frame.
func (c codecKind) startsKeyFrame(payload []byte) bool {
	switch c {
	case codecVP8:
		d, ok := parseVP8(payload)
		return ok && d.key
	case codecVP9:
		return vp9KeyFrame(payload)
	case codecH264:
		return h264KeyFrame(payload)
	case codecAV1:
		// RFC AV1 RTP section 4.4: N = first packet of a coded video sequence; Z must then be 0.
		return len(payload) > 1 && payload[0]&0x08 != 0 && payload[0]&0x80 == 0
	default:
		return false
	}
}

// A vp8Descriptor is what is read of a VP8 payload descriptor (RFC 7741 section 4.2).
type vp8Descriptor struct {
	key     bool   // begins a key frame
	pidAt   int    // where the picture id stands, 0 = none
	pidLong bool   // it has 15 bits, not 7
	pid     uint16 //
	tl0At   int    // where TL0PICIDX stands, 0 = none
	tl0     uint8
}

// parseVP8 reads the descriptor; false means that the payload is too short for what it announces.
func parseVP8(b []byte) (d vp8Descriptor, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	first, at := b[0], 1
	if first&0x80 != 0 { // X
		if len(b) < 2 {
			return d, false
		}
		ext := b[1]
		at = 2
		if ext&0x80 != 0 { // I
			if at, ok = d.readPictureID(b, at); !ok {
				return d, false
			}
		}
		if ext&0x40 != 0 { // L
			if at >= len(b) {
				return d, false
			}
			d.tl0At, d.tl0 = at, b[at]
			at++
		}
		if ext&0x30 != 0 { // T or K
			at++
		}
	}
	if at >= len(b) {
		return d, false
	}
	// S, partition 0, and P = 0 in the payload header (sections 4.2 and 4.3).
	d.key = first&0x17 == 0x10 && b[at]&0x01 == 0
	return d, true
}

func (d *vp8Descriptor) readPictureID(b []byte, at int) (next int, ok bool) {
	if at >= len(b) {
		return 0, false
	}
	d.pidAt = at
	if b[at]&0x80 == 0 { // M
		d.pid = uint16(b[at])
		return at + 1, true
	}
	if at+1 >= len(b) {
		return 0, false
	}
	d.pidLong, d.pid = true, uint16(b[at]&0x7f)<<8|uint16(b[at+1])
	return at + 2, true
}

// put writes a picture id and TL0PICIDX over those of the descriptor that d was read from.
func (d *vp8Descriptor) put(b []byte, pid uint16, tl0 uint8) {
	if d.pidAt != 0 && d.pidLong {
		b[d.pidAt], b[d.pidAt+1] = 0x80|byte(pid>>8)&0x7f, byte(pid)
	} else if d.pidAt != 0 {
		b[d.pidAt] = byte(pid) & 0x7f
	}
	if d.tl0At != 0 {
		b[d.tl0At] = tl0
	}
}

// vp9KeyFrame reads a VP9 payload descriptor (RFC 9628 section 4.2): B, not P, and the lowest spatial layer.
func vp9KeyFrame(b []byte) bool {
	if len(b) < 2 || b[0]&0x48 != 0x08 {
		return false
	}
	at := 1
	if b[0]&0x80 != 0 { // I: picture id of 7 or 15 bits
		if b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if b[0]&0x20 != 0 { // L: T, U, S, D
		return at < len(b) && b[at]>>1&0x07 == 0
	}
	return at < len(b)
}

// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 table 1).
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// h264KeyFrame reports whether a payload (RFC 6184 section 5) brings a parameter set or begins an IDR picture that
// comes without one.
func h264KeyFrame(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	switch b[0] & 0x1f {
	case nalSPS, nalIDR:
		return true
	case nalFUA:
		kind := b[1] & 0x1f
		return b[1]&0x80 != 0 && (kind == nalSPS || kind == nalIDR)
	case nalSTAPA:
		for b = b[1:]; len(b) > 2; {
			size := int(b[0])<<8 | int(b[1])
			if kind := b[2] & 0x1f; size > 0 && (kind == nalSPS || kind == nalIDR) {
				return true
			}
			if 2+size > len(b) {
				return false
			}
			b = b[2+size:]
		}
	}
	return false
}
