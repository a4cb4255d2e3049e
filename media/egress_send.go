package media

import (
	"errors"
	"io"
	"time"

	"confab/media/plane"

	"github.com/pion/rtp"
)

// next copies the next packet to send into scratch, or returns false when there is none for now.
func (o *outlet) next(now time.Time) bool {
	for {
		s := o.from
		if o.replay == 0 && o.cursor == s.arrivals.Load() {
			return false
		}
		s.mu.Lock()
		p := o.nextLocked(s.ring)
		send := p != nil && o.take(p, now)
		s.mu.Unlock()
		if send {
			return true
		}
		if p == nil {
			if o.cursor+uint64(len(s.ring.order)) >= s.arrivals.Load() {
				return false
			}
			o.begin(o.rewriter.newest(s), maxReplay) // fell behind: go on with a newer key frame
			if o.replay == 0 {
				return false
			}
		}
	}
}

// left returns about how many packets next has yet to look at.
func (o *outlet) left() int {
	left := o.from.arrivals.Load() - o.cursor
	if o.replay != 0 {
		left += o.replayEnd + 1 - o.replay
	}
	return int(left)
}

// nextLocked finds the next packet, or nil: none is there, or so much was missed that the ring has lost it. The
// stream's mu is held.
func (o *outlet) nextLocked(r *ring) *packet {
	for ; o.replay != 0 && o.replay <= o.replayEnd; o.replay++ {
		if p := r.get(o.replay); p != nil && p.arrival < o.replayed {
			o.replay++
			return p
		}
	}
	o.replay = 0
	if r.arrivals-o.cursor > uint64(len(r.order)) {
		return nil
	}
	for o.cursor < r.arrivals {
		p := r.arrived(o.cursor)
		o.cursor++
		if p == nil {
			continue // its place was taken
		}
		if o.waitKey && !p.key {
			continue
		}
		if o.waitKey {
			o.waitKey, o.cutNext = false, true
		}
		return p
	}
	return nil
}

// take copies a packet into scratch if it is to be sent. The stream's mu is held.
func (o *outlet) take(p *packet, now time.Time) bool {
	in := o.from.in
	o.vp8 = vp8Descriptor{}
	if in.kind == codecVP8 {
		o.vp8, _ = parseVP8(p.payload)
	}
	newest := o.rewriter.newest(o.from)
	if o.cutNext || p.seq > newest+maxDropout {
		o.rewriter.cut(o.from, p, o.vp8, o.shift(now))
		newest, o.cutNext = p.seq-1, false
	}
	send, last := true, false
	if in.video {
		if p.seq > newest {
			send, last = o.selector.take(p.layering, p.ts, o.layers)
			if o.selector.misses(p.layering, o.layers) {
				o.from.wantKey()
			}
		} else {
			send, last = o.selector.sends(p.layering)
		}
	}
	if !send && p.seq > newest {
		o.rewriter.skip(p, o.vp8)
		return false
	}
	p.copyTo(&o.scratch.packet)
	o.scratch.marker = p.marker || last
	if !send { // its number is taken, so it goes out empty
		o.scratch.payload, o.scratch.dd, o.vp8 = o.scratch.payload[:0], o.scratch.dd[:0], vp8Descriptor{}
	}
	return true
}

// shift returns how far the timestamps of from move now. The stream's mu is held.
func (o *outlet) shift(now time.Time) uint32 {
	s := o.from
	if o.rewriter.count == 0 {
		return 0
	}
	newest := s.ring.get(s.ring.newest).ts
	due := o.rewriter.outTS + rtpSpan(now.Sub(o.lastSent), s.in.clock)
	if shift, ok := o.line.shift(s); ok {
		if off := int32(newest + shift - due); off < int32(s.in.clock) && off > -int32(s.in.clock) {
			return shift
		}
	}
	return due - newest
}

// write sends the packet in scratch.
func (e *egress) write(b *binding, now time.Time) {
	p := &e.scratch.packet
	seq, ts, ok := e.rewriter.rewrite(p, e.vp8)
	if !ok {
		return
	}
	payloadType, payload := e.payloadType, p.payload
	if p.red && len(payload) > 0 {
		payloadType, payload = e.unpack(payload)
	}
	e.fillHeader(b.ssrc, payloadType, seq, ts)
	e.lastSent = now
	e.packets++
	e.octets += uint32(len(payload))
	if e.whole = p.marker; p.marker {
		e.pictures++
	}
	e.resends.earn()
	t := sendsAudio
	if e.from.in.video {
		t = sendsVideo
	}
	e.send(b, payload, t, now)
}

// unpack makes of a RED payload what this subscriber can read. It changes it in place.
func (o *outlet) unpack(payload []byte) (payloadType uint8, as []byte) {
	if o.redType == 0 {
		newest, _ := primary(payload)
		return o.payloadType, newest
	}
	renumber(payload, o.payloadType)
	return o.redType, payload
}

// fillHeader sets the header for the packet in scratch. Extensions are passed on under this subscriber's ids; the
// larger comes first, since it decides the form of all (RFC 8285 section 4).
func (o *outlet) fillHeader(ssrc uint32, payloadType uint8, seq uint16, ts uint32) {
	h := &o.header
	*h = rtp.Header{
		Version: 2, Marker: o.scratch.marker, PayloadType: payloadType, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc,
		Extensions: h.Extensions[:0],
	}
	large, small := extension{o.ddID, o.scratch.dd}, extension{o.extraID, o.scratch.extra}
	if len(small.data) > len(large.data) {
		large, small = small, large
	}
	large.put(h)
	small.put(h)
	if o.ccID != 0 {
		_ = h.SetExtension(o.ccID, o.number[:])
	}
}

// An extension is one of a header.
type extension struct {
	id   uint8 // 0 = not negotiated
	data []byte
}

func (x extension) put(h *rtp.Header) {
	if x.id != 0 && len(x.data) > 0 {
		_ = h.SetExtension(x.id, x.data) // fails only for what cannot have come in
	}
}

// resend implements feedbackReader: the packet that was sent as seq goes out again, on the retransmission stream and
// never on the media stream, where its number has been used (a repeated nonce of AES-GCM). It may be one of a layer
// that was left since. mu is held.
func (e *egress) resend(seq uint16) {
	b := e.bound.Load()
	if b == nil || b.rtxSSRC == 0 || e.rtxType == 0 || e.from == nil {
		return
	}
	r, ext := e.rewriter.sent(seq)
	now := time.Now()
	if r == nil || !e.resends.allow(seq, now) {
		return
	}
	r.source.mu.Lock()
	p := r.source.ring.get(ext)
	if p != nil {
		p.copyTo(&e.scratch.packet)
	}
	r.source.mu.Unlock()
	if p == nil {
		return
	}
	if _, last := e.selector.sends(e.scratch.layering); last && r.source == e.from {
		e.scratch.marker = true // as it was the first time
	}
	var v vp8Descriptor
	if r.source.in.kind == codecVP8 {
		v, _ = parseVP8(e.scratch.payload)
	}
	r.put(&e.scratch.packet, &v)
	e.rtxSeq++
	e.fillHeader(b.rtxSSRC, e.rtxType, e.rtxSeq, r.timestamp(&e.scratch.packet))
	buffer := &e.scratch.buffer
	buffer[0], buffer[1] = byte(seq>>8), byte(seq)
	e.send(b, buffer[:2+len(e.scratch.payload)], sendsAgain, now)
}

// refresh implements feedbackReader. mu is held.
func (e *egress) refresh() {
	if e.from != nil {
		e.from.wantKey()
	}
}

// takeFeedback does what a compound packet asks for, if it is about e.
func (e *egress) takeFeedback(w *plane.Writer, packet []byte) {
	b := e.bound.Load()
	if b == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.use(w)
	readFeedback(packet, b.ssrc, e)
}

// readRTCP takes the subscriber's feedback until the section ends, if the plane does not bring it.
func (e *egress) readRTCP() {
	if e.peer.awaitPath() {
		return
	}
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, _, err := e.sender.Read(buf)
		switch {
		case err == nil:
			failures = 0
			if e.peer.rtcp.allow(time.Now()) {
				e.takeFeedback(nil, buf[:n])
			}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || e.peer.ctx.Err() != nil:
			return
		default:
			failures++
		}
	}
}

// A resendLimit bounds what lost packets may cost: each is sent again at most maxResends times, nackInterval apart,
// and all together at most resendPerPacket for each packet sent. It forgets what it has not been asked for lately.
type resendLimit struct {
	budget float64
	recent [16]resent // by the last bits of the number
}

type resent struct {
	seq   uint16
	count uint8 // 0 = unused
	at    time.Time
}

func (l *resendLimit) earn() { l.budget = min(l.budget+resendPerPacket, resendBurst) }

func (l *resendLimit) allow(seq uint16, now time.Time) bool {
	r := &l.recent[seq%uint16(len(l.recent))]
	if r.count == 0 || r.seq != seq {
		*r = resent{seq: seq}
	}
	if l.budget < 1 || r.count >= maxResends || r.count > 0 && now.Sub(r.at) < nackInterval {
		return false
	}
	l.budget--
	r.count++
	r.at = now
	return true
}
