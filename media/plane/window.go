package plane

// windowSize is how far below the highest index of a stream a packet may still be sent. It is more than any ring
// of packets holds, so that what came late goes out late.
const windowSize = 2048

// A window holds which packet indices of one SSRC have been sent under one key. AES-GCM is broken by two packets
// with one nonce (RFC 7714 section 8.1: it is made of SSRC and index), so no index is given twice, whoever asks; the
// sealer takes it from here.
// The zero value has none.
type window struct {
	started bool
	highest uint64 // index: rollover counter and sequence number, RFC 3711 section 3.3.1
	sent    [windowSize / 64]uint64
}

// take returns the index of the next packet with this sequence number, or false if it has been sent or is too old
// for that to be known.
func (w *window) take(seq uint16) (index uint64, ok bool) {
	if !w.started {
		w.started, w.highest = true, uint64(seq)
		w.mark(w.highest)
		return w.highest, true
	}
	distance := int64(int16(seq - uint16(w.highest)))
	switch {
	case distance > 0:
		if w.highest+uint64(distance) > mostRTP {
			return 0, false
		}
		w.advance(uint64(distance))
	case -distance >= windowSize || w.highest < uint64(-distance) || w.has(w.highest-uint64(-distance)):
		return 0, false
	}
	index = uint64(int64(w.highest) + min(distance, 0))
	w.mark(index)
	return index, true
}

// advance makes room for a new highest index.
func (w *window) advance(by uint64) {
	for i := range min(by, windowSize) {
		next := w.highest + by - i
		w.sent[next/64%(windowSize/64)] &^= 1 << (next % 64)
	}
	w.highest += by
}

func (w *window) has(index uint64) bool {
	return w.sent[index/64%(windowSize/64)]>>(index%64)&1 != 0
}

func (w *window) mark(index uint64) {
	w.sent[index/64%(windowSize/64)] |= 1 << (index % 64)
}
