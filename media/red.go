package media

import (
	"strings"

	"github.com/pion/webrtc/v4"
)

// mimeRED is redundant audio (RFC 2198): each packet repeats the ones before it. A publisher may send Opus so; who
// cannot read it gets the newest block of each packet, as plain Opus.
const mimeRED = "audio/red"

// redTypes returns the payload types of Opus and of RED among codecs, 0 = none.
func redTypes(codecs []webrtc.RTPCodecParameters) (opus, red uint8) {
	for _, c := range codecs {
		switch {
		case strings.EqualFold(c.MimeType, webrtc.MimeTypeOpus) && opus == 0:
			opus = uint8(c.PayloadType)
		case strings.EqualFold(c.MimeType, mimeRED) && red == 0:
			red = uint8(c.PayloadType)
		}
	}
	return opus, red
}

// primary returns the newest block of a RED payload; false means that it is malformed.
func primary(b []byte) ([]byte, bool) {
	skip := 0
	for {
		if len(b) == 0 {
			return nil, false
		}
		if b[0]&0x80 == 0 { // F: the last header, of one byte
			if b = b[1:]; skip > len(b) {
				return nil, false
			}
			return b[skip:], true
		}
		if len(b) < 4 {
			return nil, false
		}
		skip += int(b[2]&0x03)<<8 | int(b[3])
		b = b[4:]
	}
}

// renumber writes a payload type over those of all blocks of a RED payload that primary has found good.
func renumber(b []byte, payloadType uint8) {
	for len(b) > 0 {
		more := b[0] & 0x80
		b[0] = more | payloadType
		if more == 0 || len(b) < 4 {
			return
		}
		b = b[4:]
	}
}
