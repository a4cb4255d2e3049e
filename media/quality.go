package media

import (
	"fmt"
	"time"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// qualityInterval is the least time between two reports about one track to one client.
const qualityInterval = time.Second

// A sentCount is what an egress has sent until a moment.
type sentCount struct {
	at       time.Time
	octets   uint32
	pictures uint32
	stream   *stream // nil = nothing is sent
	layer    layer
}

// sentUntil returns what was sent so far; false: it is being sent at the moment, perhaps on a transport that blocks.
func (e *egress) sentUntil(now time.Time) (sentCount, bool) {
	if !e.mu.TryLock() {
		return sentCount{}, false
	}
	defer e.mu.Unlock()
	count := sentCount{at: now, octets: e.octets, pictures: e.pictures, layer: e.selector.current}
	if !e.waitKey {
		count.stream = e.from
	}
	return count, true
}

// report tells the client about each video what it gets and why not more, where that has changed. It is called by
// control.
func (p *Peer) report(now time.Time) {
	for _, e := range *p.sending.Load() {
		s := &e.selected
		if e.kind != webrtc.RTPCodecTypeVideo || s.in == nil || s.reason == "" || now.Sub(s.counted.at) < qualityInterval {
			continue
		}
		count, ok := e.sentUntil(now)
		if !ok {
			continue
		}
		before := s.counted
		if s.counted = count; before.at.IsZero() {
			continue
		}
		if msg := s.quality(before, s.counted); differs(msg, s.reported) {
			s.reported = msg
			p.post(func(events *events) { events.messages = append(events.messages, msg) })
		}
	}
}

// quality describes what was sent between two moments.
func (s *selected) quality(from, to sentCount) wire.MediaQuality {
	msg := wire.MediaQuality{
		Participant: s.in.key.participant, Source: s.in.key.source, Codec: codecName(s.in.codec.MimeType), Reason: s.reason,
	}
	if to.stream == nil || to.stream.in != s.in {
		if s.reason != wire.QualityHidden && s.reason != wire.QualityBandwidth {
			msg.Reason = wire.QualityPublisher
		}
		return msg
	}
	span := to.at.Sub(from.at).Seconds()
	msg.FPS = int(float64(to.pictures-from.pictures)/span + 0.5)
	msg.Bitrate = int(8 * float64(to.octets-from.octets) / span)
	var largest quality // everything is sent up to the current layer, so it is the largest that comes within it
	rates := 0
	for _, q := range *s.seen {
		if int(q.stream) != to.stream.index || q.layer.spatial > to.layer.spatial {
			continue
		}
		if q.layer.spatial > largest.layer.spatial {
			rates = 0
		}
		largest = q
		rates++
	}
	index := s.in.index(largest.target)
	msg.Width, msg.Height = largest.size.width, largest.size.height
	msg.Layer = fmt.Sprintf("%d/%d", index+1, s.in.come())
	if rates > 1 {
		msg.Layer += fmt.Sprintf(" T%d/%d", min(int(to.layer.temporal)+1, rates), rates)
	}
	return msg
}

// differs reports whether a client would notice: what is measured varies always.
func differs(a, b wire.MediaQuality) bool {
	if far(a.FPS, b.FPS, 2) || far(a.Bitrate, b.Bitrate, 20_000) {
		return true
	}
	a.FPS, a.Bitrate = b.FPS, b.Bitrate
	return a != b
}

// far reports whether two numbers are more than a quarter and more than least apart.
func far(a, b, least int) bool {
	apart := max(a-b, b-a)
	return apart > least && 4*apart > max(a, b)
}
