package bandwidth

import (
	"math"
	"time"
)

// Parameters of the rate control (draft-ietf-rmcat-gcc-02 section 5.5, gains of libwebrtc).
const (
	backOff        = 0.85                   // of the acknowledged rate, on overuse
	growth         = 1.08                   // a second, far from the capacity
	growthLimit    = 1.5                    // times the acknowledged rate: beyond it nothing proves the estimate
	growthSlack    = 10_000                 // bits a second above that limit, so that the smallest rates can move
	leastGrowth    = 4000                   // bits a second in a second, near the capacity
	reactionTime   = 100 * time.Millisecond // of the detector, on top of the round trip
	minBackOffGap  = 10 * time.Millisecond  // between two reductions: about a round trip,
	maxBackOffGap  = 200 * time.Millisecond // but not longer than this
	largePacket    = 1200                   // bytes
	framesASecond  = 30                     //
	emptyFactor    = 0.95                   // of the acknowledged rate, to empty a queue that stays
	nearCapacity   = 0.7                    // of the capacity seen lately
	capacityWeight = 0.05                   // of a new sample of the capacity
)

// A rateControl turns the detector's states into a rate: multiplicative decrease on overuse, additive increase near
// the capacity seen then, multiplicative increase far from it.
type rateControl struct {
	rate     float64 // bits a second
	held     bool    // after a decrease, until the detector is back to normal
	changed  time.Duration
	rtt      time.Duration
	capacity capacity
}

// A measurement is what one feedback says, as the rate control needs it.
type measurement struct {
	usage    usage
	acked    float64 // bits a second
	known    bool    // acked is measured
	limited  bool    // too little is sent to learn how much more the path would carry
	carried  bool    // what was sent came at the rate it was sent with
	measured time.Duration
}

// update takes a measurement and reports whether it made the rate smaller.
func (c *rateControl) update(m measurement) bool {
	switch m.usage {
	case overuse:
		return c.decrease(m)
	case underuse:
		c.held = true // the queue empties: wait for it
	case normal:
		if c.held {
			c.held, c.changed = false, m.measured
		}
		c.increase(m)
	}
	return false
}

// decrease goes below what came. When the path carried all of the little that was sent, the acknowledged rate is no
// measure of it: then the estimate itself is reduced.
func (c *rateControl) decrease(m measurement) bool {
	gap := min(max(c.rtt, minBackOffGap), maxBackOffGap)
	if m.measured-c.changed < gap && !(m.known && m.acked < c.rate/2 && !m.carried) {
		return false
	}
	before := c.rate
	switch {
	case !m.known:
		c.rate /= 2
	case m.limited && m.carried:
		c.rate *= backOff
	default:
		to := backOff * m.acked
		if to > c.rate && c.capacity.known {
			to = backOff * c.capacity.mean
		}
		c.rate = min(c.rate, to)
		c.capacity.add(m.acked)
	}
	c.held, c.changed = true, m.measured
	return c.rate < before
}

func (c *rateControl) increase(m measurement) {
	elapsed := min(max(m.measured-c.changed, 0), time.Second).Seconds()
	c.changed = m.measured
	if m.limited || !m.known {
		return
	}
	if m.acked > c.capacity.upper() {
		c.capacity.known = false
	}
	limit := growthLimit*m.acked + growthSlack
	if c.rate >= limit {
		return
	}
	to := c.rate * math.Pow(growth, elapsed)
	if c.capacity.known {
		to = c.rate + c.slope()*elapsed
	}
	c.rate = min(to, limit)
}

// prove takes over what a probe has shown at a time.
func (c *rateControl) prove(p proof, at time.Duration) {
	c.rate, c.changed = p.rate, at
	if p.filled {
		c.capacity = capacity{}
		c.capacity.add(p.rate / probeTarget)
	}
}

// empty goes a little below what came, so that a queue that stays as long as it is becomes shorter.
func (c *rateControl) empty(acked float64, at time.Duration) {
	c.rate, c.changed = min(c.rate, emptyFactor*acked), at
	c.capacity.add(acked)
}

// near reports whether the rate is near the capacity seen lately.
func (c *rateControl) near() bool { return c.capacity.known && c.rate > nearCapacity*c.capacity.mean }

// slope is the increase near the capacity in bits a second, a second: one packet in two reaction times.
func (c *rateControl) slope() float64 {
	frame := c.rate / framesASecond / 8
	packet := frame / max(math.Ceil(frame/largePacket), 1)
	return max(8*packet/(2*(c.rtt+reactionTime)).Seconds(), leastGrowth)
}

// A capacity is what the path carried when it was overused: mean and deviation in bits a second.
type capacity struct {
	known     bool
	mean      float64
	deviation float64 // squared and divided by the mean, kb/s
}

func (c *capacity) add(sample float64) {
	if c.known && sample < c.mean-c.spread() {
		c.known = false // far from what was: another path, or another load
	}
	if !c.known {
		*c = capacity{known: true, mean: sample, deviation: max(c.deviation, 0.4)}
		return
	}
	c.mean += capacityWeight * (sample - c.mean)
	miss := (c.mean - sample) / 1000
	c.deviation += capacityWeight * (miss*miss/max(c.mean/1000, 1) - c.deviation)
	c.deviation = min(max(c.deviation, 0.4), 2.5)
}

// spread is three standard deviations in bits a second.
func (c *capacity) spread() float64 { return 3 * 1000 * math.Sqrt(c.deviation*c.mean/1000) }

// upper is the largest rate that the estimate explains.
func (c *capacity) upper() float64 {
	if !c.known {
		return math.Inf(1)
	}
	return c.mean + c.spread()
}
