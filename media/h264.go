package media

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

// h264Size reads the sequence parameter set of a payload, if it has one in one piece.
func h264Size(b []byte) size {
	if len(b) < 2 {
		return size{}
	}
	switch b[0] & 0x1f {
	case nalSPS:
		return spsSize(b[1:])
	case nalSTAPA:
		for b = b[1:]; len(b) > 2; {
			n := int(b[0])<<8 | int(b[1])
			if n == 0 || 2+n > len(b) {
				return size{}
			}
			if b[2]&0x1f == nalSPS {
				return spsSize(b[3 : 2+n])
			}
			b = b[2+n:]
		}
	}
	return size{}
}

// maxSPS bounds, in bytes, what is read of a sequence parameter set: the size stands before the end of it.
const maxSPS = 64

// spsSize reads a sequence parameter set after its first byte (ITU-T H.264 section 7.3.2.1.1).
func spsSize(nal []byte) size {
	var raw [maxSPS]byte
	r := bits{b: unescape(raw[:0], nal)}
	profile := r.get(8)
	r.skip(16) // constraints, level
	r.golomb() // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if chroma = r.golomb(); chroma == 3 {
			r.skip(1)
		}
		r.golomb() // bit_depth_luma_minus8
		r.golomb() // bit_depth_chroma_minus8
		r.skip(1)
		if r.flag() { // scaling matrices, which no browser sends
			return size{}
		}
	}
	r.golomb() // log2_max_frame_num_minus4
	switch r.golomb() {
	case 0:
		r.golomb()
	case 1:
		r.skip(1)
		r.golomb()
		r.golomb()
		for range min(r.golomb(), 255) {
			r.golomb()
		}
	}
	r.golomb() // max_num_ref_frames
	r.skip(1)
	width, height := 16*(int(r.golomb())+1), 16*(int(r.golomb())+1)
	fields := 1
	if !r.flag() { // frame_mbs_only_flag
		fields = 2
		r.skip(1)
	}
	height *= fields
	r.skip(1)     // direct_8x8_inference_flag
	if r.flag() { // cropping, in units of chroma samples
		x, y := 1, fields
		if chroma == 1 || chroma == 2 {
			x = 2
		}
		if chroma == 1 {
			y *= 2
		}
		width -= x * int(r.golomb()+r.golomb())
		height -= y * int(r.golomb()+r.golomb())
	}
	if r.over || width <= 0 || height <= 0 || width > maxDimension || height > maxDimension {
		return size{}
	}
	return size{width, height}
}

// maxDimension is more than any picture has; a larger one is a lie.
const maxDimension = 1 << 15

// unescape appends a NAL unit without its emulation prevention bytes (ITU-T H.264 section 7.4.1), as far as dst has
// room.
func unescape(dst, nal []byte) []byte {
	zeros := 0
	for _, b := range nal {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if len(dst) == cap(dst) {
			return dst
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		dst = append(dst, b)
	}
	return dst
}
