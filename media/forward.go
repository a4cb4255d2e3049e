package media

// A rewriter turns the numbers of packets of one source, or of several one after another, into one unbroken stream
// of one subscriber. A run is what comes of one source without a cut; a cut is a pause, a skipped part or another
// source. Within a run every number moves by the same distance, so that holes stay holes (the subscriber asks for
// what is missing), late packets fall into their place and a resend is the same as the first sending. Across a cut
// the numbers go on with the next one. It does no input or output and keeps nothing but numbers.
type rewriter struct {
	started bool
	base    uint64 // first packet of the run; older ones are not forwarded
	newest  uint64 // newest packet of the run that was forwarded
	outSeq  uint16 // what newest was sent as
	outTS   uint32 // the newest timestamp sent
	shiftTS uint32

	// VP8 only (RFC 7741 section 4.2).
	outPID   uint16 // the newest picture id sent, 15 bits
	outTL0   uint8
	shiftPID uint16
	shiftTL0 uint8
}

// cut begins a run with the packet p: it will be sent as the next sequence number, with a timestamp that is elapsed
// ticks, but at least one, after the newest that was sent. v is p's VP8 descriptor, if it has one.
func (w *rewriter) cut(p *packet, v vp8Descriptor, elapsed uint32) {
	if w.started {
		w.shiftTS = w.outTS + max(elapsed, 1) - p.ts
		w.shiftPID = w.outPID + 1 - v.pid
		w.shiftTL0 = w.outTL0 + 1 - v.tl0
	}
	w.started = true
	w.base, w.newest = p.seq, p.seq-1
}

// rewrite returns what p is sent as, and changes its VP8 descriptor in place. False: p is not to be sent, because it
// belongs before the cut.
func (w *rewriter) rewrite(p *packet, v vp8Descriptor) (seq uint16, ts uint32, ok bool) {
	if p.seq < w.base {
		return 0, 0, false
	}
	seq = w.outSeq + uint16(p.seq-w.newest)
	ts = p.ts + w.shiftTS
	pid, tl0 := (v.pid+w.shiftPID)&0x7fff, v.tl0+w.shiftTL0
	if v.pidAt != 0 && !v.pidLong {
		pid &= 0x7f
	}
	v.put(p.payload, pid, tl0)
	if p.seq > w.newest {
		w.newest, w.outSeq = p.seq, seq
		if int32(ts-w.outTS) > 0 || p.seq == w.base {
			w.outTS = ts
		}
		if v.pidAt != 0 {
			w.outPID = pid
		}
		if v.tl0At != 0 {
			w.outTL0 = tl0
		}
	}
	return seq, ts, true
}

// source returns the extended number of the packet that was sent as seq, or false if it belongs to no packet of
// this run that was sent.
func (w *rewriter) source(seq uint16) (uint64, bool) {
	back := uint64(w.outSeq - seq)
	if !w.started || back >= 1<<15 || back > w.newest || w.newest-back < w.base {
		return 0, false
	}
	return w.newest - back, true
}
