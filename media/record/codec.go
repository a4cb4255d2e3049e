package record

import (
	"errors"
	"strings"
)

// errPayload is what a payload that cannot be read fails with.
var errPayload = errors.New("record: malformed payload")

// A frame is one access unit as the container stores it.
type frame struct {
	data []byte
	key  bool // decoding can begin here

	// On key frames of video.
	width, height int    // 0 = not known
	private       []byte // CodecPrivate, nil = none
}

// A codec reads the payloads of one track. It is not safe for concurrent use.
type codec interface {
	// head reports whether payload may be the first of a frame; it is asked only where the packet before is unknown.
	head(payload []byte) bool
	// join makes a frame of all its payloads, in order. The error is errPayload or a depacketizer's.
	join(payloads [][]byte) (frame, error)
	// video is false for sound, where each packet is a frame and none refers to another.
	video() bool
	// id is what Matroska calls the codec (RFC 9559 section 5.1.4.1.21 and the Matroska codec registry).
	id() string
}

// newCodec returns the reader for the codec with the RTP name (as in a=rtpmap, with or without its "video/") and these
// format parameters, or nil when there is none.
func newCodec(name, parameters string) codec {
	_, bare, found := strings.Cut(name, "/")
	if !found {
		bare = name
	}
	switch strings.ToLower(bare) {
	case "opus":
		return opus{}
	case "vp8":
		return vp8{}
	case "vp9":
		return vp9{}
	case "h264":
		return newH264(parameters)
	case "av1":
		return av1{}
	default:
		return nil
	}
}

// extension is what a file with this codec is called. Only WebM's own codecs may be in a file of that name.
func extension(c codec) string {
	if _, ok := c.(*h264); ok {
		return ".mkv"
	}
	return ".webm"
}

// opus is RFC 7587: a payload is a packet.
type opus struct{}

func (opus) head([]byte) bool { return true }
func (opus) video() bool      { return false }
func (opus) id() string       { return "A_OPUS" }

func (opus) join(payloads [][]byte) (frame, error) {
	return frame{data: payloads[0], key: true}, nil
}

const (
	opusRate     = 48000
	opusChannels = 2 // RFC 7587 section 4.1: always said to be so; the packets themselves may be mono
)

// opusHead is the identification header (RFC 7845 section 5.1): version, channels, pre-skip 0, rate, gain 0, mapping
// family 0.
func opusHead() []byte {
	return append([]byte("OpusHead"), 1, opusChannels, 0, 0, opusRate&0xff, opusRate>>8&0xff, opusRate>>16, 0, 0, 0, 0)
}
