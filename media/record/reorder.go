package record

import (
	"slices"
	"time"
)

const (
	reorderWait  = 300 * time.Millisecond // how long a missing packet is waited for: retransmissions need some round trips
	maxHeld      = 1024                   // packets that wait for a missing one
	maxHeldBytes = 2 << 20                // and their bytes
	maxDropout   = 3000                   // RFC 3550 appendix A.1: a jump beyond it is a new start
)

// A packet is what is kept of one RTP packet. Its payload is its own.
type packet struct {
	seq     uint64 // extended sequence number
	ts      uint32
	marker  bool
	gap     bool // packets before it are missing
	payload []byte
	arrival time.Time
}

// A reorder puts the packets of one stream into the order of their sequence numbers. A missing one is waited for, but
// not longer than reorderWait and not with more than maxHeld packets. It is not safe for concurrent use.
type reorder struct {
	next   uint64   // what is to come out next, 0 = nothing has come in
	newest uint64   // highest number seen
	held   []packet // by number, none below next
	bytes  int      // of their payloads
	stray  uint16   // number after the last packet that was too far off
	far    bool     // stray is valid
	lost   int      // packets given up
}

// push takes a packet in; p.seq is set here. What comes twice, or after it was given up, is dropped.
func (r *reorder) push(seq uint16, p packet) {
	ext, ok := r.extend(seq)
	if !ok || ext < r.next {
		return
	}
	p.seq = ext
	at := len(r.held)
	for at > 0 && r.held[at-1].seq > ext {
		at--
	}
	if at > 0 && r.held[at-1].seq == ext {
		return
	}
	r.held = slices.Insert(r.held, at, p)
	r.bytes += len(p.payload)
	r.newest = max(r.newest, ext)
}

// extend returns the extended number of seq, or false for a packet too far from the others. Two such in sequence mean
// that the sender has begun anew (RFC 3550 appendix A.1); the second one then opens another cycle.
func (r *reorder) extend(seq uint16) (uint64, bool) {
	if r.newest == 0 {
		r.next = 1<<16 + uint64(seq)
		return r.next, true
	}
	delta := int64(int16(seq - uint16(r.newest)))
	if delta <= maxDropout && delta >= -maxDropout {
		r.far = false
		return uint64(int64(r.newest) + delta), true
	}
	if !r.far || r.stray != seq {
		r.far, r.stray = true, seq+1
		return 0, false
	}
	r.far = false
	return (r.newest>>16+2)<<16 + uint64(seq), true
}

// pop returns the next packet in order, or false when there is none or one before it is still waited for.
func (r *reorder) pop(now time.Time) (packet, bool) {
	if len(r.held) == 0 {
		return packet{}, false
	}
	p := r.held[0]
	if p.seq != r.next {
		if now.Sub(p.arrival) < reorderWait && len(r.held) <= maxHeld && r.bytes <= maxHeldBytes {
			return packet{}, false
		}
		p.gap = true
		if missing := p.seq - r.next; missing <= maxDropout { // else the sender has begun anew
			r.lost += int(missing)
		}
	}
	r.next = p.seq + 1
	r.bytes -= len(p.payload)
	r.held = slices.Delete(r.held, 0, 1)
	return p, true
}
