package media

// A vp8Descriptor is what is read of a VP8 payload descriptor (RFC 7741 section 4.2).
type vp8Descriptor struct {
	key      bool   // begins a key frame
	start    bool   // begins a frame: S and partition 0
	sync     bool   // Y: depends on frames of temporal layer 0 only
	temporal uint8  // TID
	pidAt    int    // where the picture id stands, 0 = none
	pidLong  bool   // it has 15 bits, not 7
	pid      uint16 //
	tl0At    int    // where TL0PICIDX stands, 0 = none
	tl0      uint8
	frameAt  int // where the frame's data begins
}

// parseVP8 reads the descriptor; false means that the payload is too short for what it announces.
func parseVP8(b []byte) (d vp8Descriptor, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	first, at := b[0], 1
	if first&0x80 != 0 { // X
		if at, ok = d.readExtension(b); !ok {
			return d, false
		}
	}
	if at >= len(b) {
		return d, false
	}
	// S, partition 0, and P = 0 in the payload header (sections 4.2 and 4.3).
	d.start = first&0x17 == 0x10
	d.key = d.start && b[at]&0x01 == 0
	d.frameAt = at
	return d, true
}

// readExtension reads what follows the first octet.
func (d *vp8Descriptor) readExtension(b []byte) (at int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	ext := b[1]
	at = 2
	if ext&0x80 != 0 { // I
		if at, ok = d.readPictureID(b, at); !ok {
			return 0, false
		}
	}
	if ext&0x40 != 0 { // L
		if at >= len(b) {
			return 0, false
		}
		d.tl0At, d.tl0 = at, b[at]
		at++
	}
	if ext&0x30 != 0 { // T or K
		if at >= len(b) {
			return 0, false
		}
		if ext&0x20 != 0 { // T
			d.temporal, d.sync = b[at]>>6, b[at]&0x20 != 0
		}
		at++
	}
	return at, true
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

func describeVP8(payload []byte) layering {
	d, ok := parseVP8(payload)
	if !ok {
		return layering{}
	}
	return layering{
		layer: layer{temporal: d.temporal}, start: d.start, key: d.key, upTemporal: d.start && d.sync,
	}
}

// vp8Size reads the frame header of a key frame (RFC 6386 section 9.1).
func vp8Size(payload []byte) size {
	d, ok := parseVP8(payload)
	if !ok || !d.key || len(payload) < d.frameAt+10 {
		return size{}
	}
	b := payload[d.frameAt:]
	if b[3] != 0x9d || b[4] != 0x01 || b[5] != 0x2a {
		return size{}
	}
	return size{int(b[7]&0x3f)<<8 | int(b[6]), int(b[9]&0x3f)<<8 | int(b[8])}
}
