package plane

import (
	"slices"
	"time"
)

// RTCP comes from each receiver of media, ten times a second and more, and each wake-up for one such datagram costs more
// than its handling. So it comes to a socket that wakes nobody: it is looked at with the media that comes anyway, and by
// a tick where none does. Nothing in RTCP minds some milliseconds.
const (
	controlGap  = 4 * time.Millisecond  // between two looks with media
	controlTick = 8 * time.Millisecond  // between two without,
	controlRest = 32 * time.Millisecond // but for the first one after media has ended
)

// A steering decides which socket of a port gets what comes there.
type steering interface {
	// spread has the first so many sockets share what is not RTCP, by remote address.
	spread(sockets int) error
	// drain hands on the RTCP that has come, unless another goroutine is about it.
	drain(take func(batch []datagram))
	// close closes the socket of RTCP. Nothing else is called then or later.
	close() error
}

// use notes that the port has got, or lost, a transport whose path it is.
func (c *Conn) use(by int32) {
	if c != nil && c.users.Add(by) == 1 && by > 0 {
		select {
		case c.used <- struct{}{}:
		default:
		}
	}
}

// minded reports whether mind looks after the port, so that what is queued does not stay.
func (c *Conn) minded() bool { return c.steering != nil && c.users.Load() > 0 }

// drain takes the RTCP that has come, if the last look was gap ago, and reports whether it was.
func (c *Conn) drain(now time.Time, gap time.Duration) bool {
	at := int64(now.Sub(c.opened))
	if before := c.drained.Load(); at-before < int64(gap) || !c.drained.CompareAndSwap(before, at) {
		return false
	}
	c.steering.drain(c.take)
	return true
}

// mind sees to a port as long as it is the path of any transport: to RTCP that no media brings along, to what is queued
// that no media takes along, and to how many sockets share what comes.
func (c *Conn) mind() {
	for {
		select {
		case <-c.ended:
			return
		case <-c.used:
		}
		c.mindUsed()
	}
}

// mindUsed is mind until the port has no user.
func (c *Conn) mindUsed() {
	next := time.NewTimer(controlTick)
	defer next.Stop()
	balance := balance{sockets: 1, looked: time.Now(), before: c.busyTimes()}
	for wait := controlTick; c.users.Load() > 0; next.Reset(wait) {
		select {
		case <-c.ended:
			return
		case <-next.C:
		}
		now := time.Now()
		if c.drain(now, controlTick) {
			wait = controlTick
		} else {
			wait = min(2*wait, controlRest) // media does it
		}
		for _, s := range c.plane.shards {
			s.flush()
		}
		if now.Sub(balance.looked) >= balanceTime && balance.look(now, c.busyTimes()) {
			_ = c.steering.spread(balance.sockets) // an error leaves it as it was
		}
	}
	_ = c.steering.spread(1)
}

// busyTimes are how long the sockets' readers have worked.
func (c *Conn) busyTimes() []time.Duration {
	times := make([]time.Duration, len(c.busy))
	for i := range times {
		times[i] = time.Duration(c.busy[i].Load())
	}
	return times
}

// When to have more readers, and when fewer. One that reads for all has the most in each batch, and what it looks at in
// its processor's cache.
const (
	balanceTime = time.Second
	busyShare   = 0.5 // of the time that a reader works: others are to take a part
	calmShare   = 0.2 // the same, on average: fewer will do,
	calmLooks   = 10  // if it stays so
)

// A balance works out how many sockets are to share what comes to a port.
type balance struct {
	sockets int
	calm    int // looks since there was more to do
	looked  time.Time
	before  []time.Duration // how long the readers had worked then
}

// look takes how long each reader has worked since the start, and reports whether the number of sockets is another now.
func (b *balance) look(now time.Time, busy []time.Duration) (changed bool) {
	span := float64(now.Sub(b.looked))
	shares := make([]float64, b.sockets)
	sum := 0.0
	for i := range shares {
		shares[i] = float64(busy[i]-b.before[i]) / span
		sum += shares[i]
	}
	b.looked = now
	copy(b.before, busy)
	switch {
	case slices.Max(shares) >= busyShare:
		b.calm = 0
		return b.set(min(2*b.sockets, len(busy)))
	case sum >= calmShare*float64(b.sockets) || b.sockets == 1:
		b.calm = 0
	default:
		b.calm++
	}
	if b.calm < calmLooks {
		return false
	}
	b.calm = 0
	return b.set(b.sockets / 2)
}

func (b *balance) set(sockets int) (changed bool) {
	changed = sockets != b.sockets
	b.sockets = sockets
	return changed
}
