package media

// A selector chooses the layers within one stream for one receiver. Everything up to the current operating point is
// sent, so a step down is possible with any picture, and a step up where the stream allows it. It is arithmetic alone.
type selector struct {
	current layer
	ts      uint32 // of the newest picture decided about
	seen    bool   // ts is valid
}

// take decides about a packet that comes in order: whether it is sent, and whether it is the last one of its picture
// that is, which then bears the marker.
func (s *selector) take(l layering, ts uint32, want layer) (send, last bool) {
	fresh := !s.seen || int32(ts-s.ts) > 0
	if fresh {
		s.ts, s.seen = ts, true
		s.current = layer{min(s.current.spatial, want.spatial), min(s.current.temporal, want.temporal)}
	}
	if l.start {
		s.rise(l, want, fresh)
	}
	return s.sends(l)
}

// sends decides about a packet without changing anything; so are those treated that come late.
func (s *selector) sends(l layering) (send, last bool) {
	return l.within(s.current), l.end && l.spatial == s.current.spatial
}

// rise goes up as far as the frame allows that begins with l. A temporal layer is joined with the first frame of a
// picture only, fresh: a frame needs what is below it in its picture. With dependency descriptors it is one that is sent
// anyway, since "switch" speaks of what follows a frame that can be decoded; a spatial layer is joined with a key
// picture alone.
func (s *selector) rise(l layering, want layer, fresh bool) {
	switch {
	case s.current == want:
	case l.key:
		s.current = want
	case l.joins != 0:
		for t := want.temporal; fresh && l.within(s.current) && t > s.current.temporal; t-- {
			if l.joins.has(layer{l.spatial, t}) {
				s.current.temporal = t
			}
		}
	default:
		if l.upSpatial && l.spatial == s.current.spatial+1 && l.spatial <= want.spatial {
			s.current.spatial++
		}
		if l.upTemporal && fresh && l.temporal == s.current.temporal+1 && l.temporal <= want.temporal {
			s.current.temporal++
		}
	}
}

// misses reports whether l begins a frame of a spatial layer that is wanted and cannot be joined without a key picture.
func (s *selector) misses(l layering, want layer) bool {
	return l.start && l.spatial > s.current.spatial && l.spatial <= want.spatial
}
