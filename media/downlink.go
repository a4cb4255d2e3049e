package media

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/bandwidth"
	"confab/media/plane"
	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Timing and sizes of what is done about a client's path.
const (
	startBitrate  = 1_000_000              // bits a second assumed of a path until something is known; probes follow at once
	leastBitrate  = 100_000                // bits a second that a path is taken to carry: what has less has no use of video
	settleTime    = time.Second            // over which what is sent beside first sendings of video is averaged
	maxPadding    = 255                    // bytes of padding that a packet can have (RFC 3550 section 5.1)
	trialTime     = 2 * time.Second        // in which what is new is sent at its floor, whatever the estimate,
	trialAfter    = 10 * time.Second       // unless the path was full so lately
	trialGrowth   = 1.2                    // times as much as was wanted is new
	reserveShare  = 1.1                    // of what is wanted a path must carry: estimates and bitrates move
	probeResult   = time.Second            // after it began, in which a probe may have one
	steerInterval = 100 * time.Millisecond // between two looks at the estimate; see controlTick
	freePace      = 20_000_000             // bits a second at least, to who reports nothing about what comes
	usualPacket   = 1200                   // bytes of a packet of video that waits, about
	tightShare    = 0.5                    // of the usual pace, where no more than the least fits,
	tightBacklog  = 0.25                   // and of what waits: a key frame takes up to a second there, not a quarter
	leastWait     = 2 * time.Millisecond   // of video that waits: a shorter one costs more than it smooths
)

// A downlink is the way to one client. It numbers what is sent there on all streams, takes the client's reports of what
// came, and knows from them how much may be sent. It is safe for concurrent use.
type downlink struct {
	mu        sync.Mutex
	now       time.Time            // guarded by mu: the latest time that the estimator was told of
	estimator *bandwidth.Estimator // set by init, then constant; what it points to is guarded by mu
	numbered  bool                 // guarded by mu: packets bear numbers, so reports will come
	full      time.Time            // guarded by mu: when less could be sent than before
	limited   bool                 // guarded by mu: the client has sent REMB
	beside    uint64               // guarded by mu: bytes sent that no choice of layers changes: audio, retransmissions
	filling   filling              // guarded by mu
	probed    time.Time            // guarded by mu: when the last probe began
	pacer     bandwidth.Pacer      // guarded by mu
	pace      int                  // guarded by mu: bits a second that it is to let through, but for bursts
	tight     bool                 // guarded by mu: no more than the least is sent, so bursts would be lost
	backlog   int                  // guarded by mu: bytes of video, the most that have waited since some do; 0 = none do
	held      atomic.Bool          // the pacer is closed, or was lately
	reports   rate

	// Owned by control.
	trial      time.Time // until when what is new is tried
	wanted     float64   // bits a second that were wanted at the last look
	besideThen uint64    // beside at the last look
	looked     time.Time // when that was
	besideRate float64   // bits a second, averaged
}

// A filling is a probe under way.
type filling struct {
	bandwidth.Probe           // ID 0 = none
	packets, bytes  int       // sent of it
	next            time.Time // when the next packet is due, if no video is sent until then
}

func (d *downlink) init(reportsPerSecond int) {
	d.reports.perSecond = reportsPerSecond
	d.estimator = bandwidth.NewEstimator(bandwidth.Options{Start: startBitrate, Min: leastBitrate})
	d.setPace(time.Now(), startBitrate, false)
}

// setPace has video that waits let out in step with bits a second: about what is sent, or what may be. Tight: that is
// the least there is.
func (d *downlink) setPace(now time.Time, bitrate int, tight bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pace, d.tight = bitrate, tight
	d.repace(d.latest(now))
}

// repace tells the pacer what to let through. What takes a tight path's queue at once is lost there, and so is what is
// sent again for it: a key frame comes sooner slowly. mu is held.
func (d *downlink) repace(now time.Time) {
	if d.tight {
		d.pacer.SetRate(now, int(tightShare*float64(d.pace)), int(tightBacklog*float64(d.backlog)))
		return
	}
	d.pacer.SetRate(now, d.pace, d.backlog)
}

// waits reports whether video has to wait now. It costs nothing as long as it has not.
func (d *downlink) waits(now time.Time) bool {
	if !d.held.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	open := d.pacer.Open(d.latest(now))
	d.held.Store(!open)
	return !open
}

// wait notes that so many packets of video wait, and returns for how long; 0, if none do. They leave at a rate by which
// all of them will soon be gone, even if that is more than the path may carry: until a picture is complete, all that
// came of it was for nothing.
func (d *downlink) wait(now time.Time, packets int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = d.latest(now)
	if packets == 0 {
		d.backlog = 0
		d.repace(now)
		return 0
	}
	d.backlog = max(d.backlog, packets*usualPacket)
	d.repace(now)
	return max(d.pacer.Next(), leastWait)
}

// prefetchNext asks for what number will look at in the estimator.
func (d *downlink) prefetchNext() {
	d.mu.Lock()
	d.estimator.PrefetchNext()
	d.mu.Unlock()
}

// A traffic is a kind of packets, as far as a downlink tells them apart.
type traffic uint8

const (
	sendsAudio traffic = iota
	sendsVideo
	sendsAgain // a packet that was asked for
	sendsProbe // what nobody needs
)

// latest is now, unless another goroutine, which has read the clock later, was here before: the estimator's times must
// not go back. mu is held.
func (d *downlink) latest(now time.Time) time.Time {
	if now.After(d.now) {
		d.now = now
	}
	return d.now
}

// number notes that a packet of so many bytes is sent now and returns its transport-wide number.
func (d *downlink) number(now time.Time, size int, t traffic) uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = d.latest(now)
	d.numbered = true
	d.count(now, size, t)
	probe := uint16(0)
	if f := &d.filling; f.ID != 0 && (t == sendsVideo || t == sendsProbe) {
		probe = f.ID
		f.count(size, now)
	}
	return d.estimator.Sent(now, size, probe)
}

// unnumbered notes a packet that bears no number, because the client has not negotiated them for its section.
func (d *downlink) unnumbered(size int, t traffic) {
	d.mu.Lock()
	d.count(d.latest(time.Now()), size, t)
	d.mu.Unlock()
}

func (d *downlink) count(now time.Time, size int, t traffic) {
	if t == sendsAudio || t == sendsAgain {
		d.beside += uint64(size)
	}
	if t != sendsProbe && !d.pacer.Sent(now, size) {
		d.held.Store(true)
	}
}

// count notes a packet of the probe, which ends with its last one.
func (f *filling) count(size int, now time.Time) {
	if f.packets == 0 {
		f.next = now
	}
	f.packets++
	f.bytes += size
	f.next = f.next.Add(f.Interval(size))
	if f.packets >= f.Packets && f.bytes >= f.Bytes {
		f.ID = 0
	}
}

// due returns how large a packet the probe needs now, 0 if none; and when to ask again, 0 if no probe is under way.
func (d *downlink) due(now time.Time) (size int, again time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.filling
	switch {
	case f.ID == 0:
		return 0, 0
	case now.Before(f.next):
		return 0, f.next.Sub(now)
	default:
		return max(f.Bytes/f.Packets, 1), 0
	}
}

// abandon ends a probe that nothing can be sent for.
func (d *downlink) abandon() {
	d.mu.Lock()
	d.filling.ID = 0
	d.mu.Unlock()
}

// reported takes RTCP of the client, which may be about any stream, and reports whether it is time to look at the
// estimate again: less can be sent, or the result of a probe is there. It allocates nothing.
func (d *downlink) reported(b []byte, now time.Time) (look bool) {
	for {
		kind, format, body, rest, ok := nextRTCP(b)
		if !ok {
			return look
		}
		b = rest
		switch {
		case !d.reports.allow(now):
		case kind == bandwidth.FeedbackType && format == bandwidth.FeedbackFormat:
			if f, err := bandwidth.ParseFeedback(body); err == nil {
				look = d.feedback(&f, now) || look
			}
		case kind == rtcpPayload && format == formatREMB:
			if bitrate, ok := readREMB(body); ok {
				d.mu.Lock()
				d.limited = true
				d.estimator.SetRemote(bitrate)
				d.mu.Unlock()
				look = true
			}
		}
	}
}

func (d *downlink) feedback(f *bandwidth.Feedback, now time.Time) (look bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = d.latest(now)
	if d.estimator.Feedback(now, f) {
		if !d.estimator.Carries(now) {
			d.full = now
		}
		return true
	}
	return now.Sub(d.probed) < probeResult
}

// readREMB reads the body of an application layer feedback packet (draft-alvestrand-rmcat-remb-03 section 2.2). False:
// it is another one.
func readREMB(body []byte) (bitrate int, ok bool) {
	if len(body) < 16 || string(body[8:12]) != "REMB" {
		return 0, false
	}
	v := binary.BigEndian.Uint32(body[12:]) & 0xffffff
	exponent, mantissa := v>>18, uint64(v&(1<<18-1))
	if exponent > 24 { // beyond a Tb/s
		return 1 << 42, true
	}
	return int(mantissa << exponent), true
}

// A budget is what video may have of the way to a client.
type budget struct {
	bitrate int64 // bits a second, noBudget if nothing tells
	carried bool  // what is sent now is known to fit
	drowned bool  // not even the least of it fits
	trial   bool  // each video may have its floor, since nobody knows yet whether that is too much
}

// steer returns what may be sent, and whether a probe was begun. Wanted is how many bits a second all video would have
// on a path without limit, least since when as little as can be is sent. Called by control alone.
func (d *downlink) steer(now time.Time, wanted int, least time.Time) (b budget, probing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = d.latest(now)
	d.average(now)
	if !d.numbered && !d.limited {
		return budget{bitrate: noBudget}, false
	}
	target, all := d.estimator.Target(now), reserveShare*(float64(wanted)+d.besideRate)
	if all > trialGrowth*d.wanted && now.Sub(d.full) > trialAfter {
		d.trial = now.Add(trialTime)
	}
	d.wanted = all
	if d.numbered && d.filling.ID == 0 && wanted > 0 {
		if probe, ok := d.estimator.Probe(now, int(all)); ok {
			d.filling, d.probed = filling{Probe: probe, next: now.Add(bandwidth.ProbeWait)}, now
			probing = true
		}
	}
	return budget{
		bitrate: int64(max(float64(target)-d.besideRate, 0)), carried: !d.limited && d.estimator.Carries(now),
		drowned: d.limited || d.estimator.Drowned(now, least),
		trial:   now.Before(d.trial) && d.full.Before(d.trial.Add(-trialTime)),
	}, probing
}

// follow sets the pace for what was chosen of a budget: video, in bits a second; squeezed: it is the least there is, and
// more is wanted. Called by control alone.
func (d *downlink) follow(now time.Time, b budget, video int, squeezed bool) {
	pace := video + int(d.besideRate)
	if b.bitrate == noBudget {
		pace = max(pace, freePace)
	} else {
		pace = max(pace, int(b.bitrate))
	}
	d.setPace(now, pace, squeezed && b.bitrate != noBudget)
}

// average measures what is sent beside video. mu is held.
func (d *downlink) average(now time.Time) {
	span := now.Sub(d.looked)
	if span < steerInterval {
		return
	}
	if !d.looked.IsZero() {
		rate := float64(8*(d.beside-d.besideThen)) / span.Seconds()
		d.besideRate += (rate - d.besideRate) * min(float64(span)/float64(settleTime), 1)
	}
	d.besideThen, d.looked = d.beside, now
}

// stats are the findings about the way to the client.
func (d *downlink) stats() bandwidth.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.estimator.Stats()
}

// probe sends what the probe under way needs now and returns when to come again, 0 if there is none. Only the peer's
// writer calls it.
func (p *Peer) probe(w *plane.Writer, now time.Time) (again time.Duration) {
	for {
		size, again := p.downlink.due(now)
		if size == 0 {
			return again
		}
		if !p.fill(w, size) {
			p.downlink.abandon()
			return 0
		}
	}
}

// fill sends one packet of about size bytes that nobody needs, on the retransmission stream of some video. False: there
// is none.
func (p *Peer) fill(w *plane.Writer, size int) bool {
	list := *p.sending.Load()
	for range list {
		p.turn++
		e := list[p.turn%len(list)]
		if e.kind == webrtc.RTPCodecTypeVideo && e.pad(w, size) {
			return true
		}
	}
	return false
}

// pad sends a packet of nothing but padding on the retransmission stream of e, which may be paused. False: it has none
// that the client reports about. Each bears a new number of that stream, so no nonce of it repeats. To repeat media
// instead would take fewer packets, but not every receiver knows that it has a packet already.
func (e *egress) pad(w *plane.Writer, size int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bound.Load()
	if b == nil || b.rtxSSRC == 0 || !e.peer.connected.Load() {
		return false
	}
	e.use(w)
	id, payloadType := extensionID(b.extensions, uriTransportCC), e.rtxType
	if payloadType == 0 {
		payloadType = firstRTX(b.codecs)
	}
	if id == 0 || payloadType == 0 {
		return false
	}
	e.rtxSeq++
	e.header = rtp.Header{
		Version: 2, Padding: true, PayloadType: payloadType, SequenceNumber: e.rtxSeq, Timestamp: e.rewriter.outTS,
		SSRC: b.rtxSSRC, Extensions: e.header.Extensions[:0],
	}
	padding := e.scratch.buffer[:min(size, maxPadding)]
	clear(padding)
	padding[len(padding)-1] = byte(len(padding))
	_ = e.header.SetExtension(id, e.number[:]) // cannot fail, it is the only one
	e.send(b, padding, sendsProbe, time.Now())
	return true
}

// firstRTX returns the payload type of some retransmission format, 0 if there is none.
func firstRTX(codecs []webrtc.RTPCodecParameters) uint8 {
	for _, codec := range codecs {
		if codec.MimeType == webrtc.MimeTypeRTX {
			return uint8(codec.PayloadType)
		}
	}
	return 0
}

// send numbers the packet whose header is filled and writes it. mu is held. A packet that cannot be written is lost as
// on any network; the connection's own state says if it is gone.
func (e *egress) send(b *binding, payload []byte, t traffic, now time.Time) {
	if e.through == nil {
		now = time.Now() // pion may have waited for its transport
	}
	size := e.header.MarshalSize() + len(payload)
	if e.ccID != 0 || t == sendsProbe {
		binary.BigEndian.PutUint16(e.number[:], e.peer.downlink.number(now, size, t))
	} else {
		e.peer.downlink.unnumbered(size, t)
	}
	_, _ = e.writer(b).WriteRTP(&e.header, payload)
}

// Downlink returns what the server finds about the way to a participant; false when it has found nothing: no media goes
// there, or the client sends no reports.
func (s *Server) Downlink(roomID wire.RoomID, who wire.ParticipantID) (bandwidth.Stats, bool) {
	s.mu.Lock()
	r := s.rooms[roomID]
	s.mu.Unlock()
	if r == nil {
		return bandwidth.Stats{}, false
	}
	p := r.peer(who)
	if p == nil {
		return bandwidth.Stats{}, false
	}
	found := p.downlink.stats()
	return found, found.RTT != 0
}
