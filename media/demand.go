package media

import (
	"sync"
	"time"

	"confab/signaling/wire"
)

// demandFalls is how long a layer goes on that nobody uses any more.
const demandFalls = 2 * time.Second

// A use is how much of a published video a receiver can use, or all of them together.
type use struct {
	layers  int // from the smallest up
	bitrate int // bits a second that the largest of them may have; 0 = as many as it likes
}

// plus is what both can use.
func (u use) plus(other use) use {
	switch {
	case u.layers != other.layers:
		if u.layers > other.layers {
			return u
		}
		return other
	case u.bitrate == 0 || other.bitrate == 0:
		return use{layers: u.layers}
	default:
		return use{u.layers, max(u.bitrate, other.bitrate)}
	}
}

// exceeds reports whether u is more than other.
func (u use) exceeds(other use) bool {
	if u.layers != other.layers {
		return u.layers > other.layers
	}
	return other.bitrate != 0 && (u.bitrate == 0 || u.bitrate > other.bitrate)
}

// A demand is how much of a published video its receivers use. Any number of goroutines may use it.
type demand struct {
	mu     sync.Mutex
	wishes map[*egress]use // guarded by mu
	told   bool            // guarded by mu: the publisher has been told something
	has    use             // guarded by mu: what it was told last
	less   time.Time       // guarded by mu: since when all wish less than that; zero = they do not
	avoid  bool            // guarded by mu: some receiver cannot decode it
	warned bool            // guarded by mu: the publisher knows that
}

// miss notes that a receiver cannot decode the video, and reports whether the publisher does not know that yet.
func (d *demand) miss() (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.avoid = true
	return !d.warned
}

// avoids reports whether the video is wanted in another codec.
func (d *demand) avoids() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.avoid
}

// wish notes how much e uses; no layers, when it is gone. It reports whether that is more than the publisher knows of.
func (d *demand) wish(e *egress, u use) (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wishes == nil {
		d.wishes = map[*egress]use{}
	}
	if d.wishes[e] = u; u.layers == 0 {
		delete(d.wishes, e)
	}
	return d.told && u.exceeds(d.has)
}

// due returns what to tell the publisher now of a track with so many layers: that another codec is wanted and more at
// once, less once it has been less for demandFalls. A publisher that was told nothing sends all.
func (d *demand) due(now time.Time, have int) (u use, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, wish := range d.wishes {
		wish.layers = min(wish.layers, have)
		u = u.plus(wish)
	}
	has := use{layers: have}
	if d.told {
		has = d.has
	}
	switch {
	case d.avoid && !d.warned:
		d.warned = true
		if has.exceeds(u) {
			u = has
		}
	case u == has:
		d.less = time.Time{}
		return use{}, false
	case u.exceeds(has):
	case d.less.IsZero():
		d.less = now
		return use{}, false
	case now.Sub(d.less) < demandFalls:
		return use{}, false
	}
	d.told, d.has, d.less = true, u, time.Time{}
	return u, true
}

// publishMedia returns what the publisher is to be told now about in.
func (in *ingress) publishMedia(now time.Time) (wire.PublishMedia, bool) {
	if !in.video {
		return wire.PublishMedia{}, false
	}
	u, ok := in.demand.due(now, in.layers())
	msg := wire.PublishMedia{Source: in.key.source, Layers: u.layers, Bitrate: u.bitrate}
	if in.demand.avoids() {
		msg.Avoid = codecName(in.codec.MimeType)
	}
	return msg, ok
}
