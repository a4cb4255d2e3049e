package plane

// windowSize is how far below the highest index of a stream a packet may still be sent, or taken. It is more than any
// ring of packets holds, so that what came late goes out late; and Firefox probes with packets that it has sent before.
const windowSize = 2048

// A window holds which packet indices of one SSRC have been seen under one key, sent or received. AES-GCM is broken by two
// packets with one nonce (RFC 7714 section 8.1: it is made of SSRC and index), so of what is sent no index is given twice,
// whoever asks; of what is received, none is taken twice. The zero value has none.
type window struct {
	started bool
	highest uint64 // index: rollover counter and sequence number, RFC 3711 section 3.3.1
	seen    [windowSize / 64]uint64
}

// take returns the index of the next packet with this sequence number, or false if it has been taken or is too old
// for that to be known.
func (w *window) take(seq uint16) (index uint64, ok bool) {
	index, ok = w.index(seq)
	if !ok || !w.fresh(index) {
		return 0, false
	}
	w.mark(index)
	return index, true
}

// index returns what index a sequence number most likely stands for: the one nearest to the highest. False: it would be
// before the first, or there is none left.
func (w *window) index(seq uint16) (index uint64, ok bool) {
	if !w.started {
		return uint64(seq), true
	}
	distance := int64(int16(seq - uint16(w.highest)))
	if distance < 0 && w.highest < uint64(-distance) {
		return 0, false
	}
	index = uint64(int64(w.highest) + distance)
	return index, index <= mostRTP
}

// fresh reports whether an index has not been seen and is new enough for that to be known.
func (w *window) fresh(index uint64) bool {
	if !w.started || index > w.highest {
		return true
	}
	return w.highest-index < windowSize && w.seen[index/64%(windowSize/64)]>>(index%64)&1 == 0
}

// mark notes an index that is fresh.
func (w *window) mark(index uint64) {
	if !w.started {
		w.started, w.highest = true, index
	}
	for ahead := min(max(index, w.highest)-w.highest, windowSize); ahead > 0; ahead-- {
		cleared := index + 1 - ahead
		w.seen[cleared/64%(windowSize/64)] &^= 1 << (cleared % 64)
	}
	w.highest = max(w.highest, index)
	w.seen[index/64%(windowSize/64)] |= 1 << (index % 64)
}
