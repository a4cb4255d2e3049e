package bandwidth

import "time"

// When to probe, and how (libwebrtc's ProbeController and BitrateProber, where nothing else is said).
const (
	probeFirst     = 3.0                    // times the start rate
	probeSecond    = 6.0                    // the same
	probeFurther   = 2.0                    // times what the last one proved
	probeProved    = 0.7                    // of a probe's bitrate must be proved to go further
	probeLimited   = 2.0                    // times the estimate, when little is sent
	probeSaturated = 1.5                    // times the estimate, when all of it is used
	probeCareful   = 1.25                   // the same near the capacity: such a probe makes a queue
	probeRecover   = 0.85                   // of the rate before a drop
	probeHeadroom  = 1.5                    // times what is wanted: more need not be proved
	probeEnough    = 1.25                   // times what is wanted: with that estimate no probe is needed
	probeMore      = 1.2                    // times what was wanted before: probe at once
	probeInterval  = 5 * time.Second        // between two attempts,
	probeSoon      = 2 * time.Second        // but not at first, unless packets wait: one that shows little may be an accident,
	probeEarly     = 10 * time.Second       // for so long after the first attempt, or the first for more
	probeWait      = time.Second            // for the result
	probeSpan      = 25 * time.Millisecond  // libwebrtc 15 ms: a server's timers are coarse and bursts are merged
	probeLongest   = 100 * time.Millisecond // even if that is less than
	probeLeast     = 7200                   // bytes: six packets, so that the sizes of the first and the last matter little
	probePackets   = 5                      // at least
	probeReceived  = 0.8                    // of its packets and bytes must be acknowledged
	probeUnused    = 0.9                    // of the rate it was sent with must come, else it has filled the path
	probeTarget    = 0.95                   // of the rate it came with, when it has filled the path
	probeAbsurd    = 2.0                    // times the rate it was sent with: held up on the way, it says nothing
	probeRetries   = 3                      // at once, when no result comes
	probeClusters  = 4                      // remembered
)

// ProbeWait is how long a probe may wait for a frame to begin with: a little longer than a frame takes.
const ProbeWait = 40 * time.Millisecond

// A Probe asks for packets at a rate that may be more than the media needs, to learn whether the path carries them.
// It begins with the next packet of video, or after ProbeWait without one. Until Packets packets with Bytes bytes are sent, give its ID to Sent with each packet of video, and add others where
// the media leaves a gap: after each packet Interval must not pass without the next one. A frame that is sent in one
// burst can be all of a probe.
type Probe struct {
	ID      uint16 // never 0
	Bitrate int    // bits a second
	Packets int
	Bytes   int
}

// Interval is how long to wait after a packet of size bytes.
func (p Probe) Interval(size int) time.Duration {
	return time.Duration(8 * size * int(time.Second) / max(p.Bitrate, 1))
}

// A cluster is what is known about the packets of one probe.
type cluster struct {
	probe               Probe
	sent, came          int // packets
	bytes               int // of the packets that came
	firstBytes          int // of the one that came first
	lastBytes           int // of the one that was sent last
	firstSent, lastSent time.Duration
	firstCame, lastCame time.Duration
}

// A prober decides when to probe and reads the results.
type prober struct {
	clusters [probeClusters]cluster
	ids      uint16
	queue    [2]int        // bitrates that are due
	began    time.Duration // the last attempt
	early    time.Duration // until then attempts may be probeSoon apart
	waiting  bool          // for a result that says whether to go further
	silent   int           // attempts since the last result
	beyond   float64       // the result must be above it
	started  bool
	wanted   float64 // at the last attempt
	recover  float64 // a rate to try soon, 0 = none
	after    time.Duration
}

// A situation is what a prober decides by. Rates are in bits a second.
type situation struct {
	now      time.Duration
	estimate float64
	wanted   float64
	most     float64
	limited  bool // little is sent
	near     bool // the estimate is near the capacity seen lately
	queued   bool // packets wait on the path
	troubled bool // by overuse, a long queue or an outage: no time to probe
}

// next returns a probe that is to be sent now.
func (p *prober) next(s situation) (Probe, bool) {
	if p.waiting && s.now-p.began > probeWait {
		p.waiting = false
		if p.silent > 0 && p.silent <= probeRetries {
			p.began = s.now - p.interval(s) // its feedback may be lost: try again now
		}
	}
	if s.troubled {
		p.queue, p.waiting = [2]int{}, false
		return Probe{}, false
	}
	if p.queue[0] == 0 {
		p.plan(s)
	}
	bitrate := p.queue[0]
	if bitrate == 0 {
		return Probe{}, false
	}
	p.queue[0], p.queue[1] = p.queue[1], 0
	if p.ids++; p.ids == 0 {
		p.ids++
	}
	in := func(span time.Duration) int { return int(float64(bitrate) * span.Seconds() / 8) }
	probe := Probe{ID: p.ids, Bitrate: bitrate, Packets: probePackets, Bytes: max(in(probeSpan), min(in(probeLongest), probeLeast))}
	p.clusters[p.ids%probeClusters] = cluster{probe: probe}
	return probe, true
}

// interval is how long after an attempt the next one is due.
func (p *prober) interval(s situation) time.Duration {
	if s.now < p.early && !s.queued {
		return probeSoon
	}
	return probeInterval
}

// plan puts into the queue what is due.
func (p *prober) plan(s situation) {
	if s.estimate >= min(probeEnough*s.wanted, s.most) {
		p.waiting, p.recover = false, 0
		return
	}
	due := !p.waiting && s.now-p.began >= p.interval(s)
	switch {
	case !p.started:
		p.started, p.early = true, s.now+probeEarly
		p.begin(s, probeFirst*s.estimate, probeSecond*s.estimate)
	case p.recover > 0 && s.now >= p.after:
		target := max(probeRecover*p.recover, probeFurther*s.estimate)
		p.recover = 0
		p.begin(s, min(target, probeFirst*s.estimate), 0)
	case s.wanted > probeMore*p.wanted && !p.waiting:
		p.early = s.now + probeEarly
		p.begin(s, min(probeEnough*s.wanted, probeFirst*s.estimate), 0)
	case p.waiting && p.beyond > 0 && s.estimate > p.beyond:
		p.begin(s, probeFurther*s.estimate, 0)
	case due && s.limited:
		p.begin(s, probeLimited*s.estimate, 0)
	case due && s.near:
		p.begin(s, probeCareful*s.estimate, 0)
	case due:
		p.begin(s, probeSaturated*s.estimate, 0)
	}
}

// begin queues one or two probes.
func (p *prober) begin(s situation, first, second float64) {
	most := min(probeHeadroom*s.wanted, s.most)
	p.queue = [2]int{int(min(first, most)), int(min(second, most))}
	if first >= most {
		p.queue[1] = 0
	}
	p.began, p.waiting, p.wanted = s.now, true, s.wanted
	p.silent++
	p.beyond = probeProved * min(max(first, second), most)
	if max(first, second) >= most {
		p.beyond = 0 // nothing more is needed
	}
}

// dropped notes that the rate fell from before; what it was is tried once more from after on.
func (p *prober) dropped(before float64, after time.Duration) {
	p.recover, p.after = max(p.recover, before), after
}

// sent notes a packet of a probe.
func (p *prober) sent(id uint16) {
	if c := &p.clusters[id%probeClusters]; c.probe.ID == id {
		c.sent++
	}
}

// A proof is the result of a probe. Its zero value proves nothing.
type proof struct {
	rate   float64 // bits a second that can be sent
	filled bool    // more would have made a queue
}

// received notes that a packet of a probe has come, and returns what this proves.
func (p *prober) received(packet *sentPacket, came time.Duration) proof {
	c := &p.clusters[packet.probe%probeClusters]
	if c.probe.ID != packet.probe {
		return proof{}
	}
	if c.came == 0 || packet.at < c.firstSent {
		c.firstSent = packet.at
	}
	if c.came == 0 || came < c.firstCame {
		c.firstCame, c.firstBytes = came, int(packet.size)
	}
	if c.came == 0 || came > c.lastCame {
		c.lastCame = came
	}
	if c.came == 0 || packet.at >= c.lastSent {
		c.lastSent, c.lastBytes = packet.at, int(packet.size)
	}
	c.came++
	c.bytes += int(packet.size)
	proof := c.result()
	if proof.rate > 0 {
		p.silent = 0
	}
	return proof
}

// result is what the cluster proves: nothing if it is not complete or makes no sense.
func (c *cluster) result() proof {
	if c.came < c.probe.Packets*4/5 || c.came*5 < c.sent*4 || float64(c.bytes) < probeReceived*float64(c.probe.Bytes) {
		return proof{}
	}
	sending, coming := c.lastSent-c.firstSent, c.lastCame-c.firstCame
	if coming <= 0 || sending > probeWait || coming > probeWait {
		return proof{}
	}
	// The time of sending doesn't hold the last packet's, the time of coming not the first one's. A burst is sent in
	// no time: +Inf.
	sent := float64(8*(c.bytes-c.lastBytes)) / sending.Seconds()
	came := float64(8*(c.bytes-c.firstBytes)) / coming.Seconds()
	switch {
	case came > probeAbsurd*sent:
		return proof{}
	case came < probeUnused*sent:
		return proof{rate: probeTarget * came, filled: true}
	default:
		return proof{rate: min(sent, came)}
	}
}
