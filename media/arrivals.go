package media

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/bandwidth"

	"github.com/pion/rtp"
)

// Shape of transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
const (
	arrivalSlots  = 512                    // packets between two feedbacks, a power of two; at one each 100 ms it is 50 Mb/s
	arrivalTick   = 250 * time.Microsecond // unit of receive deltas
	ticksOfBase   = 256                    // 64 ms, unit of the reference time, in ticks
	feedbackFixed = 20                     // bytes before the chunks
	mostReported  = 400                    // packets of one feedback: at three bytes each it is no longer than a datagram
)

// Symbols of a packet's status (section 3.1.1).
const (
	statusMissing = 0
	statusSmall   = 1 // a delta of one byte follows
	statusLarge   = 2 // one of two bytes
)

// arrivals gathers when packets came, for the transport-wide feedback of one peer. Each number is reported, as come or as
// missing; when one comes after that, it is reported again with those that follow it. What is arrivalSlots behind the
// newest is left out. It is safe for concurrent use.
type arrivals struct {
	extension atomic.Uint32 // the header extension's id, 0 = not yet known

	mu     sync.Mutex
	sender uint32    // guarded by mu: SSRC of the feedback
	media  uint32    // guarded by mu: SSRC of the packet that came last
	epoch  time.Time // guarded by mu
	slots  []arrival // guarded by mu; by number, nil = none came yet
	first  int64     // guarded by mu: the first number, extended, that is not reported
	next   int64     // guarded by mu: the one after the newest that came
	count  uint8     // guarded by mu: of feedbacks
}

// An arrival is when the packet with a number came.
type arrival struct {
	number int64 // extended; 0 = none
	at     int64 // in ticks since the epoch
}

func (a *arrivals) init(ssrc uint32) { a.epoch, a.sender = time.Now(), ssrc }

// arrived notes one packet, if it bears a number.
func (a *arrivals) arrived(ssrc uint32, packet []byte, now time.Time) {
	a.arrivedAs(ssrc, headerExtension(packet, uint8(a.extension.Load())), now)
}

// numbered is arrived for a packet whose header was read already.
func (a *arrivals) numbered(ssrc uint32, header *rtp.Header, now time.Time) {
	if id := uint8(a.extension.Load()); id != 0 {
		a.arrivedAs(ssrc, header.GetExtension(id), now)
	}
}

// arrivedAs is arrived for the number alone, empty if there is none.
func (a *arrivals) arrivedAs(ssrc uint32, number []byte, now time.Time) {
	if len(number) < 2 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.media = ssrc
	a.note(binary.BigEndian.Uint16(number), int64(now.Sub(a.epoch)/arrivalTick))
}

// note is arrived for a number and a time in ticks. mu is held.
func (a *arrivals) note(number uint16, at int64) {
	if a.slots == nil {
		a.slots = make([]arrival, arrivalSlots)
		a.first = 1<<16 + int64(number) // room below for packets that were overtaken
		a.next = a.first
	}
	n := a.next + int64(int16(number-uint16(a.next)))
	slot := &a.slots[n&(arrivalSlots-1)]
	if n <= a.next-arrivalSlots || slot.number == n {
		return
	}
	*slot = arrival{n, at}
	a.next = max(a.next, n+1)
	a.first = max(min(a.first, n), a.next-arrivalSlots)
}

// take adds the feedback about what came since the last call, and about what is missing, to out.
func (a *arrivals) take(out *compound) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.first < a.next {
		raw := out.next()
		*raw = a.feedback(*raw)
	}
}

// find returns when a packet came. mu is held.
func (a *arrivals) find(n int64) (at int64, came bool) {
	slot := &a.slots[n&(arrivalSlots-1)]
	return slot.at, slot.number == n
}

// feedback appends one packet about what is not reported to packet, which is empty: all of it, or as much as fits. mu is
// held, and something has come.
func (a *arrivals) feedback(packet []byte) []byte {
	base := a.reference()
	var symbols [mostReported]uint8
	var deltas [2 * mostReported]byte
	count, size, last := 0, 0, base*ticksOfBase
	for ; count < mostReported && a.first+int64(count) < a.next; count++ {
		at, came := a.find(a.first + int64(count))
		if !came {
			continue
		}
		delta := at - last
		if delta != int64(int16(delta)) {
			break // the next feedback has a reference of its own
		}
		last = at
		if delta >= 0 && delta <= 0xff {
			symbols[count], deltas[size] = statusSmall, byte(delta)
			size++
			continue
		}
		symbols[count] = statusLarge
		binary.BigEndian.PutUint16(deltas[size:], uint16(delta))
		size += 2
	}
	packet = a.header(packet, count, base)
	packet = appendStatus(packet, symbols[:count])
	packet = append(packet, deltas[:size]...)
	a.first += int64(count)
	return closeFeedback(packet)
}

// reference is the time of the first packet to report that came, in units of 64 ms. mu is held.
func (a *arrivals) reference() int64 {
	for n := a.first; n < a.next; n++ {
		if at, came := a.find(n); came {
			return at / ticksOfBase
		}
	}
	return 0
}

// header begins a packet about count packets from the first one on, where b has memory for it. mu is held.
func (a *arrivals) header(b []byte, count int, base int64) []byte {
	b = append(b[:0], make([]byte, feedbackFixed)...)
	b[1] = bandwidth.FeedbackType
	binary.BigEndian.PutUint32(b[4:], a.sender)
	binary.BigEndian.PutUint32(b[8:], a.media)
	binary.BigEndian.PutUint16(b[12:], uint16(a.first))
	binary.BigEndian.PutUint16(b[14:], uint16(count))
	binary.BigEndian.PutUint32(b[16:], uint32(base)<<8|uint32(a.count))
	a.count++
	return b
}

// closeFeedback fills a packet up to whole words and writes what depends on its length (RFC 3550 section 6.4.1).
func closeFeedback(b []byte) []byte {
	b[0] = 2<<6 | bandwidth.FeedbackFormat
	if padding := -len(b) & 3; padding > 0 {
		b[0] |= 1 << 5
		b = append(b, make([]byte, padding)...)
		b[len(b)-1] = byte(padding)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}

// Packets that one chunk of a status list can tell of (sections 3.1.3 and 3.1.4).
const (
	oneBitSymbols = 14
	twoBitSymbols = 7
	longestRun    = 1<<13 - 1
)

// appendStatus writes a status list: as a run where one is longer than what another chunk holds, else as a vector. A
// vector may be longer than the list, whose length the header tells.
func appendStatus(b []byte, symbols []uint8) []byte {
	for len(symbols) > 0 {
		run := 1
		for run < min(len(symbols), longestRun) && symbols[run] == symbols[0] {
			run++
		}
		var chunk uint16
		taken := run
		switch wide := hasLarge(symbols[:min(len(symbols), oneBitSymbols)]); {
		case run == len(symbols) || run > twoBitSymbols && (wide || run > oneBitSymbols):
			chunk = uint16(symbols[0])<<13 | uint16(run)
		case wide:
			taken = min(len(symbols), twoBitSymbols)
			chunk = 3 << 14
			for i, symbol := range symbols[:taken] {
				chunk |= uint16(symbol) << (2 * (twoBitSymbols - 1 - i))
			}
		default:
			taken = min(len(symbols), oneBitSymbols)
			chunk = 1 << 15
			for i, symbol := range symbols[:taken] {
				chunk |= uint16(symbol) << (oneBitSymbols - 1 - i)
			}
		}
		b = binary.BigEndian.AppendUint16(b, chunk)
		symbols = symbols[taken:]
	}
	return b
}

// hasLarge reports whether the list needs two bits for some symbol.
func hasLarge(symbols []uint8) bool {
	for _, symbol := range symbols {
		if symbol == statusLarge {
			return true
		}
	}
	return false
}
