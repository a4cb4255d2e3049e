package media

import "time"

// missing are the packets of one track that a publisher's network has lost so far, and when to ask for them again.
// It is not safe for concurrent use.
type missing struct {
	list []lostPacket // by number
	due  []uint16     // backing of what due returns
}

type lostPacket struct {
	seq   uint64
	asked int
	next  time.Time // when it may be asked for
}

// hole notes that the packets from first up to but not including end have not come. It returns false, and forgets
// all, when more than maxMissing would be waited for.
func (m *missing) hole(first, end uint64, now time.Time) bool {
	if end-first > maxMissing || len(m.list)+int(end-first) > maxMissing {
		m.list = m.list[:0]
		return false
	}
	for seq := first; seq < end; seq++ {
		m.list = append(m.list, lostPacket{seq: seq, next: now})
	}
	return true
}

// came notes that a packet has come after all.
func (m *missing) came(seq uint64) {
	for i := range m.list {
		if m.list[i].seq == seq {
			m.list = append(m.list[:i], m.list[i+1:]...)
			return
		}
	}
}

// take returns what is to be asked for now, each packet at most maxNACKs times: again after nackInterval, and
// then after twice as long each time, since an answer takes a round trip, and may be lost by what took the packet. It
// forgets what has been asked for often enough. What it returns is good until the next call.
func (m *missing) take(now time.Time) []uint16 {
	m.due = m.due[:0]
	keep := m.list[:0]
	for _, lost := range m.list {
		if now.Before(lost.next) {
			keep = append(keep, lost)
			continue
		}
		if lost.asked == maxNACKs {
			continue
		}
		m.due = append(m.due, uint16(lost.seq))
		lost.next = now.Add(nackInterval << lost.asked)
		lost.asked++
		keep = append(keep, lost)
	}
	m.list = keep
	return m.due
}
