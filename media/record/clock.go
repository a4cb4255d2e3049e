package record

import "time"

const (
	maxSlew     = 5 * time.Millisecond // how far one report moves the timestamps of a file that has begun
	maxStep     = 5 * time.Second      // a timestamp or a report that is further off is not believed
	clockDrift  = 100e-6               // how fast a participant's clock may go astray: 100 ppm, twice a poor quartz
	ntpUnixDiff = 2208988800           // seconds from 1900 to 1970 (RFC 5905 section 6)
)

// A wallClock maps the clock of one participant, which its sender reports name, to ours. It takes the report that
// travelled fastest as the truth, so that it is late by the shortest one-way delay, which is the same for all tracks
// of the participant. It is not safe for concurrent use.
type wallClock struct {
	known  bool
	offset time.Duration // ours minus the participant's
	at     time.Time     // of the last report
}

// report takes in that a report written at sent by the participant's clock came at at, and returns sent by ours.
func (c *wallClock) report(sent, at time.Time) time.Time {
	offset := at.Sub(sent)
	if c.known {
		least := c.offset + time.Duration(clockDrift*float64(at.Sub(c.at)))
		if offset < least || offset-least > maxStep { // beyond it the participant's clock was set
			c.offset = offset
		} else {
			c.offset = least
		}
	} else {
		c.known, c.offset = true, offset
	}
	c.at = at
	return sent.Add(c.offset)
}

// ntpTime reads a 64-bit NTP timestamp (RFC 3550 section 4): seconds since 1900 and their fraction.
func ntpTime(ntp uint64) time.Time {
	nanoseconds := (ntp & 0xffffffff) * uint64(time.Second) >> 32
	return time.Unix(int64(ntp>>32)-ntpUnixDiff, int64(nanoseconds))
}

// A clock maps the RTP timestamps of one track to time. Positions count from its first frame. A report settles where
// that frame lies in our time when it is the first; later ones correct the drift between the track's clock and the
// participant's in steps too small to be noticed. It is not safe for concurrent use.
type clock struct {
	rate int64 // ticks a second, constant

	started  bool
	settled  bool          // base comes from a report
	renewed  bool          // the next timestamp has nothing to do with last
	base     time.Time     // when position 0 was, by our clock
	last     uint32        // timestamp of the newest frame
	ticks    int64         // from the first frame to the newest one
	shift    time.Duration // added to what ticks say
	position time.Duration // of the newest frame
	arrival  time.Time     // of the newest frame
}

// at returns the position of the frame with the timestamp ts, which arrived at arrival. Frames are handed over in
// their order. Positions never go back.
func (c *clock) at(ts uint32, arrival time.Time) time.Duration {
	if !c.started {
		c.started, c.base, c.last, c.arrival = true, arrival, ts, arrival
		return 0
	}
	delta := int64(int32(ts - c.last))
	passed := arrival.Sub(c.arrival)
	if step := c.span(delta) - passed; c.renewed || step > maxStep || step < -maxStep {
		delta = int64(passed.Seconds() * float64(c.rate)) // the sender has begun anew
	}
	c.last, c.arrival, c.renewed = ts, arrival, false
	c.ticks += delta
	c.position = max(c.position, c.span(c.ticks)+c.shift)
	return c.position
}

// restart has timestamps of another stream follow, whose relation to the old ones is not known: the first of them
// counts by its arrival, and reports correct that.
func (c *clock) restart() { c.renewed = true }

func (c *clock) span(ticks int64) time.Duration {
	return time.Duration(ticks/c.rate)*time.Second + time.Duration(ticks%c.rate)*time.Second/time.Duration(c.rate)
}

// report takes in that the timestamp ts was at captured, by our clock.
func (c *clock) report(ts uint32, captured time.Time) {
	if !c.started || c.renewed {
		return
	}
	delta := int64(int32(ts - c.last))
	off := captured.Sub(c.base.Add(c.span(c.ticks+delta) + c.shift))
	switch {
	case off > maxStep || off < -maxStep:
	case !c.settled:
		c.settled, c.base = true, c.base.Add(off)
	default:
		c.shift += min(max(off, -maxSlew), maxSlew)
	}
}
