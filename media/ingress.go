package media

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// An ingress is one track that a participant publishes.
type ingress struct {
	// Set by newIngress, then constant.
	peer        *Peer
	mid         string
	key         trackKey
	track       *webrtc.TrackRemote
	receiver    *webrtc.RTPReceiver
	codec       webrtc.RTPCodecParameters
	kind        codecKind
	video       bool
	payloadType uint8
	ssrc        uint32
	clock       uint32 // ticks a second
	levelID     uint8  // header extension ids, 0 = none
	ddID        uint8

	// Owned by read.
	header  rtp.Header
	missing missing

	arrivals  atomic.Uint64             // ring.arrivals, to be looked at without mu
	listeners atomic.Pointer[[]*egress] // who is woken for each packet; replaced under mu
	keyWanted atomic.Bool               // by a receiver, and no key frame has come since

	mu    sync.Mutex
	ring  *ring        // guarded by mu
	stats reception    // guarded by mu
	sr    senderReport // guarded by mu

	keyAsked   time.Time // owned by control
	keyAskedAt uint64    // owned by control: arrivals at keyAsked
}

func newIngress(p *Peer, mid string, key trackKey, t remoteTrack) *ingress {
	extensions := t.receiver.GetParameters().HeaderExtensions
	in := &ingress{
		peer: p, mid: mid, key: key, track: t.track, receiver: t.receiver,
		codec: t.track.Codec(), kind: kindOfCodec(t.track.Codec().MimeType), video: t.track.Kind() == webrtc.RTPCodecTypeVideo,
		payloadType: uint8(t.track.PayloadType()), ssrc: uint32(t.track.SSRC()), clock: t.track.Codec().ClockRate,
		levelID: extensionID(extensions, uriAudioLevel), ddID: extensionID(extensions, uriDependencyDescriptor),
	}
	size := audioSlots
	if in.video {
		size = videoSlots
	}
	in.ring = newRing(size)
	in.listeners.Store(&[]*egress{})
	return in
}

// mediaType is what pion calls the track's type.
func (in *ingress) mediaType() webrtc.RTPCodecType {
	if in.video {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// maxReadErrors ends a reader whose stream yields nothing else; it is a bound against a busy loop.
const maxReadErrors = 1000

// read takes all packets of the track until it ends.
func (in *ingress) read() {
	defer in.peer.post(func(e *events) { e.ended = append(e.ended, in) })
	in.readAll(in.receive)
}

// discard reads a track that nobody may have.
func (in *ingress) discard() { in.readAll(func([]byte, time.Time) {}) }

func (in *ingress) readAll(take func([]byte, time.Time)) {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, _, err := in.track.Read(buf)
		switch {
		case err == nil:
			failures = 0
			take(buf[:n], time.Now())
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || in.peer.ctx.Err() != nil:
			return
		default: // too large, or a payload type that was not negotiated
			failures++
		}
	}
}

// receive takes one packet: into the ring, and on to who listens. It allocates nothing unless a packet is missing.
func (in *ingress) receive(b []byte, now time.Time) {
	payload, ok := in.parse(b)
	if !ok {
		return
	}
	in.mu.Lock()
	ok = in.store(payload, now)
	arrivals := in.ring.arrivals
	in.mu.Unlock()
	if !ok {
		return
	}
	in.arrivals.Store(arrivals)
	for _, e := range *in.listeners.Load() {
		e.notify()
	}
	if len(in.missing.list) > 0 {
		in.askAgain(now)
	}
}

// parse reads the header and returns the payload without padding.
func (in *ingress) parse(b []byte) ([]byte, bool) {
	n, err := in.header.Unmarshal(b)
	if err != nil || in.header.PayloadType != in.payloadType || len(b) > maxPacket {
		return nil, false
	}
	payload := b[n:]
	if in.header.Padding {
		if len(payload) == 0 || payload[len(payload)-1] == 0 || int(payload[len(payload)-1]) > len(payload) {
			return nil, false
		}
		payload = payload[:len(payload)-int(payload[len(payload)-1])]
	}
	return payload, true
}

// store puts the packet whose header was just read into the ring. A packet of nothing but padding is kept without
// payload and forwarded, so that the sequence has no hole there. mu is held.
func (in *ingress) store(payload []byte, now time.Time) bool {
	newest := in.ring.newest
	seq, ok := in.ring.extend(in.header.SequenceNumber)
	if !ok {
		return false
	}
	slot := in.ring.slot(seq)
	if slot == nil {
		return false
	}
	slot.ts, slot.marker = in.header.Timestamp, in.header.Marker
	slot.payload = append(slot.payload[:0], payload...)
	slot.level = append(slot.level[:0], in.header.GetExtension(in.levelID)...)
	slot.dd = append(slot.dd[:0], in.header.GetExtension(in.ddID)...)
	if slot.key = in.kind.startsKeyFrame(payload) && in.ring.markKey(seq, slot.ts); slot.key {
		in.keyWanted.Store(false)
	}
	in.stats.count(seq, slot.ts, in.clock, now)
	if !in.video {
		return true
	}
	if seq < newest {
		in.missing.came(seq)
	} else if newest != 0 && seq > newest+1 && !in.missing.hole(newest+1, seq, now) {
		in.wantKey()
	}
	return true
}

// askAgain asks the publisher for what is missing and due.
func (in *ingress) askAgain(now time.Time) {
	due := in.missing.take(now)
	if len(due) == 0 {
		return
	}
	in.peer.writeRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		SenderSSRC: in.peer.ssrc, MediaSSRC: in.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(due),
	}})
}

// wantKey has the publisher asked for a key frame: at once if the last request is long enough ago, else later. Any
// number of receivers make one request.
func (in *ingress) wantKey() {
	if in.video && !in.keyWanted.Swap(true) {
		poke(in.peer.due)
	}
}

// keyDue reports whether to ask for a key frame now. One that does not come is asked for again, as long as the
// publisher sends at all. Called by the publisher's control goroutine alone.
func (in *ingress) keyDue(now time.Time) bool {
	arrivals := in.arrivals.Load()
	if !in.keyWanted.Load() || now.Sub(in.keyAsked) < keyInterval || !in.keyAsked.IsZero() && arrivals == in.keyAskedAt {
		return false
	}
	in.keyAsked, in.keyAskedAt = now, arrivals
	return true
}

// readRTCP takes the publisher's reports about the track until it ends.
func (in *ingress) readRTCP() {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, _, err := in.receiver.Read(buf)
		now := time.Now()
		switch {
		case err == nil:
			failures = 0
			if !in.peer.rtcp.allow(now) {
				continue
			}
			if sr, ok := findSenderReport(buf[:n], in.ssrc); ok {
				sr.at = now
				in.mu.Lock()
				in.sr = sr
				in.mu.Unlock()
			}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || in.peer.ctx.Err() != nil:
			return
		default:
			failures++
		}
	}
}

// subscribe has e notified of each packet.
func (in *ingress) subscribe(e *egress) {
	in.mu.Lock()
	defer in.mu.Unlock()
	list := append(slices.Clone(*in.listeners.Load()), e)
	in.listeners.Store(&list)
}

// unsubscribe undoes subscribe.
func (in *ingress) unsubscribe(e *egress) {
	in.mu.Lock()
	defer in.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*in.listeners.Load()), func(other *egress) bool { return other == e })
	in.listeners.Store(&list)
}
