package media

import (
	"encoding/binary"
	"hash/fnv"
	"net"
	"slices"
	"time"
	"unsafe"

	"confab/media/plane"
	"confab/media/prefetch"
	"confab/signaling/wire"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// A packetWriter sends RTP to one client: pion's TrackLocalWriter, or a planeWriter. It keeps neither.
type packetWriter interface {
	WriteRTP(header *rtp.Header, payload []byte) (int, error)
}

// A planeWriter sends through the plane, as long as its shard is locked.
type planeWriter struct {
	out       *plane.Writer
	transport *plane.Transport
	stream    *plane.Stream // what was sent on last, nil = none yet
}

// WriteRTP implements packetWriter.
func (w *planeWriter) WriteRTP(header *rtp.Header, payload []byte) (int, error) {
	if w.stream == nil || w.stream.SSRC() != header.SSRC {
		w.stream = w.transport.Stream(header.SSRC)
	}
	if err := w.out.WriteRTP(w.stream, header, payload); err != nil {
		return 0, err
	}
	return len(payload), nil
}

// A planeNet is the system's network, with ports of the plane.
type planeNet struct {
	*stdnet.Net
	plane *plane.Plane
}

// systemNet is the system's network; its UDP ports are of the plane, if that is not nil.
func systemNet(media *plane.Plane) (transport.Net, error) {
	system, err := stdnet.NewNet()
	if err != nil || media == nil {
		return system, err
	}
	return planeNet{system, media}, nil
}

// ListenUDP implements transport.Net.
func (n planeNet) ListenUDP(_ string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.plane.Listen(addr.AddrPort())
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// use has e send through w, nil being pion. All egresses of a room that the plane sends for use one scratch, which so
// stays in the processor's cache. mu is held.
func (e *egress) use(w *plane.Writer) {
	e.through = w
	if w != nil {
		e.scratch = e.peer.room.scratch
		return
	}
	if e.own == nil {
		e.own = newScratch()
	}
	e.scratch = e.own
}

// writer is what e sends through: the plane where that serves its peer, else pion. mu is held.
func (e *egress) writer(b *binding) packetWriter {
	if e.through == nil {
		return b.writer
	}
	e.plane.out, e.plane.transport = e.through, e.peer.transport
	return &e.plane
}

// shardOf returns the shard of a room, on which all its peers are; nil when pion moves all media.
func (s *Server) shardOf(id wire.RoomID) *plane.Shard {
	if s.plane == nil {
		return nil
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // it never fails
	return s.plane.Shard(hash.Sum32())
}

// watchPath has the plane know over which pair a peer is reached.
func (p *Peer) watchPath() {
	if p.transport == nil {
		return
	}
	p.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(p.moved)
}

// moved takes a new pair. A client that goes where the plane cannot send, such as TCP, has to join again: its numbers
// have been used, so pion cannot go on with them.
func (p *Peer) moved(pair *webrtc.ICECandidatePair) {
	if err := p.transport.Moved(pair); err != nil && p.served.Load() {
		p.log.Info("the client has moved to where its media cannot follow", "error", err)
		p.end(ErrLost)
	}
}

// awaitPath waits until it is decided who moves the peer's media, or the peer ends, and reports whether pion does not.
func (p *Peer) awaitPath() bool {
	select {
	case <-p.decided:
		return p.served.Load()
	case <-p.ctx.Done():
		return true
	}
}

// choosePath decides once, before anything is sent, who moves this peer's media. Called by run.
func (p *Peer) choosePath() {
	select {
	case <-p.decided:
		return
	default:
	}
	defer close(p.decided)
	if p.transport == nil {
		return
	}
	pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err == nil {
		err = p.transport.Moved(pair) // watchPath may not have been told yet
	}
	p.served.Store(err == nil && p.transport.Serve())
	if !p.served.Load() {
		p.transport.Release()
		p.log.Debug("pion moves the media", "why", err)
	}
}

// doWrite has write do something with what sends to the client: the plane, or nil for pion.
func (p *Peer) doWrite(write func(*plane.Writer)) {
	if !p.served.Load() {
		write(nil)
		return
	}
	p.room.shard.Do(write)
}

// pumpSoon has somebody pump this peer's egresses: the holder of the shard at the end of its batch, w being set then, or
// the peer's writer.
func (p *Peer) pumpSoon(w *plane.Writer) {
	if w == nil || !p.served.Load() {
		poke(p.wake)
		return
	}
	if !p.waiting {
		p.waiting = true
		w.AtEnd(p)
	}
}

// EndOfBatch implements plane.Task.
func (p *Peer) EndOfBatch(w *plane.Writer, now time.Time) {
	p.waiting = false
	if p.asking {
		p.asking = false
		p.askAll(w, now)
	}
	if wait := p.pump(w, now); wait > 0 {
		select {
		case p.later <- wait:
		default:
		}
	}
}

// Prefetch implements plane.Task.
func (p *Peer) Prefetch(stage int) {
	list := p.sending.Load()
	switch stage {
	case 0:
		prefetch.Of(&p.transport)
		prefetch.Of(&p.downlink)
		prefetch.Of(list)
	case 1:
		p.transport.Prefetch(0)
		p.downlink.estimator.Prefetch()
		prefetch.Of(unsafe.SliceData(*list))
	case 2:
		p.transport.Prefetch(1)
		p.downlink.prefetchNext()
		eachPending(*list, (*egress).prefetch)
	case 3:
		p.transport.Prefetch(2)
		eachPending(*list, (*egress).prefetchNext)
	}
}

// eachPending calls f for those of a list that have something to look at.
func eachPending(list []*egress, f func(*egress)) {
	for _, e := range list {
		if e.pending.Load() {
			f(e)
		}
	}
}

// prefetch asks for what pump will look at, as far as e leads there at once.
func (e *egress) prefetch() {
	prefetch.Of(&e.outlet)
	prefetch.Of(e.want.Load())
	prefetch.Of(e.target.Load())
	prefetch.Of(e.bound.Load())
}

// prefetchNext asks for the rest.
func (e *egress) prefetchNext() {
	if !e.mu.TryLock() {
		return
	}
	defer e.mu.Unlock()
	if r := e.rewriter.now(); r != nil {
		prefetch.Of(r)
	}
	prefetch.Of(unsafe.SliceData(e.header.Extensions))
	if e.plane.stream != nil {
		e.plane.stream.Prefetch()
	}
}

// prefetchAll asks for what notifyBy will look at.
func prefetchAll(list []*egress) {
	for _, e := range list {
		prefetch.Of(&e.pending)
	}
	for _, e := range list {
		prefetch.Of(&e.peer.served)
	}
}

// askSoon asks for what is missing of a stream: at the end of the batch, w being set then, since the rest of it may
// bring what is missing, or show more of the hole.
func (p *Peer) askSoon(w *plane.Writer, s *stream, now time.Time) {
	if w != nil && p.served.Load() {
		p.asking = true
		p.pumpSoon(w)
		return
	}
	if nack := s.nack(now); nack != nil {
		p.writeRTCP(nil, []rtcp.Packet{nack})
	}
}

// askAll asks for what is missing of all streams.
func (p *Peer) askAll(w *plane.Writer, now time.Time) {
	var nacks []rtcp.Packet
	for _, in := range *p.receiving.Load() {
		in.each(func(s *stream) {
			if nack := s.nack(now); nack != nil {
				nacks = append(nacks, nack)
			}
		})
	}
	p.writeRTCP(w, nacks)
}

// pump sends what is there to be sent, and returns after what time to send more, 0 if nothing is left. w is nil where
// pion sends. They take turns: what is
// large of one delays the others little.
func (p *Peer) pump(w *plane.Writer, now time.Time) (later time.Duration) {
	list, left, first := *p.sending.Load(), 0, p.first
	for i := range list {
		at := (first + i) % len(list)
		n := list[at].pump(w, now)
		if n > 0 && left == 0 {
			p.first = at + 1
		}
		left += n
	}
	if left == 0 && !p.waits {
		return 0
	}
	p.waits = left > 0
	return p.downlink.wait(now, left)
}

// RTCP implements plane.Feedback: what the client says about what it gets and what it sends.
func (p *Peer) RTCP(w *plane.Writer, packet []byte, now time.Time) {
	if p.downlink.reported(packet, now) {
		poke(p.due)
	}
	if !p.rtcp.allow(now) {
		return
	}
	asks, reports := contentOf(packet)
	if asks {
		for _, e := range *p.sending.Load() {
			e.takeFeedback(w, packet)
		}
	}
	if reports {
		for _, in := range *p.receiving.Load() {
			in.each(func(s *stream) { s.takeReport(packet, now) })
		}
	}
}

// writeRTCP sends packets, through w if the caller holds the shard, else as soon as there is more to send, see
// plane.Shard.Queue. What cannot be sent is lost, as on any network.
func (p *Peer) writeRTCP(w *plane.Writer, packets []rtcp.Packet) {
	switch {
	case len(packets) == 0 || !p.connected.Load():
	case !p.served.Load():
		p.writeCompounds(packets, p.pc.WriteRTCP)
	case w == nil:
		p.room.shard.Queue(func(w *plane.Writer) { p.writeRTCPBy(w, packets) })
	default:
		p.writeRTCPBy(w, packets)
	}
}

// writeRTCPBy is writeRTCP for who holds the shard.
func (p *Peer) writeRTCPBy(w *plane.Writer, packets []rtcp.Packet) {
	p.writeCompounds(packets, func(packets []rtcp.Packet) error {
		raw := p.room.compound[:0]
		for _, packet := range packets {
			one, err := packet.Marshal()
			if err != nil {
				return err
			}
			raw = append(raw, one...)
		}
		p.room.compound = raw
		return w.RTCP(p.transport, raw)
	})
}

// writeCompounds hands packets to write, as many at a time as share a datagram.
func (p *Peer) writeCompounds(packets []rtcp.Packet, write func([]rtcp.Packet) error) {
	for some := range slices.Chunk(packets, maxCompound) {
		if err := write(some); err != nil && p.ctx.Err() == nil {
			p.log.Debug("sending RTCP", "error", err)
		}
	}
}

// RTP implements plane.Sink.
func (s *stream) RTP(w *plane.Writer, header *rtp.Header, packet, payload []byte, now time.Time) {
	s.in.peer.feedback.numbered(s.ssrc, header, now)
	if len(packet) <= maxPacket {
		s.receiveBy(w, header, payload, now)
	}
}

// A repair is the retransmission stream of a stream.
type repair struct {
	*stream
	ssrc     uint32
	original rtp.Header // guarded by the shard; of the packet that is being repaired
}

// RTP implements plane.Sink. It makes of a retransmission what it was (RFC 4588 section 4): the number is before the
// payload.
func (r *repair) RTP(w *plane.Writer, header *rtp.Header, packet, payload []byte, now time.Time) {
	r.in.peer.feedback.numbered(r.ssrc, header, now)
	if len(packet) > maxPacket || len(payload) < 2 || header.Padding && len(payload)-int(payload[len(payload)-1]) < 2 {
		return // nothing but padding, to probe for bandwidth
	}
	r.original = *header
	r.original.PayloadType, r.original.SequenceNumber = r.payloadType, binary.BigEndian.Uint16(payload)
	r.receiveBy(w, &r.original, payload[2:], now)
}

// claim has the plane bring what comes of a stream, as far as it serves the peer. Its retransmissions first: pion hands
// those on only when it is asked for a packet of the stream, and then waits for the next one, which never comes.
func (s *stream) claim() {
	s.claimRepair()
	if transport := s.in.peer.transport; transport != nil {
		transport.Claim(s.ssrc, s)
	}
}

// claimRepair is claim for the retransmissions, once pion has found out what they are called.
func (s *stream) claimRepair() {
	transport, ssrc := s.in.peer.transport, uint32(s.track.RtxSSRC())
	if transport != nil && s.repairs.Swap(ssrc) != ssrc {
		transport.Claim(ssrc, &repair{stream: s, ssrc: ssrc})
	}
}

// disclaim undoes both.
func (s *stream) disclaim() {
	if transport := s.in.peer.transport; transport != nil {
		transport.Claim(s.ssrc, nil)
		transport.Claim(uint32(s.track.RtxSSRC()), nil)
	}
}
