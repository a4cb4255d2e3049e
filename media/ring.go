package media

import "time"

// A packet is one stored RTP packet. Its slices belong to the ring's slot.
type packet struct {
	seq     uint64 // extended sequence number, never 0 in a filled slot
	arrival uint64 // how many packets the ring had taken before
	ts      uint32
	marker  bool
	red     bool // the payload is RED
	layering
	extra   []byte // header extension passed on as it is, see uriExtra; empty = none
	dd      []byte // AV1 dependency descriptor extension, empty = none
	payload []byte
}

// copyTo copies p over dst, whose slices it reuses.
func (p *packet) copyTo(dst *packet) {
	extra, dd, payload := dst.extra[:0], dst.dd[:0], dst.payload[:0]
	*dst = *p
	dst.extra = append(extra, p.extra...)
	dst.dd = append(dd, p.dd...)
	dst.payload = append(payload, p.payload...)
}

// A ring keeps the newest packets of one track, by extended sequence number, and the order in which they came.
// A slot's buffer grows to what it has held, so that an audio ring stays small. It is not safe for concurrent use.
type ring struct {
	slots    []packet
	order    []uint64 // extended sequence number by arrival
	mask     uint64
	arrivals uint64    // packets taken
	newest   uint64    // highest extended sequence number, 0 = none yet
	key      uint64    // where the newest key frame begins, 0 = none seen
	keyAt    time.Time // when that came
	stale    uint64    // extended number after the last packet that was too old, see extend
	spare    []byte    // from which the next slots get what little they need
}

// newRing makes a ring of size packets, a power of two.
func newRing(size int) *ring {
	return &ring{slots: make([]packet, size), order: make([]uint64, size), mask: uint64(size - 1)}
}

// extend returns the extended sequence number of seq, or false for a packet that is too old to be kept. Two such in
// sequence mean that the sender has begun anew (RFC 3550 appendix A.1); the second one then opens the next cycle.
func (r *ring) extend(seq uint16) (uint64, bool) {
	if r.newest == 0 {
		return 1<<16 + uint64(seq), true // room below for packets that were overtaken
	}
	ext := r.newest + uint64(int64(int16(seq-uint16(r.newest))))
	if ext+uint64(len(r.slots)) > r.newest {
		r.stale = 0
		return ext, true
	}
	if r.stale != ext {
		r.stale = ext + 1
		return 0, false
	}
	r.stale = 0
	return (r.newest>>16+2)<<16 + uint64(seq), true
}

// slot takes the place of the packet ext, or returns nil when it is there already. The caller fills it.
func (r *ring) slot(ext uint64) *packet {
	p := &r.slots[ext&r.mask]
	if p.seq == ext || p.seq > ext {
		return nil
	}
	p.seq, p.arrival = ext, r.arrivals
	r.order[r.arrivals&r.mask] = ext
	r.arrivals++
	r.newest = max(r.newest, ext)
	return p
}

// What little a slot needs, such as a packet of audio, it gets as a part of spareSize bytes: so that a ring that fills
// allocates seldom, not with each packet.
const (
	littleLeast = 16   // bytes of such a part, or twice as many, and so on,
	littleMost  = 256  // up to this; what is larger is a piece of its own
	spareSize   = 4096 // bytes
)

// put copies src into what a slot has in dst, or into more if that is too small.
func (r *ring) put(dst, src []byte) []byte {
	if len(src) > cap(dst) && len(src) <= littleMost {
		size := littleLeast
		for size < len(src) {
			size *= 2
		}
		if size > len(r.spare) {
			r.spare = make([]byte, spareSize)
		}
		dst, r.spare = r.spare[:size:size], r.spare[size:]
	}
	return append(dst[:0], src...)
}

// get returns the packet ext, or nil when the ring does not have it.
func (r *ring) get(ext uint64) *packet {
	if p := &r.slots[ext&r.mask]; p.seq == ext && ext != 0 {
		return p
	}
	return nil
}

// arrived returns the packet that came as number n, or nil when it is no longer kept.
func (r *ring) arrived(n uint64) *packet {
	if n >= r.arrivals || r.arrivals-n > uint64(len(r.order)) {
		return nil
	}
	return r.get(r.order[n&r.mask])
}

// markKey notes that the packet ext looks like the first of a key frame with the timestamp ts, and reports whether it
// begins the newest one: parameter sets and each slice of one H.264 picture look alike.
func (r *ring) markKey(ext uint64, ts uint32, now time.Time) bool {
	known := r.get(r.key)
	same := known != nil && known.ts == ts
	if same == (ext > r.key) {
		return false
	}
	r.key, r.keyAt = ext, now
	return true
}

// keyFrame returns where the newest key frame begins, if it is kept and no more than limit packets have followed.
func (r *ring) keyFrame(limit uint64) (uint64, bool) {
	if r.key == 0 || r.newest-r.key >= limit || r.get(r.key) == nil {
		return 0, false
	}
	return r.key, true
}
