package plane

// A kind is what a datagram on a port shared by STUN, DTLS and media is.
type kind uint8

const (
	other kind = iota // STUN, DTLS, and what is none of all
	kindRTP
	kindRTCP
)

const (
	rtpHeader  = 12 // bytes at least, RFC 3550 section 5.1
	rtcpHeader = 8  // with the sender's SSRC, RFC 3550 section 6.1
)

// classify tells media by its first two bytes (RFC 7983 section 7, RFC 5761 section 4). Media that is too short for
// its header is none.
func classify(b []byte) kind {
	if len(b) < rtcpHeader || b[0]&0xc0 != 0x80 {
		return other
	}
	if b[1] >= 192 && b[1] <= 223 {
		return kindRTCP
	}
	if len(b) < rtpHeader {
		return other
	}
	return kindRTP
}

// isMedia reports whether pion's multiplexer would take b for SRTP or SRTCP, however short it is.
func isMedia(b []byte) bool { return len(b) > 0 && b[0]&0xc0 == 0x80 }
