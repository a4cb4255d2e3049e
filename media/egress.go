package media

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/plane"
	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A feed is what an egress is to send. It is never changed, only replaced.
type feed struct {
	in     *ingress
	sub    subscription
	live   bool // the client has answered a description that names it
	always bool // also while others in the room are louder
}

// A subscription is what a client has chosen for one track.
type subscription struct {
	off                bool // the client does not want it now
	width, height, fps int  // how large it shows it; 0 = as large as there is
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

	pending atomic.Bool             // pump has something to look at
	want    atomic.Pointer[feed]    // replaced by run; nil = nothing
	target  atomic.Pointer[target]  // of the video, replaced by control; nil = not chosen yet
	bound   atomic.Pointer[binding] // nil = not negotiated

	mu      sync.Mutex  // held while writing, so never taken by run
	outlet              // guarded by mu; see fetch
	resends resendLimit // guarded by mu

	selected selected // owned by control
}

// An outlet is the sending side of an egress: where it is in the ring, and the numbers that the subscriber sees.
type outlet struct {
	feed    *feed   // what it is working on, nil = nothing
	from    *stream // what it sends, nil = nothing: it is paused or not yet allowed to
	cutNext bool    // the next packet begins a run
	waitKey bool    // nothing is sent until a key frame begins
	line    timeline

	to      *stream   // what it sends as soon as a key frame of that begins, nil = from goes on
	toSince time.Time // since when
	whole   bool      // the picture sent last is complete

	cursor    uint64 // next arrival to look at
	replay    uint64 // next packet of the cached key frame to send, 0 = none
	replayEnd uint64 // the last one
	replayed  uint64 // arrivals when the replay began: what came later comes by the cursor

	// How this subscriber calls what the feed brings.
	payloadType uint8
	rtxType     uint8 // 0 = no retransmissions
	redType     uint8 // 0 = it cannot read RED
	extraID     uint8
	ddID        uint8
	ccID        uint8
	number      [2]byte // transport-wide, in header

	layers   layer // of from, that are to be sent
	selector selector
	rewriter rewriter
	lastSent time.Time
	rtxSeq   uint16
	packets  uint32
	octets   uint32
	pictures uint32
	vp8      vp8Descriptor // of scratch
	header   rtp.Header
	plane    planeWriter
	through  *plane.Writer // what is being sent goes this way; nil = pion sends it
	scratch  *scratch      // what is being sent; good only until mu is released, see use
	own      *scratch      // nil = not needed yet
}

// A scratch is the packet that is being sent, as the subscriber gets it.
type scratch struct {
	packet
	buffer [2 + maxPacket]byte // of payload, with room for the number in front (RFC 4588 section 4)
}

func newScratch() *scratch {
	s := &scratch{}
	s.payload = s.buffer[2:2]
	return s
}

func newEgress(p *Peer, kind webrtc.RTPCodecType, mid string) *egress {
	e := &egress{peer: p, kind: kind, mid: mid}
	e.rewriter.outSeq = uint16(rand.Uint32() & 0x7fff) // RFC 3550 section 5.1
	e.rtxSeq = uint16(rand.Uint32() & 0x7fff)
	return e
}

// assign replaces what e is to send.
func (e *egress) assign(f *feed) {
	e.want.Store(f)
	e.notify()
}

// notify has e pumped. It never blocks.
func (e *egress) notify() { e.notifyBy(nil) }

// notifyBy is notify by who holds the shard; w is nil for others.
func (e *egress) notifyBy(w *plane.Writer) {
	if !e.pending.Load() && !e.pending.Swap(true) {
		e.peer.pumpSoon(w)
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

// pump sends what is there to be sent, through w if the plane serves the peer. Only Peer.pump calls it. It returns how
// many packets of video are left for later, since more at once would overrun the client's path.
func (e *egress) pump(w *plane.Writer, now time.Time) (left int) {
	if !e.pending.Load() || !e.pending.Swap(false) { // to look costs less than to swap, and most have nothing
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bound.Load()
	if b == nil || !e.follow(b, now) {
		e.detach()
		if e.want.Load() == nil {
			e.release()
		}
		return 0
	}
	e.use(w)
	video := e.kind == webrtc.RTPCodecTypeVideo
	for {
		if e.to != nil && e.ready(now) {
			e.switchOver()
		}
		if video && e.peer.downlink.waits(now) {
			if left = e.left(); left > 0 {
				e.pending.Store(true)
			}
			return left
		}
		if !e.next(now) {
			return 0
		}
		e.write(b, now)
	}
}

// follow takes over what e is to do and reports whether it is to send.
func (e *egress) follow(b *binding, now time.Time) bool {
	f := e.want.Load()
	if f == nil || !f.live || f.sub.off || !e.peer.connected.Load() {
		return false
	}
	want := targetBest
	if t := e.target.Load(); t != nil {
		want = *t
	}
	if want.paused || f.in.silenced.Load() && !f.always {
		return false
	}
	if e.feed == nil || e.feed.in != f.in {
		codec, rtx, ok := matchCodec(f.in.codec, b.codecs)
		if !ok {
			if f.in.video && f.in.demand.miss() {
				poke(f.in.peer.due) // its publisher may have another codec
			}
			return false
		}
		e.detach()
		e.rewriter.forget()
		e.payloadType, e.rtxType = uint8(codec.PayloadType), rtx
		_, e.redType = redTypes(b.codecs)
		e.extraID = extensionID(b.extensions, uriExtra(f.in.video))
		e.ddID = extensionID(b.extensions, uriDependencyDescriptor)
		e.ccID = extensionID(b.extensions, uriTransportCC)
	}
	e.feed, e.layers = f, want.layer
	return e.aim(f.in.stream(int(want.stream)), now)
}

// aim has s sent: at once if nothing is sent now, else as soon as a key frame of it begins; until then what is sent
// goes on.
func (e *egress) aim(s *stream, now time.Time) bool {
	if s != e.from && e.waitKey {
		e.detach() // nothing flows yet
	}
	switch {
	case s == nil:
		return false
	case e.from == nil:
		e.from = s
		s.subscribe(e)
		e.begin(e.rewriter.newest(s), maxReplay)
	case s == e.from && e.to != nil:
		e.to.unsubscribe(e)
		e.to = nil
	case s != e.from && s != e.to:
		if e.to != nil {
			e.to.unsubscribe(e)
		}
		e.to, e.toSince = s, now
		s.subscribe(e)
		if _, ok := e.keyFrame(now); !ok {
			s.wantKey()
		}
	}
	return true
}

// detach ends sending. mu is held.
func (e *egress) detach() {
	if e.from != nil {
		e.from.unsubscribe(e)
	}
	if e.to != nil {
		e.to.unsubscribe(e)
	}
	e.from, e.to = nil, nil
}

// release lets go of a track that has ended, and with it of its peer: who is there would keep who has left, that one who
// had left before, and so on for as long as the call lasts.
func (o *outlet) release() {
	o.feed, o.line = nil, timeline{}
	o.rewriter.forget()
}

// drop is detach and release from outside, when nobody pumps any more; nothing is wished for either.
func (e *egress) drop() {
	e.mu.Lock()
	e.detach()
	e.release()
	e.mu.Unlock()
	e.selected.wish(e, use{})
	e.selected = selected{}
}

const (
	switchReplay = 128                   // kept packets of a layer sent when it is switched to; a longer group needs a key frame
	switchFresh  = time.Second           // and no older than this
	switchGrace  = 30 * time.Millisecond // after the key frame began, for the rest of the picture of the layer left
)

// keyFrame returns when a key frame of the layer to go to came, if it has come and is good to begin with.
func (o *outlet) keyFrame(now time.Time) (time.Time, bool) {
	o.to.mu.Lock()
	defer o.to.mu.Unlock()
	r := o.to.ring
	if _, ok := r.keyFrame(switchReplay); !ok || r.keyAt.Before(o.toSince) && now.Sub(r.keyAt) > switchFresh {
		return time.Time{}, false
	}
	return r.keyAt, true
}

// ready reports whether the layer can be left: a key frame of the next one is there, and nothing of the last picture
// is still to come.
func (o *outlet) ready(now time.Time) bool {
	at, ok := o.keyFrame(now)
	return ok && (o.whole || now.Sub(at) > switchGrace)
}

// switchOver goes on with the layer that has a key frame.
func (e *egress) switchOver() {
	e.from.unsubscribe(e)
	e.from, e.to = e.to, nil
	e.begin(0, switchReplay)
}

// begin starts a run of from: audio with the next packet, video with the cached key frame if it begins after the
// packet seen and is followed by less than limit packets, else with the next key frame, which is asked for.
func (o *outlet) begin(seen, limit uint64) {
	o.line = o.rewriter.timeline()
	s := o.from
	s.mu.Lock()
	defer s.mu.Unlock()
	o.cursor, o.replay, o.cutNext, o.waitKey = s.ring.arrivals, 0, true, false
	o.whole, o.selector = false, selector{}
	if !s.in.video {
		return
	}
	if key, ok := s.ring.keyFrame(limit); ok && key > seen {
		o.replay, o.replayEnd, o.replayed = key, s.ring.newest, s.ring.arrivals
		return
	}
	o.waitKey = true
	s.wantKey()
}
