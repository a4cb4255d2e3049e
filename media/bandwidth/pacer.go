package bandwidth

import "time"

// Shape of what a Pacer lets through.
const (
	pacerFactor   = 2.5                    // times the target: frames are uneven (libwebrtc's default)
	pacerBurst    = 40 * time.Millisecond  // of that rate may go at once (libwebrtc's burst interval)
	pacerLeast    = 6000                   // bytes that may go at once at the smallest rates: five packets
	pacerMost     = 60_000                 // bytes that may go at once at the largest rates: one write with UDP GSO
	pacerMaxQueue = 250 * time.Millisecond // what waits is gone after it, even if that takes a higher rate
)

// A Pacer spreads what would overrun the path, such as a key frame, and leaves the rest alone: an ordinary frame goes
// out as one burst, so that its packets can be sent with one system call. It is a token bucket; when it is empty it
// waits until a good part of a burst has gathered, instead of letting packets trickle. Its zero value lets everything
// through until SetRate is called.
type Pacer struct {
	rate   float64 // bytes a second, 0 = no limit
	burst  float64 // bytes
	tokens float64 // bytes that may be sent now; 0 and below = owed
	at     time.Time
	closed bool // until half a burst has gathered
}

// SetRate sets the pace for a target in bits a second while waiting bytes of video are queued in front of the pacer.
func (p *Pacer) SetRate(now time.Time, target, waiting int) {
	first := p.rate == 0
	p.fill(now)
	p.rate = max(pacerFactor*float64(target)/8, float64(waiting)/pacerMaxQueue.Seconds(), 1)
	p.burst = min(max(p.rate*pacerBurst.Seconds(), pacerLeast), pacerMost)
	if first {
		p.tokens = p.burst
	}
}

// Sent counts a packet of size bytes, of whatever kind, and reports whether video may follow it at once.
func (p *Pacer) Sent(now time.Time, size int) bool {
	if p.rate == 0 {
		return true
	}
	p.fill(now)
	p.tokens = max(p.tokens-float64(size), -p.burst)
	p.closed = p.closed || p.tokens <= 0
	return !p.closed
}

// Open reports whether video may be sent now, at least one packet.
func (p *Pacer) Open(now time.Time) bool {
	if p.closed {
		p.fill(now)
		p.closed = p.tokens < p.burst/2
	}
	return !p.closed
}

// Next returns how long after the last call of Sent or Open video may be sent again, 0 if it may.
func (p *Pacer) Next() time.Duration {
	if !p.closed {
		return 0
	}
	return max(time.Duration((p.burst/2-p.tokens)/p.rate*float64(time.Second))+time.Microsecond, 0)
}

func (p *Pacer) fill(now time.Time) {
	if elapsed := now.Sub(p.at); !p.at.IsZero() && elapsed > 0 {
		p.tokens = min(p.tokens+p.rate*min(elapsed, time.Second).Seconds(), p.burst)
	}
	p.at = now
}
