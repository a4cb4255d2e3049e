package media

import "strings"

// A codecKind is how a payload is to be read. The zero value is one of which nothing is known.
type codecKind uint8

const (
	codecOther codecKind = iota
	codecVP8
	codecVP9
	codecH264
	codecAV1
)

func kindOfCodec(mime string) codecKind {
	switch strings.ToLower(mime) {
	case "video/vp8":
		return codecVP8
	case "video/vp9":
		return codecVP9
	case "video/h264":
		return codecH264
	case "video/av1":
		return codecAV1
	default:
		return codecOther
	}
}

// name is the codec's RTP name, as a client is told it.
func codecName(mime string) string {
	_, name, _ := strings.Cut(mime, "/")
	return name
}

const (
	maxSpatial  = 4 // layers told apart within one stream; what is above counts as the last one
	maxTemporal = 4
)

// A layer names an operating point of a stream with layers inside (SVC): its spatial layer with all below it, at the
// frame rate of its temporal layer with all below it.
type layer struct{ spatial, temporal uint8 }

// within reports whether l is part of the operating point p.
func (l layer) within(p layer) bool { return l.spatial <= p.spatial && l.temporal <= p.temporal }

// A layerSet is a set of operating points.
type layerSet uint16

func (s *layerSet) add(l layer) {
	if l.spatial < maxSpatial && l.temporal < maxTemporal {
		*s |= 1 << (l.spatial*maxTemporal + l.temporal)
	}
}

// hasSpatial reports whether a spatial layer is in some operating point; of an unknown set, 0, each is.
func (s layerSet) hasSpatial(n int) bool {
	return s == 0 || s>>(n*maxTemporal)&(1<<maxTemporal-1) != 0
}

func (s layerSet) has(l layer) bool { return s>>(l.spatial*maxTemporal+l.temporal)&1 != 0 }

// A layering is what one packet says of its place in its stream. It is read once, when the packet comes in; what each
// receiver gets is then chosen by it alone, whatever the codec. A frame is what one picture has in one spatial layer.
type layering struct {
	layer
	start bool // first packet of its frame
	end   bool // last one
	key   bool // first packet of a picture from which on everything can be decoded

	// With this frame a receiver may begin to get a layer above those it has:
	upSpatial  bool     // the frame's own spatial layer: it depends on nothing but lower ones of this picture
	upTemporal bool     // the frame's own temporal layer: it depends on no earlier frame of it
	joins      layerSet // these operating points, as the dependency descriptor says
}

// describe reads a payload and its dependency descriptor dd, if it has one: browsers send that with every codec when it
// was negotiated, and then leave layers out of the payload. marker is the RTP header's.
func (c codecKind) describe(payload, dd []byte, marker bool, deps *dependencies) layering {
	l := layering{end: marker}
	switch c {
	case codecOther:
	case codecVP8:
		l = describeVP8(payload)
		l.end = marker
	case codecVP9:
		l = describeVP9(payload)
	case codecH264:
		l.key = h264KeyFrame(payload)
	case codecAV1:
		l.key = startsAV1(payload)
	}
	if described, ok := deps.describe(dd); ok {
		described.key = l.key
		return described
	}
	return l
}

// startsKeyFrame reports whether payload is the first packet of a key frame.
func (c codecKind) startsKeyFrame(payload []byte) bool {
	return c.describe(payload, nil, false, &dependencies{}).key
}

// A size is that of a picture in pixels; zero = not known.
type size struct{ width, height int }

func (s size) area() int { return s.width * s.height }

// sizes reads the size of each spatial layer from the first packet of a key frame. It returns how many it has found;
// what is not known of a lower layer stays zero.
func (c codecKind) sizes(payload []byte, deps *dependencies) (list [maxSpatial]size, n int) {
	switch c {
	case codecVP8:
		list[0] = vp8Size(payload)
	case codecVP9:
		return vp9Sizes(payload)
	case codecH264:
		list[0] = h264Size(payload)
	case codecOther:
	case codecAV1:
		if s := deps.structure; s != nil && s.sizes > 0 {
			return s.size, s.sizes
		}
		list[0] = av1Size(payload)
	}
	if list[0].area() == 0 {
		return list, 0
	}
	return list, 1
}
