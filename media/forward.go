package media

// A rewriter turns the numbers of packets of one stream, or of several one after another, into one unbroken stream of
// one subscriber. A run is what comes of one source without a cut; a cut is a pause, a skipped part or another source.
// Within a run every number moves by the same distance, so that holes stay holes (the subscriber asks for what is
// missing), late packets fall into their place and a resend is the same as the first sending. Across a cut the numbers
// go on with the next one. What is left out on purpose leaves no hole: it ends its run, and the next one is closer by
// one. The newest runs are kept to find what was sent by its number. It does no input or output and keeps nothing but
// numbers.
type rewriter struct {
	outSeq uint16 // the newest number sent
	outTS  uint32 // the newest timestamp sent or left out; so are those below
	runs   []run  // the newest maxRuns of them, in a circle
	count  int    // runs there have been

	// VP8 only (RFC 7741 section 4.2).
	outPID  uint16 // the newest picture id sent, 15 bits
	outTL0  uint8
	leftPID uint16 // the picture left out last
	left    bool   // leftPID is valid

	outFrame uint16 // the newest frame number sent, of a dependency descriptor
	framed   bool   // outFrame is valid
}

// maxRuns bounds the history: at 30 pictures a second, of which every second one is left out, it reaches back 8 s.
const maxRuns = 128

// A run is how packets of a source are sent that follow each other.
type run struct {
	source *stream
	first  uint64 // extended number of the first packet
	newest uint64 // of the newest one sent or skipped over; first-1 = none
	out    uint16 // what first is sent as

	// How timestamps move: by shift, but not below floor, from where they rise slowly, see timestamp.
	shiftTS uint32
	firstTS uint32
	floorTS uint32
	caught  uint64 // the first packet that shift alone moves, 0 = none yet

	shiftPID   uint16
	shiftTL0   uint8
	shiftFrame uint16
}

// squeeze is how many bits slower time runs in what is sent late: what is kept of a source, from its last key frame on,
// is older than what was sent last of another one.
const squeeze = 7

// timestamp returns what the timestamp of p is sent as. It grows with p's, so that pictures stay apart and in order,
// and is the same each time.
func (r *run) timestamp(p *packet) uint32 {
	moved := p.ts + r.shiftTS
	if r.caught != 0 && p.seq >= r.caught {
		return moved
	}
	slow := r.floorTS + uint32(int32(p.ts-r.firstTS)>>squeeze)
	if int32(slow-moved) > 0 {
		return slow
	}
	return moved
}

// number returns what the packet ext of the source is sent as.
func (r *run) number(ext uint64) uint16 { return r.out + uint16(ext-r.first) }

// put changes the VP8 descriptor of p and the frame number of its dependency descriptor, if it has them, and returns
// what they say then.
func (r *run) put(p *packet, v *vp8Descriptor) (pid uint16, tl0 uint8, frame uint16) {
	if frame = frameNumber(p.dd) + r.shiftFrame; len(p.dd) >= 3 {
		p.dd[1], p.dd[2] = byte(frame>>8), byte(frame)
	}
	pid, tl0 = (v.pid+r.shiftPID)&0x7fff, v.tl0+r.shiftTL0
	if v.pidAt != 0 && !v.pidLong {
		pid &= 0x7f
	}
	v.put(p.payload, pid, tl0)
	return pid, tl0, frame
}

// now returns the newest run, nil before the first one.
func (w *rewriter) now() *run {
	if w.count == 0 {
		return nil
	}
	return w.back(0)
}

// back returns the run that is n before the newest.
func (w *rewriter) back(n int) *run { return &w.runs[(w.count-1-n)%maxRuns] }

// kept is how many runs are kept.
func (w *rewriter) kept() int { return min(w.count, maxRuns) }

func (w *rewriter) add(r run) {
	if w.count < maxRuns {
		w.runs = append(w.runs, r)
	} else {
		w.runs[w.count%maxRuns] = r
	}
	w.count++
}

// forget drops the history, when what is sent from now on has nothing to do with it. The numbers go on.
func (w *rewriter) forget() {
	if w.count == 0 {
		return
	}
	last := *w.now()
	clear(w.runs)
	w.runs = w.runs[:0]
	last.source, w.count = nil, 0
	w.add(last)
}

// newest returns the newest packet of source that was sent in the present run, 0 if it is another's.
func (w *rewriter) newest(source *stream) uint64 {
	if r := w.now(); r != nil && r.source == source {
		return r.newest
	}
	return 0
}

// cut begins a run of source with the packet p: it will be sent as the next sequence number, and its timestamp moved by
// shift, but to no less than one after the newest that was sent. v is p's VP8 descriptor, if it has one.
func (w *rewriter) cut(source *stream, p *packet, v vp8Descriptor, shift uint32) {
	next := run{
		source: source, first: p.seq, newest: p.seq - 1, out: w.outSeq + 1,
		shiftTS: shift, firstTS: p.ts, floorTS: p.ts + shift,
	}
	if w.count > 0 {
		next.floorTS = w.outTS + 1
		next.shiftPID = w.outPID + 1 - v.pid
		next.shiftTL0 = w.outTL0 + 1 - v.tl0
	}
	if w.framed {
		next.shiftFrame = w.outFrame + 1 - frameNumber(p.dd)
	}
	w.left = false
	w.add(next)
}

// rewrite returns what p is sent as, and changes its descriptors in place. False: p is not to be sent, because it
// belongs before the cut or to what was left out.
func (w *rewriter) rewrite(p *packet, v vp8Descriptor) (seq uint16, ts uint32, ok bool) {
	r := w.now()
	if p.seq <= r.newest {
		if r = w.find(r.source, p.seq); r == nil {
			return 0, 0, false
		}
		r.put(p, &v)
		return r.number(p.seq), r.timestamp(p), true
	}
	seq, ts = r.number(p.seq), r.timestamp(p)
	if r.caught == 0 && ts == p.ts+r.shiftTS {
		r.caught = p.seq
	}
	pid, tl0, frame := r.put(p, &v)
	if int32(ts-w.outTS) > 0 || r.newest < r.first && w.count == 1 {
		w.outTS = ts
	}
	r.newest, w.outSeq = p.seq, seq
	if v.pidAt != 0 {
		w.outPID = pid
	}
	if v.tl0At != 0 {
		w.outTL0 = tl0
	}
	if len(p.dd) >= 3 {
		w.outFrame, w.framed = frame, true
	}
	return seq, ts, true
}

// skip leaves out the packet p, which is newer than what was sent; what follows moves up. A picture left out takes its
// id with it (a decoder that misses one would wait for it). A hole before p stays one, since nobody knows yet what
// belongs there.
func (w *rewriter) skip(p *packet, v vp8Descriptor) {
	r := w.now()
	if p.seq <= r.newest {
		return
	}
	// A hole before p may still be filled, and what is sent after a cut must come after that in every respect.
	if ts := r.timestamp(p); int32(ts-w.outTS) > 0 {
		w.outTS = ts
	}
	next := *r
	next.first, next.newest, next.out = p.seq+1, p.seq, r.number(p.seq)
	if v.pidAt != 0 && !(w.left && w.leftPID == v.pid) {
		w.left, w.leftPID = true, v.pid
		w.outPID = v.pid + r.shiftPID - 1
		next.shiftPID--
	}
	if v.tl0At != 0 {
		w.outTL0 = v.tl0 + r.shiftTL0
	}
	if len(p.dd) >= 3 {
		w.outFrame, w.framed = frameNumber(p.dd)+r.shiftFrame, true
	}
	if p.seq == r.first { // nothing was sent of it
		*r = next
		return
	}
	r.newest = p.seq - 1
	w.outSeq = next.out - 1
	w.add(next)
}

// find returns the run that the packet ext of source belongs to, nil if it is none that is kept.
func (w *rewriter) find(source *stream, ext uint64) *run {
	for i := range w.kept() {
		if r := w.back(i); r.source == source && ext >= r.first && ext <= r.newest {
			return r
		}
	}
	return nil
}

// sent returns the packet that was sent as seq and the run that it belongs to, nil if it is none that is kept.
func (w *rewriter) sent(seq uint16) (*run, uint64) {
	for i := range w.kept() {
		r := w.back(i)
		if r.source == nil || r.newest < r.first {
			continue
		}
		if n := uint64(r.number(r.newest) - seq); n < 1<<15 && n <= r.newest-r.first {
			return r, r.newest - n
		}
	}
	return nil, 0
}
