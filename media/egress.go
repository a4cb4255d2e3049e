package media

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A feed is what an egress is to send. It is never changed, only replaced.
type feed struct {
	in      *ingress
	enabled bool // the client wants it
	live    bool // the client has answered a description that names it
}

// A binding is what the negotiation has made of a media section.
type binding struct {
	ssrc       uint32
	rtxSSRC    uint32 // 0 = no retransmissions
	codecs     []webrtc.RTPCodecParameters
	extensions []webrtc.RTPHeaderExtensionParameter
	writer     webrtc.TrackLocalWriter
}

// An egress is one media section that we send on. It sends one track after another, on one SSRC and with unbroken
// numbers. It implements webrtc.TrackLocal; pion calls that side from run.
type egress struct {
	// Constant once readRTCP runs.
	peer   *Peer
	kind   webrtc.RTPCodecType
	mid    string
	sender *webrtc.RTPSender

	want    atomic.Pointer[feed]    // replaced by run; nil = nothing
	bound   atomic.Pointer[binding] // nil = not negotiated
	pending atomic.Bool             // pump has something to look at

	mu     sync.Mutex // held while writing, so never taken by run
	outlet            // guarded by mu
}

// An outlet is the sending side of an egress: where it is in the ring, and the numbers that the subscriber sees.
type outlet struct {
	feed    *feed // what it is working on, nil = nothing
	active  bool  // it sends; else it is paused or not yet allowed to
	cutNext bool  // the next packet begins a run
	waitKey bool  // nothing is sent until a key frame begins

	cursor    uint64    // next arrival to look at
	replay    uint64    // next packet of the cached key frame to send, 0 = none
	replayEnd uint64    // the last one
	replayAt  time.Time // not before this
	replayed  uint64    // arrivals when the replay began: what came later comes by the cursor

	// How this subscriber calls what the feed brings.
	payloadType uint8
	rtxType     uint8 // 0 = no retransmissions
	levelID     uint8
	ddID        uint8

	rewriter rewriter
	lastSent time.Time
	rtxSeq   uint16
	resends  resendLimit
	packets  uint32
	octets   uint32
	header   rtp.Header
	scratch  packet
	buffer   [2 + maxPacket]byte // of scratch.payload, with room for the number in front (RFC 4588 section 4)
}

func newEgress(p *Peer, kind webrtc.RTPCodecType, mid string) *egress {
	e := &egress{peer: p, kind: kind, mid: mid}
	e.rewriter.outSeq = uint16(rand.Uint32() & 0x7fff) // RFC 3550 section 5.1
	e.rtxSeq = uint16(rand.Uint32() & 0x7fff)
	e.scratch.payload = e.buffer[2:2]
	return e
}

// assign replaces what e is to send.
func (e *egress) assign(f *feed) {
	e.want.Store(f)
	e.notify()
}

// notify has the peer's writer look at e. It never blocks.
func (e *egress) notify() {
	if !e.pending.Swap(true) {
		poke(e.peer.wake)
	}
}

// Bind implements webrtc.TrackLocal. Codecs are chosen when it is known what is sent.
func (e *egress) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	if len(codecs) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	e.bound.Store(&binding{
		ssrc: uint32(ctx.SSRC()), rtxSSRC: uint32(ctx.SSRCRetransmission()), codecs: codecs,
		extensions: ctx.HeaderExtensions(), writer: ctx.WriteStream(),
	})
	return codecs[0], nil
}

// Unbind implements webrtc.TrackLocal. It does not wait for a packet that is being written.
func (e *egress) Unbind(webrtc.TrackLocalContext) error {
	e.bound.Store(nil)
	return nil
}

// ID implements webrtc.TrackLocal.
func (e *egress) ID() string { return e.mid }

// RID implements webrtc.TrackLocal.
func (e *egress) RID() string { return "" }

// StreamID implements webrtc.TrackLocal. Tracks of one stream are played in step: a camera with its microphone.
func (e *egress) StreamID() string {
	f := e.want.Load()
	if f == nil {
		return e.mid
	}
	if source := f.in.key.source; source == wire.Screen || source == wire.ScreenAudio {
		return string(f.in.key.participant) + "-screen"
	}
	return string(f.in.key.participant)
}

// Kind implements webrtc.TrackLocal.
func (e *egress) Kind() webrtc.RTPCodecType { return e.kind }

// pump sends what is there to be sent. Only the peer's writer calls it. It returns true when part of a cached key
// frame is left for later: all of it at once would overflow the receiver's socket.
func (e *egress) pump(now time.Time) (later bool) {
	if !e.pending.Swap(false) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bound.Load()
	if b == nil || !e.follow(b) {
		return false
	}
	for sent := 0; ; sent++ {
		if e.replay != 0 && (sent >= replayBurst || now.Before(e.replayAt)) {
			if sent > 0 {
				e.replayAt = now.Add(replayPause)
			}
			e.pending.Store(true)
			return true
		}
		if !e.next() {
			return false
		}
		e.write(b, now)
	}
}

// follow takes over what e is to do and reports whether it is to send.
func (e *egress) follow(b *binding) bool {
	f := e.want.Load()
	if f == nil || !f.live || !f.enabled || !e.peer.connected.Load() {
		e.active = false
		return false
	}
	if e.feed == nil || e.feed.in != f.in {
		e.active = false
		codec, rtx, ok := matchCodec(f.in.codec, b.codecs)
		if !ok {
			return false // the client cannot decode it
		}
		e.payloadType, e.rtxType = uint8(codec.PayloadType), rtx
		e.levelID = extensionID(b.extensions, uriAudioLevel)
		e.ddID = extensionID(b.extensions, uriDependencyDescriptor)
		e.begin(f.in, 0)
	} else if !e.active {
		e.begin(f.in, 0)
	}
	e.feed, e.active = f, true
	return true
}

// begin starts a run: audio with the next packet, video with the cached key frame if it begins after the packet
// seen, else with the next key frame, which is asked for.
func (o *outlet) begin(in *ingress, seen uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	o.cursor, o.replay, o.cutNext, o.waitKey = in.ring.arrivals, 0, true, false
	if !in.video {
		return
	}
	if key, ok := in.ring.keyFrame(maxReplay); ok && key > seen {
		o.replay, o.replayEnd, o.replayed = key, in.ring.newest, in.ring.arrivals
		return
	}
	o.waitKey = true
	in.wantKey()
}

// next copies the next packet to send into scratch, or returns false when there is none for now.
func (o *outlet) next() bool {
	in := o.feed.in
	if o.replay == 0 && o.cursor == in.arrivals.Load() {
		return false
	}
	in.mu.Lock()
	p := o.nextLocked(in.ring)
	if p != nil {
		p.copyTo(&o.scratch)
	}
	in.mu.Unlock()
	if p == nil && o.cursor+uint64(len(in.ring.order)) < in.arrivals.Load() {
		o.begin(in, o.rewriter.newest) // fell behind: go on with a newer key frame
		return o.replay != 0 && o.next()
	}
	return p != nil
}

// nextLocked finds the next packet, or nil: none is there, or so much was missed that the ring has lost it. The
// ingress's mu is held.
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

// write sends the packet in scratch.
func (e *egress) write(b *binding, now time.Time) {
	p, in := &e.scratch, e.feed.in
	var v vp8Descriptor
	if in.kind == codecVP8 {
		v, _ = parseVP8(p.payload)
	}
	if e.cutNext || p.seq > e.rewriter.newest+maxDropout {
		e.rewriter.cut(p, v, rtpSpan(now.Sub(e.lastSent), in.clock))
		e.cutNext = false
	}
	seq, ts, ok := e.rewriter.rewrite(p, v)
	if !ok {
		return
	}
	e.fillHeader(b.ssrc, e.payloadType, seq, ts)
	e.lastSent = now
	e.packets++
	e.octets += uint32(len(p.payload))
	e.resends.earn()
	// A packet that cannot be written is lost as on any network; the connection's own state says if it is gone.
	_, _ = b.writer.WriteRTP(&e.header, p.payload)
}

// fillHeader sets the header for the packet in scratch. Extensions are passed on under this subscriber's ids; the
// larger comes first, since it decides the form of all (RFC 8285 section 4).
func (o *outlet) fillHeader(ssrc uint32, payloadType uint8, seq uint16, ts uint32) {
	h := &o.header
	*h = rtp.Header{
		Version: 2, Marker: o.scratch.marker, PayloadType: payloadType, SequenceNumber: seq, Timestamp: ts, SSRC: ssrc,
		Extensions: h.Extensions[:0],
	}
	if o.ddID != 0 && len(o.scratch.dd) > 0 {
		_ = h.SetExtension(o.ddID, o.scratch.dd) // fails only for what cannot have come in
	}
	if o.levelID != 0 && len(o.scratch.level) > 0 {
		_ = h.SetExtension(o.levelID, o.scratch.level)
	}
}

// resend implements feedbackReader: the packet that was sent as seq goes out again, on the retransmission stream and
// never on the media stream, where its number has been used (a repeated nonce of AES-GCM). mu is held.
func (e *egress) resend(seq uint16) {
	b := e.bound.Load()
	if b == nil || b.rtxSSRC == 0 || e.rtxType == 0 || !e.active {
		return
	}
	ext, ok := e.rewriter.source(seq)
	now := time.Now()
	if !ok || !e.resends.allow(seq, now) {
		return
	}
	in := e.feed.in
	in.mu.Lock()
	p := in.ring.get(ext)
	if p != nil {
		p.copyTo(&e.scratch)
	}
	in.mu.Unlock()
	if p == nil {
		return
	}
	var v vp8Descriptor
	if in.kind == codecVP8 {
		v, _ = parseVP8(e.scratch.payload)
	}
	_, ts, ok := e.rewriter.rewrite(&e.scratch, v)
	if !ok {
		return
	}
	e.rtxSeq++
	e.fillHeader(b.rtxSSRC, e.rtxType, e.rtxSeq, ts)
	e.buffer[0], e.buffer[1] = byte(seq>>8), byte(seq)
	_, _ = b.writer.WriteRTP(&e.header, e.buffer[:2+len(e.scratch.payload)])
}

// refresh implements feedbackReader. mu is held.
func (e *egress) refresh() {
	if e.active {
		e.feed.in.wantKey()
	}
}

// readRTCP takes the subscriber's feedback until the section ends.
func (e *egress) readRTCP() {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, _, err := e.sender.Read(buf)
		switch {
		case err == nil:
			failures = 0
			if b := e.bound.Load(); b != nil && e.peer.rtcp.allow(time.Now()) {
				e.mu.Lock()
				readFeedback(buf[:n], b.ssrc, e)
				e.mu.Unlock()
			}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || e.peer.ctx.Err() != nil:
			return
		default:
			failures++
		}
	}
}

// A resendLimit bounds what lost packets may cost: each is sent again at most maxNACKs times, nackInterval apart,
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
	if l.budget < 1 || r.count >= maxNACKs || r.count > 0 && now.Sub(r.at) < nackInterval {
		return false
	}
	l.budget--
	r.count++
	r.at = now
	return true
}
