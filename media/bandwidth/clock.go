package bandwidth

import "time"

// clockJump is how far the clock of a receiver may go away from ours between two feedbacks, and how far arrivals may
// be from their feedback's reference. What is farther is an error or a lie.
const clockJump = 3 * time.Second

// A receiverClock unwraps the reference times of feedback.
type receiverClock struct {
	started bool
	last    int32         // the reference last seen, 24 bits
	unwound int64         // the same, with what wrapped
	at      time.Duration // our time then
}

// base returns a reference as a time on the receiver's clock, and whether that clock has jumped since the last one.
// A jump starts it anew, so that a forged reference spoils no more than the moment.
func (c *receiverClock) base(at time.Duration, reference int32) (base time.Duration, jumped bool) {
	if !c.started {
		*c = receiverClock{started: true, last: reference, at: at}
	}
	step := int64((reference-c.last)<<8) >> 8 // 24 bits, signed
	elapsed := time.Duration(step) * referenceTick
	if off := elapsed - (at - c.at); off > clockJump || off < -clockJump {
		*c = receiverClock{started: true, last: reference, unwound: c.unwound, at: at}
		return time.Duration(c.unwound) * referenceTick, true
	}
	if step > 0 {
		c.last, c.at = reference, at
		c.unwound += step
		return time.Duration(c.unwound) * referenceTick, false
	}
	return time.Duration(c.unwound+step) * referenceTick, false
}
