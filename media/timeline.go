package media

// A timeline is how the timestamps of what an egress has sent last are to be carried on with another stream.
type timeline struct {
	source *stream // nil = nothing was sent, or of another track
	sr     senderReport
	moved  uint32 // how far the timestamps of source were moved
}

// timeline returns that of the newest run.
func (w *rewriter) timeline() timeline {
	r := w.now()
	if r == nil || r.source == nil {
		return timeline{}
	}
	r.source.mu.Lock()
	defer r.source.mu.Unlock()
	return timeline{r.source, r.source.sr, r.shiftTS}
}

// shift returns by how much the timestamps of s must be moved to go on in step: as those of the same stream, else as
// the sender reports of both tell, which have one clock (RFC 3550 section 6.4.1). s.mu is held.
func (l *timeline) shift(s *stream) (uint32, bool) {
	switch {
	case l.source == nil:
		return 0, false
	case l.source == s:
		return l.moved, true
	case l.sr.at.IsZero() || s.sr.at.IsZero():
		return 0, false
	default:
		return l.moved + l.sr.rtp - s.sr.rtp + ntpTicks(int64(s.sr.ntp-l.sr.ntp), s.in.clock), true
	}
}

// ntpTicks is a span of 32.32 seconds in ticks of clock a second.
func ntpTicks(span int64, clock uint32) uint32 {
	whole, fraction := span>>32, uint64(uint32(span))
	return uint32(whole)*clock + uint32(fraction*uint64(clock)>>32)
}
