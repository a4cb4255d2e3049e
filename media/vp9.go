package media

// A vp9Descriptor is what is read of a VP9 payload descriptor (RFC 9628 section 4.2).
type vp9Descriptor struct {
	predicted bool  // P: from earlier pictures
	start     bool  // B: first packet of a layer frame
	end       bool  // E: last one
	layers    bool  // L: the layer is told
	switchUp  bool  // U
	temporal  uint8 // TID
	spatial   uint8 // SID
	sizes     [maxSpatial]size
	sized     int // how many of sizes were told
	frameAt   int // where the frame's data begins
}

// parseVP9 reads the descriptor; false means that the payload is too short for what it announces.
func parseVP9(b []byte) (d vp9Descriptor, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	first, at := b[0], 1
	const (
		flagI, flagP, flagL, flagF = 0x80, 0x40, 0x20, 0x10
		flagB, flagE, flagV        = 0x08, 0x04, 0x02
	)
	d.predicted, d.start, d.end, d.layers = first&flagP != 0, first&flagB != 0, first&flagE != 0, first&flagL != 0
	if first&flagI != 0 { // picture id of 7 or 15 bits
		if at >= len(b) {
			return d, false
		}
		at += 1 + int(b[at]>>7)
	}
	if first&flagL != 0 {
		if at >= len(b) {
			return d, false
		}
		d.temporal, d.switchUp, d.spatial = b[at]>>5, b[at]&0x10 != 0, b[at]>>1&0x07
		if at++; first&flagF == 0 { // TL0PICIDX
			at++
		}
	}
	if first&flagP != 0 && first&flagF != 0 { // up to 3 P_DIFF, N = one more follows
		for n := 0; ; n++ {
			if at >= len(b) || n == 3 {
				return d, false
			}
			if at++; b[at-1]&0x01 == 0 {
				break
			}
		}
	}
	if first&flagV != 0 {
		if at, ok = d.readStructure(b, at); !ok {
			return d, false
		}
	}
	if at >= len(b) {
		return d, false
	}
	d.frameAt = at
	return d, true
}

// readStructure reads the scalability structure: the sizes; the pictures of a group only to pass over them.
func (d *vp9Descriptor) readStructure(b []byte, at int) (next int, ok bool) {
	if at >= len(b) {
		return 0, false
	}
	count, hasSizes, hasGroup := int(b[at]>>5)+1, b[at]&0x10 != 0, b[at]&0x08 != 0
	at++
	if hasSizes {
		if at+4*count > len(b) {
			return 0, false
		}
		for i := range count {
			if i < maxSpatial {
				d.sizes[i] = size{int(b[at])<<8 | int(b[at+1]), int(b[at+2])<<8 | int(b[at+3])}
				d.sized = i + 1
			}
			at += 4
		}
	}
	if !hasGroup {
		return at, true
	}
	if at >= len(b) {
		return 0, false
	}
	pictures := int(b[at])
	at++
	for range pictures {
		if at >= len(b) {
			return 0, false
		}
		at += 1 + int(b[at]>>2&0x03) // R references
	}
	return at, true
}

// describeVP9. U marks a picture whose temporal layer may be joined: encoders set it on pictures that depend on lower
// temporal layers only, as Y of VP8.
func describeVP9(payload []byte) layering {
	d, ok := parseVP9(payload)
	if !ok {
		return layering{}
	}
	return layering{
		layer: layer{min(d.spatial, maxSpatial-1), min(d.temporal, maxTemporal-1)},
		start: d.start, end: d.end,
		key:       d.start && !d.predicted && d.spatial == 0,
		upSpatial: d.start && !d.predicted, upTemporal: d.start && d.switchUp,
	}
}

// vp9Sizes returns the sizes told in the descriptor, else that in the frame's own header.
func vp9Sizes(payload []byte) (list [maxSpatial]size, n int) {
	d, ok := parseVP9(payload)
	if !ok {
		return list, 0
	}
	if d.sized > 0 {
		return d.sizes, d.sized
	}
	if list[0] = vp9FrameSize(payload[d.frameAt:]); list[0].area() == 0 {
		return list, 0
	}
	return list, 1
}

// vp9FrameSize reads the uncompressed header of a key frame (VP9 bitstream specification section 6.2).
func vp9FrameSize(b []byte) size {
	r := bits{b: b}
	if r.get(2) != 2 { // frame_marker
		return size{}
	}
	profile := r.get(1) | r.get(1)<<1
	if profile == 3 {
		r.skip(1)
	}
	if r.get(2) != 0 { // show_existing_frame; frame_type: 0 = key frame
		return size{}
	}
	r.skip(2) // show_frame, error_resilient_mode
	if r.get(24) != 0x498342 {
		return size{}
	}
	if profile >= 2 {
		r.skip(1) // bit depth
	}
	if space := r.get(3); space != 7 { // not RGB
		r.skip(1)
		if profile == 1 || profile == 3 {
			r.skip(3)
		}
	} else if profile == 1 || profile == 3 {
		r.skip(1)
	}
	s := size{int(r.get(16)) + 1, int(r.get(16)) + 1}
	if r.over {
		return size{}
	}
	return s
}
