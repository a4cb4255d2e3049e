package bandwidth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// How transport-wide feedback is marked in RTCP (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
const (
	FeedbackType   = 205 // transport layer feedback (RFC 4585 section 6.1)
	FeedbackFormat = 15
)

// ErrFeedback is returned for feedback that can't be read.
var ErrFeedback = errors.New("bandwidth: bad feedback")

// maxReported is how many packets one feedback may report. At one every 100 ms it is 80,000 packets a second; a longer
// list is a lie that costs nothing to send and much to read.
const maxReported = 8192

// Units of the draft's section 3.1.
const (
	referenceTick = 64 * time.Millisecond
	deltaTick     = 250 * time.Microsecond
)

// Symbols of a packet's status (section 3.1.1).
const (
	symbolSmall = 1
	symbolLarge = 2
)

// A Feedback is one transport-wide feedback packet. It is read in place: it holds on to the bytes it was parsed from,
// and Next allocates nothing.
type Feedback struct {
	Base      uint16 // transport-wide number of the first packet reported
	Count     int    // how many packets are reported
	Reference int32  // 24 bits, signed: the receiver's clock at the beginning, in units of 64 ms; it wraps
	Number    uint8  // counts the feedback packets; it wraps

	chunks []byte
	deltas []byte
	next   int           // packets handed out
	at     time.Duration // since the reference
	chunk  uint16        // the one under way, not yet handed out symbols first
	left   int           // symbols of it that are not handed out
	wide   bool          // symbols have two bits
	run    bool          // all symbols are the same
}

// A Report is what a Feedback says about one packet.
type Report struct {
	Seq      uint16        // its transport-wide number
	Received bool          // else it had not come when the feedback was sent
	At       time.Duration // when it came, since the feedback's reference; may be negative
}

// ParseFeedback reads the body of an RTCP packet of type 205 and format 15: what follows its first four bytes. Chunks
// and deltas are checked, so that Next can't run out of them. It returns ErrFeedback for what isn't such a body.
func ParseFeedback(body []byte) (Feedback, error) {
	if len(body) < 16 {
		return Feedback{}, fmt.Errorf("%w: %d bytes", ErrFeedback, len(body))
	}
	f := Feedback{
		Base: binary.BigEndian.Uint16(body[8:]), Count: int(binary.BigEndian.Uint16(body[10:])),
		Reference: int32(binary.BigEndian.Uint32(body[12:])) >> 8, Number: body[15],
	}
	if f.Count == 0 || f.Count > maxReported {
		return Feedback{}, fmt.Errorf("%w: %d packets", ErrFeedback, f.Count)
	}
	chunks, deltas, ok := measure(body[16:], f.Count)
	if !ok || chunks+deltas > len(body)-16 {
		return Feedback{}, fmt.Errorf("%w: cut short", ErrFeedback)
	}
	f.chunks, f.deltas = body[16:16+chunks], body[16+chunks:16+chunks+deltas]
	return f, nil
}

// measure returns how many bytes the chunks for count packets take, and how many their deltas. False: the chunks end
// too early.
func measure(b []byte, count int) (chunks, deltas int, ok bool) {
	f := Feedback{chunks: b, Count: count}
	for ; f.next < f.Count; f.next++ {
		symbol, ok := f.symbol()
		if !ok {
			return 0, 0, false
		}
		deltas += deltaSize(symbol)
	}
	return len(b) - len(f.chunks), deltas, true
}

// Next returns the report about the next packet; they come by number. False: there are no more.
func (f *Feedback) Next() (Report, bool) {
	if f.next >= f.Count {
		return Report{}, false
	}
	symbol, ok := f.symbol()
	size := deltaSize(symbol)
	if !ok || size > len(f.deltas) {
		f.next = f.Count
		return Report{}, false
	}
	r := Report{Seq: f.Base + uint16(f.next), Received: size > 0}
	f.next++
	switch size {
	case 1:
		f.at += time.Duration(f.deltas[0]) * deltaTick
	case 2:
		f.at += time.Duration(int16(binary.BigEndian.Uint16(f.deltas))) * deltaTick
	}
	f.deltas = f.deltas[size:]
	r.At = f.at
	return r, true
}

// symbol takes the next packet's status off the chunks (sections 3.1.3 and 3.1.4).
func (f *Feedback) symbol() (uint16, bool) {
	if f.left == 0 && !f.nextChunk() {
		return 0, false
	}
	f.left--
	switch {
	case f.run:
		return f.chunk >> 13 & 3, true
	case f.wide:
		return f.chunk >> (2 * f.left) & 3, true
	default:
		return f.chunk >> f.left & 1, true
	}
}

func (f *Feedback) nextChunk() bool {
	if len(f.chunks) < 2 {
		return false
	}
	f.chunk = binary.BigEndian.Uint16(f.chunks)
	f.chunks = f.chunks[2:]
	f.run, f.wide, f.left = f.chunk>>15 == 0, f.chunk>>14&1 == 1, 14
	if f.run {
		f.left = int(f.chunk & 0x1fff)
	} else if f.wide {
		f.left = 7
	}
	return f.left > 0 // an empty run says nothing
}

// deltaSize is how many bytes the receive delta of a packet with this status has (section 3.1.5). The reserved symbol
// counts as lost.
func deltaSize(symbol uint16) int {
	switch symbol {
	case symbolSmall:
		return 1
	case symbolLarge:
		return 2
	default:
		return 0
	}
}
