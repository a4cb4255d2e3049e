package bandwidth

import "time"

// Bounds of the history of sent packets.
const (
	minHistory = 256             // packets
	maxHistory = 8192            // packets: 1 s at 75 Mb/s
	historyAge = 2 * time.Second // feedback about an older packet need not be understood
)

// A fate is what is known about a packet that was sent.
type fate uint8

const (
	unused fate = iota
	inFlight
	skipped // the feedback about it seems to be lost; it may still come
	lost    // said to be; it may still come
	received
)

// A sentPacket is one entry of a history.
type sentPacket struct {
	at    time.Duration // since the estimator's epoch
	size  uint16        // bytes
	seq   uint16
	probe uint16 // the probe it is part of, 0 = none
	fate  fate
	span  uint8 // if lost: the observation of the loss model that it was counted in
}

// A history keeps the newest sent packets by transport-wide number. It grows, up to maxHistory, when a packet would be
// forgotten before its feedback can be there.
type history struct {
	packets []sentPacket // its length is a power of two
	next    uint16       // the number of the next packet
	told    uint16       // the number of the first packet that no feedback has reached
}

// add notes a packet and returns its number.
func (h *history) add(at time.Duration, size int, probe uint16) uint16 {
	if h.packets == nil {
		h.packets = make([]sentPacket, minHistory)
	}
	p := h.slot(h.next)
	if p.fate == inFlight && at-p.at < historyAge && len(h.packets) < maxHistory {
		h.grow()
		p = h.slot(h.next)
	}
	*p = sentPacket{at: at, size: uint16(min(max(size, 0), 1<<16-1)), seq: h.next, probe: probe, fate: inFlight}
	h.next++
	return p.seq
}

func (h *history) slot(seq uint16) *sentPacket { return &h.packets[int(seq)&(len(h.packets)-1)] }

// find returns the packet with that number, nil if it was never sent or is forgotten.
func (h *history) find(seq uint16) *sentPacket {
	if h.packets == nil {
		return nil
	}
	if p := h.slot(seq); p.fate != unused && p.seq == seq {
		return p
	}
	return nil
}

func (h *history) grow() {
	old := h.packets
	h.packets = make([]sentPacket, 2*len(old))
	for _, p := range old {
		*h.slot(p.seq) = p
	}
}

// skip goes on to a feedback about count packets from base on, and returns the bytes of the packets before them that
// no feedback was about: they are as likely to have come as others.
func (h *history) skip(base uint16, count int) (bytes int) {
	end := base + uint16(count)
	if int16(end-h.told) <= 0 || int16(h.next-end) < 0 {
		return 0 // an older one, or about packets that were never sent
	}
	for ; int16(base-h.told) > 0; h.told++ {
		if p := h.find(h.told); p != nil && p.fate == inFlight {
			p.fate = skipped
			bytes += int(p.size)
		}
	}
	h.told = end
	return bytes
}
