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
// picture only, fresh: a frame needs what is below it in its picture.
func (s *selector) rise(l layering, want layer, fresh bool) {
	switch {
	case s.current == want:
	case l.key:
		s.current = want
	case l.joins != 0:
		if !fresh {
			want.temporal = s.current.temporal
		}
		s.join(l.joins, want)
	default:
		if l.upSpatial && l.spatial == s.current.spatial+1 && l.spatial <= want.spatial {
			s.current.spatial++
		}
		if l.upTemporal && fresh && l.temporal == s.current.temporal+1 && l.temporal <= want.temporal {
			s.current.temporal++
		}
	}
}

// join goes to the largest operating point of set that is not beyond want.
func (s *selector) join(set layerSet, want layer) {
	for spatial := int(want.spatial); spatial >= int(s.current.spatial); spatial-- {
		for temporal := int(want.temporal); temporal >= int(s.current.temporal); temporal-- {
			if to := (layer{uint8(spatial), uint8(temporal)}); set.has(to) {
				s.current = to
				return
			}
		}
	}
}
