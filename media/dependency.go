package media

// Limits of a dependency descriptor (AV1 RTP specification, appendix A): what its fields can hold.
const (
	maxTargets   = 32
	maxTemplates = 64
)

// How a decode target needs a frame (appendix A.4).
const (
	notPresent = 0
	switchable = 2 // decoding of the target can begin here
)

// A structure is what a template dependency structure says, as far as layers are chosen by it. It is never changed.
type structure struct {
	offset    uint8 // template_id_offset
	targets   int
	templates int
	chains    int
	layers    [maxTemplates]layer             // of a template
	needs     [maxTemplates][maxTargets]uint8 // how a target needs a template's frames
	points    [maxTargets]layer               // what a target is made of
	size      [maxSpatial]size
	sizes     int // how many of size are told, 0 = none
}

// dependencies reads the dependency descriptors of one stream. It keeps the newest structure, since only key frames
// bring one.
type dependencies struct {
	structure *structure
	active    layerSet // operating points that the sender makes, as far as it says so; 0 = not known
}

// frameNumber reads that of a descriptor. Frames name what they depend on by how far back it is, so numbers keep their
// distances, also where frames are left out.
func frameNumber(dd []byte) uint16 {
	if len(dd) < 3 {
		return 0
	}
	return uint16(dd[1])<<8 | uint16(dd[2])
}

// describe reads a descriptor. False: there is none, it is malformed, or its structure is not known.
func (d *dependencies) describe(dd []byte) (layering, bool) {
	if len(dd) < 3 {
		return layering{}, false
	}
	r := bits{b: dd}
	l := layering{start: r.flag(), end: r.flag()}
	template := uint8(r.get(6))
	r.skip(16) // frame_number
	s, customNeeds := d.structure, false
	if len(dd) > 3 {
		hasStructure, hasActive := r.flag(), r.flag()
		customNeeds = r.flag()
		r.skip(2) // custom_fdiffs_flag, custom_chains_flag: what follows for them is not read
		if hasStructure {
			if s = readStructure(&r); s == nil {
				return layering{}, false
			}
		}
		if s == nil {
			return layering{}, false
		}
		active := uint32(1)<<s.targets - 1
		if hasActive {
			active = r.get(s.targets)
		}
		if r.over {
			return layering{}, false
		}
		d.structure = s
		if hasStructure || hasActive {
			d.active = s.pointsOf(active)
		}
	}
	if s == nil {
		return layering{}, false
	}
	i := int((template + maxTemplates - s.offset) % maxTemplates)
	if i >= s.templates {
		return layering{}, false
	}
	l.layer = layer{min(s.layers[i].spatial, maxSpatial-1), min(s.layers[i].temporal, maxTemporal-1)}
	needs := s.needs[i]
	for t := range s.targets {
		if customNeeds {
			needs[t] = uint8(r.get(2))
		}
		if needs[t] == switchable {
			l.joins.add(s.points[t])
		}
	}
	return l, !r.over
}

// pointsOf translates a bit mask of decode targets.
func (s *structure) pointsOf(mask uint32) layerSet {
	var set layerSet
	for t := range s.targets {
		if mask>>t&1 != 0 {
			set.add(s.points[t])
		}
	}
	return set
}

// readStructure reads a template dependency structure (appendix A.8.2); nil: it is malformed.
func readStructure(r *bits) *structure {
	s := &structure{offset: uint8(r.get(6)), targets: int(r.get(5)) + 1}
	if !s.readLayers(r) {
		return nil
	}
	for i := range s.templates {
		for t := range s.targets {
			s.needs[i][t] = uint8(r.get(2))
			if s.needs[i][t] != notPresent {
				p := &s.points[t]
				p.spatial, p.temporal = max(p.spatial, s.layers[i].spatial), max(p.temporal, s.layers[i].temporal)
			}
		}
	}
	for range s.templates { // frames depended on
		for r.flag() {
			r.skip(4)
		}
	}
	if s.chains = int(r.below(uint32(s.targets) + 1)); s.chains > 0 {
		for range s.targets {
			r.below(uint32(s.chains))
		}
		r.skip(4 * s.templates * s.chains)
	}
	if r.flag() { // resolutions
		for i := range int(s.layers[s.templates-1].spatial) + 1 {
			one := size{int(r.get(16)) + 1, int(r.get(16)) + 1}
			if i < maxSpatial {
				s.size[i], s.sizes = one, i+1
			}
		}
	}
	if r.over {
		return nil
	}
	return s
}

// readLayers reads the layer of each template.
func (s *structure) readLayers(r *bits) bool {
	var at layer
	for s.templates < maxTemplates && !r.over {
		s.layers[s.templates] = at
		s.templates++
		switch r.get(2) {
		case 1:
			at.temporal++
		case 2:
			at.temporal = 0
			at.spatial++
		case 3:
			return true
		}
	}
	return false
}
