package media

// startsAV1 reports whether a payload is the first packet of a coded video sequence (AV1 RTP specification section
// 4.4): N, and then Z must be 0.
func startsAV1(payload []byte) bool {
	return len(payload) > 1 && payload[0]&0x08 != 0 && payload[0]&0x80 == 0
}

const obuSequenceHeader = 1 // AV1 specification section 6.2.2

// av1Size reads the sequence header of the first packet of a coded video sequence, if it is the first OBU, as the RTP
// specification has it (section 5).
func av1Size(payload []byte) size {
	if len(payload) < 2 {
		return size{}
	}
	count, b := int(payload[0]>>4&0x03), payload[1:]
	if count != 1 { // W = 1: the only element has no size in front
		n, used := leb128(b)
		if used == 0 || n > len(b)-used {
			return size{}
		}
		b = b[used : used+n]
	}
	if len(b) == 0 || b[0]>>3&0x0f != obuSequenceHeader {
		return size{}
	}
	at := 1 + int(b[0]>>2&1) // extension
	if b[0]&0x02 != 0 && at < len(b) {
		_, used := leb128(b[at:])
		at += used
	}
	if at >= len(b) {
		return size{}
	}
	return sequenceSize(b[at:])
}

// leb128 reads a number of at most 4 bytes; used 0 = there is none.
func leb128(b []byte) (n, used int) {
	for used < min(len(b), 4) {
		n |= int(b[used]&0x7f) << (7 * used)
		if used++; b[used-1]&0x80 == 0 {
			return n, used
		}
	}
	return 0, 0
}

// sequenceSize reads a sequence header (AV1 specification section 5.5.1).
func sequenceSize(b []byte) size {
	r := bits{b: b}
	r.skip(3 + 1) // seq_profile, still_picture
	if reduced := r.flag(); reduced {
		r.skip(5)
	} else if !skipOperatingPoints(&r) {
		return size{}
	}
	widthBits, heightBits := int(r.get(4))+1, int(r.get(4))+1
	s := size{int(r.get(widthBits)) + 1, int(r.get(heightBits)) + 1}
	if r.over || s.width > maxDimension || s.height > maxDimension {
		return size{}
	}
	return s
}

// skipOperatingPoints passes over timing and operating points. It gives up where a decoder model is described, which
// makes sense in files only.
func skipOperatingPoints(r *bits) bool {
	if r.flag() { // timing_info_present_flag
		r.skip(64)
		if r.flag() { // equal_picture_interval
			r.golomb()
		}
		if r.flag() { // decoder_model_info_present_flag
			return false
		}
	}
	delays := r.flag()
	for range r.get(5) + 1 {
		r.skip(12)        // operating_point_idc
		if r.get(5) > 7 { // seq_level_idx
			r.skip(1)
		}
		if delays && r.flag() {
			r.skip(4)
		}
	}
	return !r.over
}
