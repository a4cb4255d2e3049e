package media

import (
	"slices"
	"time"

	"confab/media/plane"

	"github.com/pion/rtcp"
)

// write is the peer's writer goroutine: it alone sends media to the client.
func (p *Peer) write() {
	later := time.NewTimer(time.Hour)
	defer later.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		case wait := <-p.later:
			later.Reset(wait)
			continue
		case <-later.C:
		}
		p.doWrite(func(w *plane.Writer) {
			now := time.Now()
			again := p.pump(w, now)
			if wait := p.probe(w, now); wait > 0 && (again == 0 || wait < again) {
				again = wait
			}
			if again > 0 {
				later.Reset(again)
			}
		})
	}
}

// control is the goroutine that sends the RTCP that is due by time or by request.
func (p *Peer) control() {
	tick := time.NewTimer(untilTick(time.Now(), controlTick))
	defer tick.Stop()
	var reported, fed time.Time
	var out compound
	for {
		out.reset()
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			tick.Reset(untilTick(time.Now(), p.interval()))
			if p.publishesVideo() || now.Sub(fed) >= feedbackSlow-controlTick/2 {
				fed = now
				p.feedback.take(&out)
			}
		case <-p.due:
		}
		if !p.connected.Load() {
			continue
		}
		now := time.Now()
		for _, in := range *p.receiving.Load() {
			p.look(in, &out, now)
		}
		p.listen(now)
		p.choose(now)
		p.report(now)
		if now.Sub(reported) >= reportInterval {
			reported = now
			p.rtcpReports(&out, now)
		}
		p.writeRTCP(nil, out.packets)
	}
}

// untilTick is how long to wait for the tick that comes about an interval after now, at one of the controlPhases moments
// of it. Peers whose ticks coincide share one wake-up of the process, which costs more than what most of them have to do.
func untilTick(now time.Time, interval time.Duration) time.Duration {
	phase := interval / controlPhases
	return now.Add(interval + phase/2).Truncate(phase).Sub(now)
}

// interval is how long after a tick the next one comes. What cannot wait as long as in a calm call pokes due.
func (p *Peer) interval() time.Duration {
	if p.squeezed || p.publishesVideo() {
		return controlTick
	}
	return calmTick
}

// publishesVideo reports whether the client publishes any.
func (p *Peer) publishesVideo() bool {
	return slices.ContainsFunc(*p.receiving.Load(), func(in *ingress) bool { return in.video })
}

// steer returns what the way to the client carries, and sees to it that more is tried where more is wanted.
func (p *Peer) steer(now time.Time, wanted int) budget {
	b, probing := p.downlink.steer(now, wanted, p.allocator.Least())
	if probing {
		poke(p.wake)
	}
	return b
}

// look sees to a track that the client publishes: what it brings, what of it nobody uses, key frames that are due.
func (p *Peer) look(in *ingress, out *compound, now time.Time) {
	in.look(now)
	if msg, ok := in.publishMedia(now); ok {
		p.post(func(e *events) { e.messages = append(e.messages, msg) })
	}
	in.each(func(s *stream) {
		s.claimRepair()
		if s.keyDue(now) {
			out.packets = append(out.packets, &rtcp.PictureLossIndication{SenderSSRC: p.ssrc, MediaSSRC: s.ssrc})
		}
	})
}

// maxCompound is how many RTCP packets share a datagram, so that it stays below a path's MTU.
const maxCompound = 16

// rtcpReports adds a sender report for each track sent and receiver reports for those received.
func (p *Peer) rtcpReports(out *compound, now time.Time) {
	for _, e := range *p.sending.Load() {
		if sr, ok := e.report(now); ok {
			raw := out.next()
			*raw = appendSenderReport(*raw, &sr)
		}
	}
	blocks := out.blocks[:0]
	for _, in := range *p.receiving.Load() {
		in.each(func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.stats.started {
				blocks = append(blocks, s.stats.report(s.ssrc, s.sr, now))
			}
		})
	}
	out.blocks = blocks
	for some := range slices.Chunk(blocks, maxBlocks) {
		raw := out.next()
		*raw = appendReceiverReport(*raw, p.ssrc, some)
	}
}

// report translates the publisher's last sender report: the same clock, so that the tracks of one participant stay
// in step, carried on to now; the timestamp as this subscriber sees it. False: there is nothing to say yet.
func (e *egress) report(now time.Time) (rtcp.SenderReport, bool) {
	b := e.bound.Load()
	if !e.mu.TryLock() { // its transport may block, and what else control does must go on
		return rtcp.SenderReport{}, false
	}
	defer e.mu.Unlock()
	if b == nil || e.from == nil || e.cutNext {
		return rtcp.SenderReport{}, false
	}
	line := e.rewriter.timeline()
	if line.source != e.from || line.sr.at.IsZero() {
		return rtcp.SenderReport{}, false
	}
	sr, elapsed := line.sr, now.Sub(line.sr.at)
	return rtcp.SenderReport{
		SSRC: b.ssrc, NTPTime: sr.ntp + ntpSpan(elapsed), RTPTime: sr.rtp + rtpSpan(elapsed, e.from.in.clock) + line.moved,
		PacketCount: e.packets, OctetCount: e.octets,
	}, true
}

// reception counts what came of one stream, for its receiver reports (RFC 3550 section 6.4.1, appendices A.3, A.8).
type reception struct {
	started  bool
	epoch    time.Time // when the first packet came
	first    uint64    // extended sequence numbers
	highest  uint64
	received uint64
	transit  uint32
	jitter   float64 // ticks

	expectedBefore uint64 // at the last report
	receivedBefore uint64
}

func (r *reception) count(seq uint64, ts, clock uint32, now time.Time) {
	if !r.started {
		r.started, r.first, r.epoch, r.transit = true, seq, now, -ts
	}
	transit := rtpSpan(now.Sub(r.epoch), clock) - ts
	difference := int32(transit - r.transit)
	r.jitter += (float64(max(difference, -difference)) - r.jitter) / 16
	r.transit = transit
	r.received++
	r.highest = max(r.highest, seq)
}

func (r *reception) report(ssrc uint32, sr senderReport, now time.Time) rtcp.ReceptionReport {
	expected := r.highest - min(r.first, r.highest) + 1
	block := rtcp.ReceptionReport{
		SSRC: ssrc, LastSequenceNumber: uint32(r.highest - 1<<16), Jitter: uint32(r.jitter),
	}
	if expected > r.received {
		block.TotalLost = uint32(min(expected-r.received, 1<<23-1))
	}
	since, came := expected-r.expectedBefore, r.received-r.receivedBefore
	if since > came {
		block.FractionLost = uint8(min((since-came)<<8/since, 255))
	}
	r.expectedBefore, r.receivedBefore = expected, r.received
	if !sr.at.IsZero() {
		block.LastSenderReport = uint32(sr.ntp >> 16)
		block.Delay = uint32(ntpSpan(now.Sub(sr.at)) >> 16)
	}
	return block
}
