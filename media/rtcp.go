package media

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
)

// RTCP packet types and formats that are read (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 5104 section 4.3).
const (
	rtcpSR       = 200
	rtcpRR       = 201
	rtcpFeedback = 205 // transport layer feedback
	rtcpPayload  = 206 // payload-specific feedback
	formatNACK   = 1
	formatPLI    = 1
	formatFIR    = 4
	formatREMB   = 15
)

// nextRTCP splits the first packet off a compound one. Body is what follows its 4-byte header. False: there is none,
// or it is cut short; what was read before it stands.
func nextRTCP(b []byte) (kind, format uint8, body, rest []byte, ok bool) {
	if len(b) < 4 || b[0]>>6 != 2 {
		return 0, 0, nil, nil, false
	}
	end := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) {
		return 0, 0, nil, nil, false
	}
	return b[1], b[0] & 0x1f, b[4:end], b[end:], true
}

// A compound is RTCP packets that are made to be sent together. It uses the memory of those before again.
type compound struct {
	packets []rtcp.Packet

	raw    []*rtcp.RawPacket // those of packets that next has returned, and spare ones
	used   int               // of raw
	blocks []rtcp.ReceptionReport
}

// reset begins another one. What was in there must have been sent.
func (c *compound) reset() {
	clear(c.packets)
	c.packets, c.used = c.packets[:0], 0
}

// next adds a packet, which is empty; the caller makes it.
func (c *compound) next() *rtcp.RawPacket {
	if c.used == len(c.raw) {
		c.raw = append(c.raw, new(rtcp.RawPacket))
	}
	raw := c.raw[c.used]
	*raw = (*raw)[:0]
	c.used++
	c.packets = append(c.packets, raw)
	return raw
}

const maxBlocks = 31 // of one report (RFC 3550 section 6.4.1)

// appendHeader appends the header of a packet of so many bytes in all, with a count in its first byte (RFC 3550 section
// 6.4.1).
func appendHeader(b []byte, kind, count uint8, size int) []byte {
	return binary.BigEndian.AppendUint16(append(b, 2<<6|count, kind), uint16(size/4-1))
}

// appendSenderReport appends a report without blocks.
func appendSenderReport(b []byte, sr *rtcp.SenderReport) []byte {
	b = appendHeader(b, rtcpSR, 0, 28)
	b = binary.BigEndian.AppendUint32(b, sr.SSRC)
	b = binary.BigEndian.AppendUint64(b, sr.NTPTime)
	b = binary.BigEndian.AppendUint32(b, sr.RTPTime)
	b = binary.BigEndian.AppendUint32(b, sr.PacketCount)
	return binary.BigEndian.AppendUint32(b, sr.OctetCount)
}

// appendReceiverReport appends a report of at most maxBlocks blocks (RFC 3550 section 6.4.2).
func appendReceiverReport(b []byte, sender uint32, blocks []rtcp.ReceptionReport) []byte {
	b = appendHeader(b, rtcpRR, uint8(len(blocks)), 8+24*len(blocks))
	b = binary.BigEndian.AppendUint32(b, sender)
	for _, block := range blocks {
		b = binary.BigEndian.AppendUint32(b, block.SSRC)
		b = binary.BigEndian.AppendUint32(b, uint32(block.FractionLost)<<24|block.TotalLost&0xffffff)
		b = binary.BigEndian.AppendUint32(b, block.LastSequenceNumber)
		b = binary.BigEndian.AppendUint32(b, block.Jitter)
		b = binary.BigEndian.AppendUint32(b, block.LastSenderReport)
		b = binary.BigEndian.AppendUint32(b, block.Delay)
	}
	return b
}

// A senderReport is the part of an SR that maps RTP time to wall clock time (RFC 3550 section 6.4.1).
type senderReport struct {
	ntp uint64 // 32.32 seconds since 1900
	rtp uint32
	at  time.Time // when it came; zero = none came yet
}

// findSenderReport returns the last report of ssrc in a compound packet.
func findSenderReport(b []byte, ssrc uint32) (sr senderReport, ok bool) {
	for {
		kind, _, body, rest, more := nextRTCP(b)
		if !more {
			return sr, ok
		}
		if kind == rtcpSR && len(body) >= 24 && binary.BigEndian.Uint32(body) == ssrc {
			sr.ntp, sr.rtp, ok = binary.BigEndian.Uint64(body[4:]), binary.BigEndian.Uint32(body[12:]), true
		}
		b = rest
	}
}

// contentOf reports whether a compound packet asks for anything, see readFeedback, and whether it has sender reports. Most
// have neither: transport-wide feedback, and reports of who only receives.
func contentOf(b []byte) (asks, reports bool) {
	for {
		kind, format, _, rest, ok := nextRTCP(b)
		if !ok {
			return asks, reports
		}
		b = rest
		asks = asks || kind == rtcpFeedback && format == formatNACK || kind == rtcpPayload && (format == formatPLI || format == formatFIR)
		reports = reports || kind == rtcpSR
	}
}

// A feedbackReader is told what a compound packet asks of one stream.
type feedbackReader interface {
	resend(seq uint16) // a packet is missing (RFC 4585 section 6.2.1)
	refresh()          // a key frame is needed (RFC 4585 section 6.3.1, RFC 5104 section 3.5.1)
}

// readFeedback hands all requests for ssrc in a compound packet to r. It allocates nothing.
func readFeedback(b []byte, ssrc uint32, r feedbackReader) {
	for {
		kind, format, body, rest, ok := nextRTCP(b)
		if !ok {
			return
		}
		b = rest
		if len(body) < 8 {
			continue
		}
		switch {
		case kind == rtcpFeedback && format == formatNACK && binary.BigEndian.Uint32(body[4:]) == ssrc:
			readNACK(body[8:], r)
		case kind == rtcpPayload && format == formatPLI && binary.BigEndian.Uint32(body[4:]) == ssrc:
			r.refresh()
		case kind == rtcpPayload && format == formatFIR:
			for fci := body[8:]; len(fci) >= 8; fci = fci[8:] {
				if binary.BigEndian.Uint32(fci) == ssrc {
					r.refresh()
				}
			}
		}
	}
}

func readNACK(fci []byte, r feedbackReader) {
	for ; len(fci) >= 4; fci = fci[4:] {
		seq, mask := binary.BigEndian.Uint16(fci), binary.BigEndian.Uint16(fci[2:])
		r.resend(seq)
		for i := range uint16(16) {
			if mask>>i&1 != 0 {
				r.resend(seq + i + 1)
			}
		}
	}
}

// ntpSpan is d as 32.32 seconds.
func ntpSpan(d time.Duration) uint64 {
	return uint64(d/time.Second)<<32 + uint64(d%time.Second)<<32/uint64(time.Second)
}

// rtpSpan is d in ticks of clock a second.
func rtpSpan(d time.Duration, clock uint32) uint32 {
	return uint32(d.Microseconds() * int64(clock) / int64(time.Second/time.Microsecond))
}

// headerExtension returns the header extension id of an RTP packet (RFC 8285 section 4), nil if there is none.
func headerExtension(b []byte, id uint8) []byte {
	if len(b) < 12 || b[0]&0x10 == 0 || id == 0 {
		return nil
	}
	at := 12 + 4*int(b[0]&0x0f)
	if at+4 > len(b) {
		return nil
	}
	profile, end := binary.BigEndian.Uint16(b[at:]), at+4+4*int(binary.BigEndian.Uint16(b[at+2:]))
	if end > len(b) {
		return nil
	}
	switch b = b[at+4 : end]; {
	case profile == 0xbede:
		return oneByteExtension(b, id)
	case profile&0xfff0 == 0x1000:
		return twoByteExtension(b, id)
	default:
		return nil
	}
}

func oneByteExtension(b []byte, id uint8) []byte {
	for len(b) > 0 {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		have, size := b[0]>>4, int(b[0]&0x0f)+1
		if have == 15 || 1+size > len(b) {
			return nil
		}
		if have == id {
			return b[1 : 1+size]
		}
		b = b[1+size:]
	}
	return nil
}

func twoByteExtension(b []byte, id uint8) []byte {
	for len(b) > 1 {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		size := int(b[1])
		if 2+size > len(b) {
			return nil
		}
		if b[0] == id {
			return b[2 : 2+size]
		}
		b = b[2+size:]
	}
	return nil
}
