package media

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

// maxStreams is how many simulcast layers a track may have.
const maxStreams = 3

// An ingress is one track that a participant publishes: one RTP stream, or one for each simulcast layer.
type ingress struct {
	// Set by newIngress, then constant.
	peer  *Peer
	mid   string
	key   trackKey
	rids  []string // of the simulcast layers, in the order of their description: smallest first; nil = no simulcast
	codec webrtc.RTPCodecParameters
	kind  codecKind
	video bool
	clock uint32 // ticks a second

	inside bool // of a Microphone: peer stands for nobody

	streams   [maxStreams]atomic.Pointer[stream] // nil: it has not come yet; set by the publisher's run
	qualities atomic.Pointer[[]quality]          // replaced by the publisher's control; what it points to never changes
	demand    demand
	silenced  atomic.Bool // a microphone that is not forwarded, since others are louder

	// Owned by the publisher's control.
	watched  [maxStreams]watch
	measured time.Time
}

// newIngress makes a track without streams; t is the first of them to come.
func newIngress(p *Peer, mid string, key trackKey, rids []string, t remoteTrack) *ingress {
	codec := t.track.Codec()
	in := &ingress{
		peer: p, mid: mid, key: key, rids: rids, codec: codec, kind: kindOfCodec(codec.MimeType),
		video: t.track.Kind() == webrtc.RTPCodecTypeVideo, clock: codec.ClockRate,
	}
	for _, c := range t.receiver.GetParameters().Codecs {
		if strings.EqualFold(codec.MimeType, mimeRED) && strings.EqualFold(c.MimeType, webrtc.MimeTypeOpus) {
			in.codec = c // RED is Opus for who cannot read it
		}
	}
	in.qualities.Store(&[]quality{})
	return in
}

// add makes a stream of t, in the place of the one before, which ends when its section was turned off and on again. nil:
// the track has no such layer, or it comes in another codec.
func (in *ingress) add(t remoteTrack) *stream {
	index := 0
	if len(in.rids) > 0 {
		index = slices.Index(in.rids, t.track.RID())
	} else if t.track.RID() != "" {
		index = -1
	}
	if index < 0 || index >= maxStreams || in.video && t.track.Codec().MimeType != in.codec.MimeType {
		return nil
	}
	s := newStream(in, index, t)
	old := in.streams[index].Swap(s)
	in.each((*stream).wake) // who has another layer may want this one
	if old != nil {
		old.wake()
	}
	return s
}

// remove forgets an ended stream and reports whether it was the last one.
func (in *ingress) remove(s *stream) (empty bool) {
	in.streams[s.index].CompareAndSwap(s, nil)
	for i := range in.streams {
		if in.streams[i].Load() != nil {
			return false
		}
	}
	return true
}

// each calls f for all streams there are.
func (in *ingress) each(f func(*stream)) {
	for i := range in.streams {
		if s := in.streams[i].Load(); s != nil {
			f(s)
		}
	}
}

// stream returns the stream that stands for index: itself, else the next lower one, else the next higher one; nil when
// nothing has come yet.
func (in *ingress) stream(index int) *stream {
	index = min(index, maxStreams-1)
	for i := index; i >= 0; i-- {
		if s := in.streams[i].Load(); s != nil {
			return s
		}
	}
	for i := index + 1; i < maxStreams; i++ {
		if s := in.streams[i].Load(); s != nil {
			return s
		}
	}
	return nil
}

// mediaType is what pion calls the track's type.
func (in *ingress) mediaType() webrtc.RTPCodecType {
	if in.video {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// A target says what of a track a receiver is to get.
type target struct {
	stream uint8 // index of the simulcast layer
	layer  layer // within it
	paused bool
}

// targetBest is what is sent before anything was chosen.
var targetBest = target{stream: maxStreams - 1, layer: layer{maxSpatial - 1, maxTemporal - 1}}

// A quality is one in which a published video can be had, as measured.
type quality struct {
	target
	size size
	flow      // bitrate 0 = it does not come now
	top  bool // all temporal layers of its size
}

// A watch sees whether a simulcast layer still comes.
type watch struct {
	last     time.Time // the last packet seen
	pictures uint64    // of the other layers, when that was seen
	alive    bool
}

// look notes what comes and what does not. Called by the publisher's control goroutine alone.
func (in *ingress) look(now time.Time) {
	if !in.video {
		return
	}
	var pictures [maxStreams]uint64
	var last [maxStreams]time.Time
	sum := uint64(0)
	for i := range in.streams {
		if s := in.streams[i].Load(); s != nil {
			s.mu.Lock()
			pictures[i], last[i] = s.content.pictures, s.content.last
			s.mu.Unlock()
			sum += pictures[i]
		}
	}
	changed := false
	for i := range in.watched {
		changed = in.watched[i].see(now, last[i], sum-pictures[i]) || changed
	}
	if !changed && now.Sub(in.measured) < measureInterval {
		return
	}
	if now.Sub(in.measured) >= measureInterval {
		in.measured = now
	}
	in.measure(now)
	if changed {
		in.each(func(s *stream) { // who has what is gone, or may want what has come, chooses at once
			for _, e := range *s.listeners.Load() {
				poke(e.peer.due)
			}
		})
	}
}

// see reports whether the layer has come or gone. A layer is gone when the others go on without it: then the publisher
// has taken it back for want of bandwidth or power. When all are silent, the picture stands still.
func (w *watch) see(now, last time.Time, others uint64) bool {
	before := w.alive
	w.pictures = min(w.pictures, others) // another stream was replaced, and counts from nothing
	if last != w.last {
		w.last, w.pictures, w.alive = last, others, true
	} else if w.alive && now.Sub(last) > maxQuiet && others-w.pictures >= quietPictures {
		w.alive = false
	}
	return w.alive != before
}

// measure replaces qualities.
func (in *ingress) measure(now time.Time) {
	list := make([]quality, 0, 2*maxStreams)
	for i := range in.streams {
		s := in.streams[i].Load()
		if s == nil {
			continue
		}
		s.mu.Lock()
		flows, c := s.content.sample(now), &s.content
		sizes, count, active := c.sizes, max(c.sized, c.spatial()), c.active
		s.mu.Unlock()
		for spatial := range count {
			comes := in.watched[i].alive && active.hasSpatial(spatial)
			const all = maxTemporal - 1
			if spatial > 0 && flows[spatial][all].bitrate == flows[spatial-1][all].bitrate && flows[0][all].fps > 0 {
				comes = false // pictures come without it
			}
			list = appendQualities(list, uint8(i), uint8(spatial), sizes[spatial], flows[spatial], comes)
		}
	}
	in.qualities.Store(&list)
}

// appendQualities adds those of one size, one for each frame rate that there is.
func appendQualities(list []quality, stream, spatial uint8, size size, flows [maxTemporal]flow, comes bool) []quality {
	top := maxTemporal - 1
	for top > 0 && flows[top] == flows[top-1] {
		top--
	}
	for t := range top {
		if comes && flows[t].bitrate > 0 && flows[t].fps > 0 {
			list = append(list, quality{target: target{stream: stream, layer: layer{spatial, uint8(t)}}, size: size, flow: flows[t]})
		}
	}
	full := quality{target: target{stream: stream, layer: layer{spatial, maxTemporal - 1}}, size: size, top: true}
	if comes {
		full.flow = flows[top]
		full.bitrate = max(full.bitrate, 1) // it may stand still
	}
	return append(list, full)
}

// layers is how many layers the track can have in space, simulcast or SVC.
func (in *ingress) layers() int { return max(len(in.rids), in.come()) }

// come is how many of them have ever come, counted from the smallest one up. A small camera has fewer than there is room
// for, and nobody misses the others.
func (in *ingress) come() int {
	n := 1
	in.each(func(s *stream) { n = max(n, s.index+1) })
	for _, q := range *in.qualities.Load() {
		n = max(n, int(q.layer.spatial)+1)
	}
	return n
}

// index is the place of t among the layers.
func (in *ingress) index(t target) int {
	if len(in.rids) > 0 {
		return int(t.stream)
	}
	return int(t.layer.spatial)
}
