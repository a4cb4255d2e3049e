package media

import (
	"cmp"
	"math"
	"slices"
	"time"

	"confab/media/bandwidth"
	"confab/signaling/wire"
)

// What each client gets of each video is decided here and nowhere else: by control, from the qualities that publishers
// send as measured, what the client shows, priorities and the budget. The writer then does it (egress.follow).

// selected is what control has chosen for one egress. It is owned by control.
type selected struct {
	in       *ingress
	sub      subscription
	priority int
	seen     *[]quality        // what options were made from
	options  []quality         // from the smallest to the largest; its memory is used again
	layers   []bandwidth.Layer // the same, as the allocation is told; so is its memory
	reason   wire.QualityReason
	wished   use // of in
	shown    int // layers of in that the client has a use for, whatever its way carries
	narrow   narrow
	counted  sentCount         // at the last look at what was sent
	reported wire.MediaQuality // what the client was told last
}

// wish tells the track's publisher, through its demand, how much e uses.
func (s *selected) wish(e *egress, u use) {
	if s.in != nil && s.wished != u {
		s.wished = u
		if s.in.demand.wish(e, u) {
			poke(s.in.peer.due)
		}
	}
}

// A change says how much has changed by which to choose.
type change uint8

const (
	unchanged change = iota
	measured         // as much as always
	changed
)

// look takes over what e is to send now and reports whether anything has changed.
func (s *selected) look(e *egress, priority int) change {
	f := e.want.Load()
	if f == nil {
		if s.in == nil {
			return unchanged
		}
		s.wish(e, use{})
		*s = selected{}
		return changed
	}
	qualities, how := f.in.qualities.Load(), changed
	if s.in == f.in && s.sub == f.sub && s.priority == priority {
		if s.seen == qualities {
			return unchanged
		}
		if alike(*s.seen, *qualities) {
			how = measured
		}
	}
	if s.in != f.in {
		s.wish(e, use{})
		*s = selected{in: f.in}
	}
	s.sub, s.priority, s.seen = f.sub, priority, qualities
	s.options = options(s.options[:0], *qualities, f.in.key.source == wire.Screen || f.sub.fps > 0)
	s.shown = wishedLayers(f.in, *qualities, f.sub)
	s.wish(e, s.narrow.of(s.shown))
	return how
}

// alike reports whether the same qualities come, with other figures.
func alike(a, b []quality) bool {
	return slices.EqualFunc(a, b, func(a, b quality) bool {
		return a.target == b.target && a.size == b.size && (a.bitrate > 0) == (b.bitrate > 0)
	})
}

// track is what the allocation is told, but what is sent now. It is good until the next call.
func (s *selected) track(id int) bandwidth.Track {
	t := bandwidth.Track{
		ID: id, Priority: s.priority, Width: s.sub.width, Height: s.sub.height, FPS: enough(s.sub.fps), Enabled: !s.sub.off,
		Current: bandwidth.Paused,
	}
	s.layers = s.layers[:0]
	for _, q := range s.options {
		s.layers = append(s.layers, bandwidth.Layer{Bitrate: q.bitrate, Width: q.size.width, Height: q.size.height, FPS: q.fps})
	}
	t.Layers = s.layers
	if s.in.key.source == wire.Screen {
		t.Floor = fullSize(s.options)
	}
	return t
}

// current returns which of the options is sent now.
func (s *selected) current(t *target) int {
	for i, q := range s.options {
		if t != nil && *t == q.target {
			return i
		}
	}
	return bandwidth.Paused
}

// enough is seven eighths of the frames a second asked for: what is measured is never exact.
func enough(fps int) int { return (7*fps + 7) / 8 }

// fullSize returns the first option of the largest size: text in a smaller one cannot be read.
func fullSize(options []quality) int {
	full := 0
	for i, q := range options {
		if q.bitrate > 0 && q.size.area() > options[full].size.area() {
			full = i
		}
	}
	return full
}

// options appends qualities to list, which is empty, from the smallest to the largest, with one frame rate for all that have every temporal layer,
// whatever was measured; with lower frame rates at each size, or else at the smallest one only.
func options(list, qualities []quality, everyRate bool) []quality {
	list = append(list, qualities...)
	slices.SortStableFunc(list, func(a, b quality) int {
		return cmp.Or(cmp.Compare(a.size.area(), b.size.area()), cmp.Compare(a.stream, b.stream),
			cmp.Compare(a.layer.spatial, b.layer.spatial), cmp.Compare(a.layer.temporal, b.layer.temporal))
	})
	fps := 1
	for _, q := range list {
		fps = max(fps, q.fps)
	}
	kept := list[:0]
	for _, q := range list {
		if q.top {
			q.fps = fps
		} else if !everyRate && q.size != list[0].size {
			continue
		}
		kept = append(kept, q)
	}
	return kept
}

// wishedLayers is how many layers of in, from the smallest up, a client needs that shows it so large, whatever its
// bandwidth. A layer whose size is not known yet may be the one.
func wishedLayers(in *ingress, qualities []quality, sub subscription) int {
	switch {
	case sub.off:
		return 0
	case sub.width == 0 && sub.height == 0:
		return in.layers()
	}
	best, found := quality{}, false
	for _, q := range qualities {
		if q.top && q.size.area() > 0 && q.size.width >= sub.width && q.size.height >= sub.height && (!found || q.size.area() < best.size.area()) {
			best, found = q, true
		}
	}
	if !found {
		return in.layers()
	}
	return in.index(best.target) + 1
}

// sharing is how a client's budget is shared out. It is owned by the peer's control.
type sharing struct {
	allocator bandwidth.Allocator
	allocated budget            // what was shared out last
	squeezed  bool              // then some track got less than it should, for want of bandwidth
	tracks    []bandwidth.Track // the videos to share it among
	chosen    []*egress         // what sends them
	listed    time.Time         // when tracks was made
	pending   change            // what has been seen since
	level     int32             // of the server's load, by which tracks was made
	aside     int               // bits a second that publishers were asked not to send, for want of bandwidth here
}

// choose decides what this client gets of each video: at once when something has changed, and now and then by what was
// measured anew.
func (p *Peer) choose(now time.Time) {
	again := p.gather(now)
	// Who got less than wanted may be held back by time alone.
	if b := p.steer(now, bandwidth.Demand(p.tracks)+p.aside); again || p.squeezed || b != p.allocated {
		p.allocated = b
		p.allocate(now, b)
	}
}

// gather lists the videos that are to share the budget, and reports whether they are others than before.
func (p *Peer) gather(now time.Time) bool {
	sending := *p.sending.Load()
	for _, e := range sending {
		p.pending = max(p.pending, e.selected.look(e, p.priority(e)))
	}
	level := p.server.load.level.Load()
	if level != p.level {
		p.level, p.pending = level, changed
	}
	if p.pending == unchanged || p.pending == measured && now.Sub(p.listed) < measureInterval {
		return false
	}
	p.pending, p.listed = unchanged, now
	p.tracks, p.chosen = p.tracks[:0], p.chosen[:0]
	for i, e := range sending {
		if e.selected.in != nil && e.selected.in.video {
			t := e.selected.track(i)
			t.Less = less(level, t.Priority)
			p.tracks = append(p.tracks, t)
			p.chosen = append(p.chosen, e)
		}
	}
	return true
}

// allocate shares out a budget.
func (p *Peer) allocate(now time.Time, b budget) {
	for i, e := range p.chosen {
		p.tracks[i].Current = e.selected.current(e.target.Load())
	}
	bitrate := int(b.bitrate)
	if b.trial {
		bitrate = max(bitrate, bandwidth.Floors(p.tracks))
	}
	p.allocator.Carried, p.allocator.Drowned = b.carried, b.drowned
	choices := p.allocator.Allocate(now, p.tracks, bitrate)
	sum := 0
	for i, choice := range choices {
		sum += p.tracks[i].Bitrate(choice.Layer)
	}
	p.squeezed, p.aside = false, 0
	for i, choice := range choices {
		e, t := p.chosen[i], &p.tracks[i]
		e.take(choice)
		p.squeezed = p.squeezed || choice.Reason == wire.QualityBandwidth || e.selected.narrow.active
		p.aside += e.selected.spare(e, now, t, choice, b.bitrate-int64(sum-t.Bitrate(choice.Layer)), b.carried)
	}
	p.downlink.follow(now, b, sum, p.squeezed && !p.allocator.Least().IsZero())
}

// take has e send what was chosen.
func (e *egress) take(choice bandwidth.Choice) {
	s := &e.selected
	s.reason = choice.Reason
	next := target{paused: true}
	switch {
	case choice.Layer >= 0:
		next = s.options[choice.Layer].target
	case choice.Reason != wire.QualityBandwidth:
		return // nothing comes: it goes on with whatever will
	}
	if s.narrow.active && s.reason != wire.QualityHidden && s.reason != wire.QualityServer {
		s.reason = wire.QualityBandwidth // the publisher sends no more because of that
	}
	if old := e.target.Load(); old == nil || *old != next {
		e.target.Store(new(next)) // only what is kept is allocated
		e.notify()
	}
}

// priority says which video matters more to the client of e when not all fit.
func (p *Peer) priority(e *egress) int {
	f := e.want.Load()
	switch {
	case f == nil:
		return bandwidth.PriorityOther
	case f.in.key.source == wire.Screen:
		return bandwidth.PriorityScreen
	case f.in.key.participant == p.dominant:
		return bandwidth.PrioritySpeaker
	default:
		return bandwidth.PriorityOther
	}
}

// noBudget stands for a way that nothing is known about.
const noBudget = math.MaxInt64
