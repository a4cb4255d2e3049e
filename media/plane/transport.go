package plane

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"confab/media/prefetch"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// ErrPath is a selected pair that the plane cannot send on: TCP, a relay of ours, or another port. A Transport
// that is served has then lost its peer and cannot go back to pion, whose numbers have been used: end the connection.
var ErrPath = errors.New("plane: the selected pair is not on a port of the plane")

// Bounds of one Transport.
const (
	maxStreams = 256 // SSRCs received, of RTP and of RTCP each; packets of more are dropped
	maxPaths   = 4   // remote addresses from which media is taken; the oldest is forgotten
)

// A Sink takes the RTP packets of one stream. It is called by a socket's reader with the shard locked: it must not
// block and not call the Shard or a Transport, but may use w. header and packet, which is decrypted and whole, are
// good until it returns. payload is packet without its header; padding is not removed.
type Sink interface {
	RTP(w *Writer, header *rtp.Header, packet, payload []byte, now time.Time)
}

// Feedback takes the RTCP of one Transport: a compound packet, decrypted. The rules of Sink apply.
type Feedback interface {
	RTCP(w *Writer, packet []byte, now time.Time)
}

// A state says who moves a Transport's media.
type state uint8

const (
	pending  state = iota // nobody sends; what comes is pion's
	served                // we do
	released              // pion does, for good
)

// A Transport is the media of one PeerConnection. Its methods may be called concurrently, but for Sink and Feedback,
// which hold the shard.
type Transport struct {
	// Set by NewTransport, then constant.
	shard    *Shard
	feedback Feedback
	keys     keyring

	// Guarded by shard.mu.
	state   state
	out, in *srtpContext
	sending map[uint32]*Stream   // by SSRC
	streams map[uint32]*incoming // by SSRC: of RTP that has come or is claimed
	came    int                  // how many of them have come
	reports map[uint32]*window   // by SSRC: of RTCP that has come
	paths   []netip.AddrPort     // oldest first; the last one is the selected pair's
	conn    *Conn                // of the selected pair, nil = none of the plane
}

// NewTransport makes a Transport for one PeerConnection of the shard.
func (s *Shard) NewTransport(feedback Feedback) *Transport {
	return &Transport{
		shard: s, feedback: feedback,
		sending: map[uint32]*Stream{}, streams: map[uint32]*incoming{}, reports: map[uint32]*window{},
	}
}

// Configure sets the hooks that tell the Transport its keys. Call it before the PeerConnection is made from settings,
// which are for this one alone. The caller chooses the profiles, best an AES-GCM first, and sees to it that we are
// the DTLS server.
func (t *Transport) Configure(settings *webrtc.SettingEngine) { t.keys.configure(settings) }

// Moved notes the selected pair, the first and each later one; nil is none. An error is ErrPath.
func (t *Transport) Moved(pair *webrtc.ICECandidatePair) error {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	conn, remote, ok := t.shard.plane.pathOf(pair)
	t.attach(conn)
	if !ok {
		return ErrPath
	}
	if i := slices.Index(t.paths, remote); i >= 0 {
		t.paths = slices.Delete(t.paths, i, i+1)
	}
	if len(t.paths) == maxPaths {
		t.shard.plane.forget(t.paths[0], t)
		t.paths = slices.Delete(t.paths, 0, 1)
	}
	t.paths = append(t.paths, remote)
	t.shard.plane.learn(remote, t)
	return nil
}

// Prefetch asks the processor for what a Writer will look at to send the next packet: in stage 0 for what is in t, in stage
// 1 for what that leads to, in stage 2 for the rest. It is for the holder of the shard.
func (t *Transport) Prefetch(stage int) {
	switch {
	case stage == 0:
		prefetch.Of(&t.state)
		prefetch.Of(&t.out)
		prefetch.Of(&t.paths)
		prefetch.Of(&t.conn)
	case t.state != served || len(t.paths) == 0:
	case stage == 1:
		prefetch.Of(t.out)
		prefetch.Of(&t.paths[len(t.paths)-1])
	case stage == 2:
		t.out.prefetchKey()
	}
}

// attach takes the port by which the Transport sends, nil for none. mu is held.
func (t *Transport) attach(conn *Conn) {
	if conn != t.conn {
		conn.use(1)
		t.conn.use(-1)
		t.conn = conn
	}
}

// pathOf finds what a pair means here. Its local address may be a public one that stands for ours.
func (p *Plane) pathOf(pair *webrtc.ICECandidatePair) (*Conn, netip.AddrPort, bool) {
	if pair == nil || pair.Local == nil || pair.Remote == nil || pair.Local.Protocol != webrtc.ICEProtocolUDP ||
		pair.Local.Typ == webrtc.ICECandidateTypeRelay {
		return nil, netip.AddrPort{}, false
	}
	remote, err := netip.ParseAddrPort(net.JoinHostPort(pair.Remote.Address, strconv.Itoa(int(pair.Remote.Port))))
	if err != nil || remote.Addr().Zone() != "" || remote.Addr().IsLinkLocalUnicast() {
		return nil, netip.AddrPort{}, false
	}
	remote = canonical(remote)
	ours := p.standsFor(pair.Local.Address)
	p.mu.RLock()
	defer p.mu.RUnlock()
	var found *Conn
	for _, c := range p.conns {
		local := c.local.Addr()
		if local.WithZone("") == ours && c.local.Port() == pair.Local.Port {
			return c, remote, true
		}
		if local.IsUnspecified() || local.Is4() == remote.Addr().Is4() {
			if found != nil {
				return nil, netip.AddrPort{}, false
			}
			found = c
		}
	}
	return found, remote, found != nil
}

// standsFor is the address of ours that a candidate's is, or stands for; the zero Addr is none that is known.
func (p *Plane) standsFor(address string) netip.Addr {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Addr{} // a name
	}
	if ours, ok := p.opts.Public[ip.Unmap()]; ok {
		return ours
	}
	return ip.Unmap().WithZone("")
}

// Serve decides who moves the media, when DTLS is connected and before anything is sent: true, and the plane does
// from now on; false, and pion does, for good. Later calls return the same.
func (t *Transport) Serve() bool {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.state != pending {
		return t.state == served
	}
	if t.conn == nil || !t.open() {
		t.release()
		return false
	}
	t.state = served
	return true
}

// open makes the contexts when the keys are known, and reports whether they are there. mu is held.
func (t *Transport) open() bool {
	if t.in == nil {
		if out, in, ok := t.keys.contexts(); ok {
			t.out, t.in = out, in
		}
	}
	return t.in != nil
}

// release leaves the media to pion. mu is held.
func (t *Transport) release() { t.state, t.out, t.in = released, nil, nil }

// Release leaves the media to pion, for good. It has no effect on a Transport that is served.
func (t *Transport) Release() {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.state == pending {
		t.release()
	}
}

// Claim gives the packets of an SSRC to sink, from the next one on; nil gives them back to pion. Until then pion
// gets them, and says by its OnTrack what the stream is.
func (t *Transport) Claim(ssrc uint32, sink Sink) {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	in := t.streams[ssrc]
	switch {
	case in != nil && sink == nil && !in.window.started:
		delete(t.streams, ssrc)
	case in != nil:
		in.sink = sink
	case sink != nil:
		t.streams[ssrc] = &incoming{sink: sink}
	}
}

// Close forgets the Transport's addresses. Nothing is sent or received after it has returned. It may be called more
// than once.
func (t *Transport) Close() {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	for _, path := range t.paths {
		t.shard.plane.forget(path, t)
	}
	t.paths = nil
	t.attach(nil)
	t.release()
}

// receive takes a datagram from one of the Transport's addresses and reports whether pion is to have it too. mu is
// held.
func (t *Transport) receive(w *Writer, what kind, b []byte, now time.Time) (pion bool) {
	if t.state != served {
		if t.state == pending && what == kindRTP {
			t.follow(b)
		}
		return true
	}
	if what == kindRTCP {
		t.receiveRTCP(w, b, now)
		return false
	}
	return t.receiveRTP(w, b, now)
}

// follow reads a packet that is pion's, so that it is known how often each stream's numbers have begun anew when the plane
// takes over.
func (t *Transport) follow(b []byte) {
	if t.open() {
		t.decrypt(b)
	}
}

func (t *Transport) receiveRTCP(w *Writer, b []byte, now time.Time) {
	s, ssrc := t.shard, binary.BigEndian.Uint32(b[4:])
	reports := t.reports[ssrc]
	if reports == nil {
		if len(t.reports) >= maxStreams {
			s.stats.Rejected++
			return
		}
		reports = &window{}
	}
	plain, index, ok := t.in.openRTCP(s.scratch[:0], b)
	if !ok || !reports.fresh(uint64(index)) {
		s.stats.Rejected++
		return
	}
	t.reports[ssrc] = reports
	reports.mark(uint64(index))
	s.stats.Received++
	t.feedback.RTCP(w, plain, now)
}

func (t *Transport) receiveRTP(w *Writer, b []byte, now time.Time) (pion bool) {
	s := t.shard
	in, plain, header := t.decrypt(b)
	if in == nil {
		s.stats.Rejected++
		return false
	}
	s.stats.Received++
	if in.sink == nil {
		return true
	}
	in.sink.RTP(w, &s.header, plain, plain[header:], now)
	return false
}

// decrypt reads a packet into the shard's scratch, and its header, which has so many bytes, into the shard's header. nil:
// it cannot be decrypted, is a repeat, or is of one stream too many. mu is held.
func (t *Transport) decrypt(b []byte) (from *incoming, plain []byte, header int) {
	s := t.shard
	header, err := s.header.Unmarshal(b)
	if err != nil {
		return nil, nil, 0
	}
	in, index, ok := t.streams[s.header.SSRC], uint64(s.header.SequenceNumber), true
	if in != nil {
		index, ok = in.window.index(s.header.SequenceNumber)
		ok = ok && in.window.fresh(index)
	}
	started := in != nil && in.window.started
	if !ok || !started && t.came >= maxStreams {
		return nil, nil, 0
	}
	if plain, ok = t.in.openRTP(s.scratch[:0], b, header, index); !ok {
		return nil, nil, 0
	}
	if in == nil {
		in = &incoming{}
		t.streams[s.header.SSRC] = in
	}
	if !started {
		t.came++
	}
	in.window.mark(index)
	return in, plain, header
}

// An incoming is one stream that comes.
type incoming struct {
	sink   Sink // nil = pion's
	window window
}

// A Stream is one SSRC that a Transport sends on.
type Stream struct {
	transport *Transport // constant
	ssrc      uint32     // constant
	window    window     // guarded by the shard
}

// Stream returns what the Transport sends on as an SSRC, always the same. It is for the holder of the shard.
func (t *Transport) Stream(ssrc uint32) *Stream {
	s := t.sending[ssrc]
	if s == nil {
		s = &Stream{transport: t, ssrc: ssrc}
		t.sending[ssrc] = s
	}
	return s
}

// SSRC is what the stream is called.
func (s *Stream) SSRC() uint32 { return s.ssrc }

// Prefetch asks the processor for what a Writer will look at to send the next packet.
func (s *Stream) Prefetch() { prefetch.Of(s) }

// headerSize is the length of the header of a packet (RFC 3550 section 5.1 and 5.3.1): more than there is, if it is cut
// short.
func headerSize(packet []byte) int {
	size := rtpHeader + 4*int(packet[0]&0x0f)
	if packet[0]&0x10 != 0 {
		if size += 4; size <= len(packet) {
			size += 4 * int(binary.BigEndian.Uint16(packet[size-2:]))
		}
	}
	return size
}
