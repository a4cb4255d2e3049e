package media

import (
	"time"

	"confab/media/bandwidth"
	"confab/signaling/wire"
)

// What is asked of a publisher because of a client's way.
const (
	narrowLayers = 5 * time.Second // that a layer did not fit: it need not be sent,
	narrowWhole  = time.Second     // the same of a video of one layer: it is to be sent with less
	wideShare    = 1.15            // times what was missing must fit, as bandwidth's headroom has it,
	wideHold     = 2 * time.Second // for so long: all is asked for again;
	wideSoon     = time.Minute     // if it is too much again so soon, it takes twice as long the next time,
	wideHoldMost = time.Minute     // up to this
	capShare     = 0.75            // of what would fit is asked for: encoders don't keep to it, and going up takes headroom
	capUp        = 1.2             // times as much would fit, for wideHold: it is asked for
	capDown      = 0.85            // the same, for less
	capLeast     = 100_000         // bits a second: less is no picture
)

// A narrow is what a publisher need not send, as far as one client is concerned, since the way to that has never room
// for it. Publishers send what the widest way carries, so this counts only where it is so for all who show the video.
// A layer that is not sent cannot be measured: what it had is kept, so that the way can be tried for it.
type narrow struct {
	since   time.Time // since when the way is too narrow for a part, zero = it is not
	active  bool      // the publisher was asked for less
	use     use       // that is what it was asked for
	natural int       // bits a second that the next larger layer had, or all of a video of one

	wide  time.Time     // since when there is room for more, zero = there is not
	freed time.Time     // when all was asked for again, zero = never
	hold  time.Duration // how long there must be room for that
}

// of returns what to wish for of so many layers that are shown.
func (n *narrow) of(shown int) use {
	if !n.active {
		return use{layers: shown}
	}
	return use{min(n.use.layers, shown), n.use.bitrate}
}

// spare decides what the publisher of the video that e sends may spare for the client's sake. Room is how many bits a
// second the way has for it; what is carried fits, whatever that says. It returns how many more the video would have if
// there were room for all of it.
func (s *selected) spare(e *egress, now time.Time, t *bandwidth.Track, c bandwidth.Choice, room int64, carried bool) (aside int) {
	n, short := &s.narrow, c.Reason == wire.QualityBandwidth || !carried && room < int64(t.Bitrate(c.Layer))
	switch {
	case c.Reason == wire.QualityHidden:
		*n = narrow{}
	case n.active:
		n.widen(now, room)
	case !short:
		n.since = time.Time{}
	case n.since.IsZero():
		n.since = now
	default:
		s.begin(now, t, c, room)
	}
	s.wish(e, n.of(s.shown))
	if !n.active {
		return 0
	}
	return max(n.natural-t.Bitrate(c.Layer), 0)
}

// begin asks for less if the way has been too narrow for long enough. The smallest layer is always sent, so that it is
// there at once; of a video of one layer a smaller one is asked for.
func (s *selected) begin(now time.Time, t *bandwidth.Track, c bandwidth.Choice, room int64) {
	n, span := &s.narrow, now.Sub(s.narrow.since)
	largest := 0
	if c.Layer != bandwidth.Paused {
		largest = s.in.index(s.options[c.Layer].target)
	}
	switch {
	case s.in.layers() > 1 && span >= narrowLayers && largest+1 < s.shown:
		for i, q := range s.options {
			if q.bitrate > 0 && s.in.index(q.target) > largest {
				n.ask(now, use{layers: largest + 1}, t.Bitrate(i))
				return
			}
		}
	case s.in.layers() == 1 && span >= narrowWhole && len(t.Layers) > 0:
		n.ask(now, use{1, fitting(room)}, t.Bitrate(len(t.Layers)-1))
	}
}

// ask begins to ask for no more than u.
func (n *narrow) ask(now time.Time, u use, natural int) {
	n.active, n.use, n.natural, n.wide = true, u, natural, time.Time{}
	if n.hold = max(2*n.hold, wideHold); n.freed.IsZero() || now.Sub(n.freed) > wideSoon {
		n.hold = wideHold
	}
	n.hold = min(n.hold, wideHoldMost)
}

// widen asks for more, or all, when there has been room for it for a while, and for less at once.
func (n *narrow) widen(now time.Time, room int64) {
	fits, all := fitting(room), float64(room) >= wideShare*float64(n.natural)
	switch capped := float64(n.use.bitrate); {
	case capped > 0 && float64(fits) <= capDown*capped:
		n.use.bitrate, n.wide = fits, time.Time{}
	case !all && (capped == 0 || float64(fits) < capUp*capped):
		n.wide = time.Time{}
	case n.wide.IsZero():
		n.wide = now
	case all && now.Sub(n.wide) >= n.hold:
		*n = narrow{hold: n.hold, freed: now}
	case !all && now.Sub(n.wide) >= wideHold:
		n.use.bitrate, n.wide = fits, time.Time{}
	}
}

// fitting is what to ask for of a video for which there is room.
func fitting(room int64) int { return max(int(capShare*float64(room)), capLeast) }
