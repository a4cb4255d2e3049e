package media

// bits reads unsigned numbers of any width, most significant bit first. Beyond its end it reads zeros and sets over.
type bits struct {
	b    []byte
	at   int  // next bit
	over bool // read beyond the end
}

// get reads n bits, at most 32.
func (r *bits) get(n int) uint32 {
	if r.at+n > 8*len(r.b) {
		r.at, r.over = 8*len(r.b), true
		return 0
	}
	var v uint32
	for n > 0 {
		have := 8 - r.at&7
		take := min(have, n)
		v = v<<take | uint32(r.b[r.at>>3])>>(have-take)&(1<<take-1)
		r.at += take
		n -= take
	}
	return v
}

func (r *bits) flag() bool { return r.get(1) == 1 }

// skip passes over n bits.
func (r *bits) skip(n int) {
	if r.at += n; r.at > 8*len(r.b) {
		r.at, r.over = 8*len(r.b), true
	}
}

// golomb reads an unsigned Exp-Golomb code (ITU-T H.264 section 9.1), which AV1 calls uvlc.
func (r *bits) golomb() uint32 {
	zeros := 0
	for !r.flag() {
		if zeros++; zeros > 31 || r.over {
			r.over = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.get(zeros)
}

// below reads a number that is less than n in as few bits as that takes (AV1 RTP specification, appendix A.8.2: ns).
func (r *bits) below(n uint32) uint32 {
	width := 0
	for x := n; x != 0; x >>= 1 {
		width++
	}
	if width == 0 {
		return 0
	}
	short := uint32(1)<<width - n
	v := r.get(width - 1)
	if v < short {
		return v
	}
	return v<<1 - short + r.get(1)
}
