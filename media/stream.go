package media

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/plane"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A stream is one RTP stream of a published track (RFC 7656 section 2.1.10): all of it, or one of its simulcast
// layers. Each has its own ring, key frames, retransmissions and reports.
type stream struct {
	// Set by newStream, then constant.
	in          *ingress
	index       int    // among the streams of in, as their descriptions are listed
	rid         string // "" = the track is no simulcast
	track       *webrtc.TrackRemote
	receiver    *webrtc.RTPReceiver
	payloadType uint8
	redType     uint8 // of the same audio as RED, 0 = none
	ssrc        uint32
	extraID     uint8 // header extension ids, 0 = none
	ddID        uint8

	taking sync.Mutex // held by take: when the plane has claimed the stream, pion may have packets left

	// Guarded by taking.
	header       rtp.Header
	missing      missing
	dependencies dependencies

	arrivals  atomic.Uint64             // ring.arrivals, to be looked at without mu
	listeners atomic.Pointer[[]*egress] // who is woken for each packet; replaced under mu
	keyWanted atomic.Bool               // by a receiver, and no key frame has come since
	repairs   atomic.Uint32             // SSRC of the retransmissions that the plane brings, 0 = none

	mu      sync.Mutex
	ring    *ring        // guarded by mu
	stats   reception    // guarded by mu
	sr      senderReport // guarded by mu
	content content      // guarded by mu; of a video
	voice   voice        // guarded by mu; of audio

	keyAsked   time.Time // owned by control
	keyAskedAt uint64    // owned by control: arrivals at keyAsked
}

// newStream makes a stream of in; t is its track.
func newStream(in *ingress, index int, t remoteTrack) *stream {
	extensions := t.receiver.GetParameters().HeaderExtensions
	s := &stream{
		in: in, index: index, rid: t.track.RID(), track: t.track, receiver: t.receiver,
		// Of a layer, pion knows the payload type only once a packet was read, but its codec at once.
		payloadType: uint8(t.track.Codec().PayloadType), ssrc: uint32(t.track.SSRC()),
		extraID: extensionID(extensions, uriExtra(in.video)), ddID: extensionID(extensions, uriDependencyDescriptor),
	}
	if opus, red := redTypes(t.receiver.GetParameters().Codecs); !in.video && opus != 0 && red != 0 {
		s.payloadType, s.redType = opus, red
	}
	s.init()
	return s
}

func (s *stream) init() {
	size := audioSlots
	if s.in.video {
		size = videoSlots
	}
	s.ring = newRing(size)
	s.listeners.Store(&[]*egress{})
}

// maxReadErrors ends a reader whose stream yields nothing else; it is a bound against a busy loop.
const maxReadErrors = 1000

// read takes all packets of the stream until it ends.
func (s *stream) read() {
	defer s.in.peer.post(func(e *events) { e.ended = append(e.ended, s) })
	readAll(s.in.peer, s.track, s.receive)
}

// discard reads a track that nobody may have.
func discard(p *Peer, track *webrtc.TrackRemote) { readAll(p, track, func([]byte, time.Time) {}) }

func readAll(p *Peer, track *webrtc.TrackRemote, take func([]byte, time.Time)) {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, _, err := track.Read(buf)
		switch {
		case err == nil:
			failures = 0
			take(buf[:n], time.Now())
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || p.ctx.Err() != nil:
			return
		default: // too large, or a payload type that was not negotiated
			failures++
		}
	}
}

// receive takes one packet: into the ring, and on to who listens. It allocates nothing unless a packet is missing.
func (s *stream) receive(b []byte, now time.Time) {
	s.taking.Lock()
	missing, ok := false, false
	if n, err := s.header.Unmarshal(b); err == nil && len(b) <= maxPacket {
		missing, ok = s.takeLocked(&s.header, b[n:], now)
	}
	s.taking.Unlock()
	s.pass(nil, missing, ok, now)
}

// receiveBy is receive by who holds the shard, and has read the header already.
func (s *stream) receiveBy(w *plane.Writer, header *rtp.Header, payload []byte, now time.Time) {
	s.taking.Lock()
	missing, ok := s.takeLocked(header, payload, now)
	s.taking.Unlock()
	s.pass(w, missing, ok, now)
}

// pass tells who listens that a packet was taken, if it was, and sees to those that are waited for.
func (s *stream) pass(w *plane.Writer, missing, ok bool, now time.Time) {
	if !ok {
		return
	}
	listeners := *s.listeners.Load()
	if w != nil && len(listeners) > 1 {
		prefetchAll(listeners)
	}
	for _, e := range listeners {
		e.notifyBy(w)
	}
	if missing {
		s.in.peer.askSoon(w, s, now)
	}
}

// takeLocked puts one packet into the ring and reports whether others are waited for. taking is held.
func (s *stream) takeLocked(header *rtp.Header, payload []byte, now time.Time) (missing, ok bool) {
	if payload, ok = s.unpad(header, payload); !ok {
		return false, false
	}
	s.mu.Lock()
	ok = s.store(header, payload, now)
	arrivals := s.ring.arrivals
	s.mu.Unlock()
	if !ok {
		return false, false
	}
	s.arrivals.Store(arrivals)
	if s.in.silenced.Load() && s.speaks(header) {
		poke(s.in.peer.due) // to be heard without waiting
	}
	return len(s.missing.list) > 0, true
}

// nack is what the publisher is to be asked for now, nil if nothing is due.
func (s *stream) nack(now time.Time) *rtcp.TransportLayerNack {
	s.taking.Lock()
	defer s.taking.Unlock()
	due := s.missing.take(now)
	if len(due) == 0 {
		return nil
	}
	return &rtcp.TransportLayerNack{SenderSSRC: s.in.peer.ssrc, MediaSSRC: s.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(due)}
}

// speaks reports whether a packet is loud.
func (s *stream) speaks(header *rtp.Header) bool {
	level := header.GetExtension(s.extraID)
	return len(level) > 0 && loudest-level[0]&0x7f >= speechStarts
}

// unpad returns the payload without padding. False: it is none that the stream may have.
func (s *stream) unpad(header *rtp.Header, payload []byte) ([]byte, bool) {
	if header.PayloadType != s.payloadType && (s.redType == 0 || header.PayloadType != s.redType) {
		return nil, false
	}
	if header.Padding {
		if len(payload) == 0 || payload[len(payload)-1] == 0 || int(payload[len(payload)-1]) > len(payload) {
			return nil, false
		}
		payload = payload[:len(payload)-int(payload[len(payload)-1])]
	}
	if header.PayloadType != s.payloadType && len(payload) > 0 {
		if _, ok := primary(payload); !ok {
			return nil, false
		}
	}
	return payload, true
}

// store puts a packet into the ring. One of nothing but padding is kept without payload and forwarded, so that the
// sequence has no hole there. mu is held.
func (s *stream) store(header *rtp.Header, payload []byte, now time.Time) bool {
	newest := s.ring.newest
	seq, ok := s.ring.extend(header.SequenceNumber)
	if !ok {
		return false
	}
	slot := s.ring.slot(seq)
	if slot == nil {
		return false
	}
	slot.ts, slot.marker = header.Timestamp, header.Marker
	slot.red = header.PayloadType != s.payloadType
	slot.payload = s.ring.put(slot.payload, payload)
	slot.extra = s.ring.put(slot.extra, header.GetExtension(s.extraID))
	slot.dd = s.ring.put(slot.dd, header.GetExtension(s.ddID))
	s.stats.count(seq, slot.ts, s.in.clock, now)
	if !s.in.video {
		s.voice.hear(slot.extra, now)
		return true
	}
	slot.layering = s.in.kind.describe(payload, slot.dd, slot.marker, &s.dependencies)
	if slot.key {
		s.takeKey(slot, now)
	}
	s.content.count(slot, s.dependencies.active, now)
	if seq < newest {
		s.missing.came(seq)
	} else if newest != 0 && seq > newest+1 && !s.missing.hole(newest+1, seq, now) {
		s.wantKey()
	}
	return true
}

// takeKey notes the packet in slot, which looks like the first of a key frame. mu is held.
func (s *stream) takeKey(slot *packet, now time.Time) {
	if slot.key = s.ring.markKey(slot.seq, slot.ts, now); !slot.key {
		return
	}
	s.keyWanted.Store(false)
	if sizes, n := s.in.kind.sizes(slot.payload, &s.dependencies); n > 0 {
		s.content.sizes, s.content.sized = sizes, n
	}
}

// wantKey has the publisher asked for a key frame: at once if the last request is long enough ago, else later. Any
// number of receivers make one request.
func (s *stream) wantKey() {
	if s.in.video && !s.keyWanted.Swap(true) {
		poke(s.in.peer.due)
	}
}

// keyDue reports whether to ask for a key frame now. One that does not come is asked for again, as long as the
// publisher sends at all. Called by the publisher's control goroutine alone.
func (s *stream) keyDue(now time.Time) bool {
	arrivals := s.arrivals.Load()
	if !s.keyWanted.Load() || now.Sub(s.keyAsked) < keyInterval || !s.keyAsked.IsZero() && arrivals == s.keyAskedAt {
		return false
	}
	s.keyAsked, s.keyAskedAt = now, arrivals
	return true
}

// readRTCP takes the publisher's reports about the stream until it ends, if the plane does not bring them.
func (s *stream) readRTCP() {
	if s.in.peer.awaitPath() {
		return
	}
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, err := s.nextRTCP(buf)
		now := time.Now()
		switch {
		case err == nil:
			failures = 0
			if !s.in.peer.rtcp.allow(now) {
				continue
			}
			s.takeReport(buf[:n], now)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || s.in.peer.ctx.Err() != nil:
			return
		default:
			failures++
		}
	}
}

// takeReport notes what a compound packet says about the stream's clock.
func (s *stream) takeReport(packet []byte, now time.Time) {
	if sr, ok := findSenderReport(packet, s.ssrc); ok {
		sr.at = now
		s.mu.Lock()
		s.sr = sr
		s.mu.Unlock()
	}
}

func (s *stream) nextRTCP(buf []byte) (n int, err error) {
	if s.rid == "" {
		n, _, err = s.receiver.Read(buf)
	} else {
		n, _, err = s.receiver.ReadSimulcast(buf, s.rid)
	}
	return n, err
}

// wake has all who listen look for what there is now.
func (s *stream) wake() {
	for _, e := range *s.listeners.Load() {
		e.notify()
	}
}

// subscribe has e notified of each packet.
func (s *stream) subscribe(e *egress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(slices.Clone(*s.listeners.Load()), e)
	s.listeners.Store(&list)
}

// unsubscribe undoes subscribe.
func (s *stream) unsubscribe(e *egress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*s.listeners.Load()), func(other *egress) bool { return other == e })
	s.listeners.Store(&list)
}
