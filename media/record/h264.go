package record

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"

	sps "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp/codecs"
)

// h264 is RFC 6184. Frames are stored with the length before each NAL unit; parameter sets stay in the frames too, so
// that a sender may change them in the middle of a file.
type h264 struct {
	sps, pps []byte // the newest ones
	sprop    bool   // they stood in the SDP: frames may come without any
}

const maxParameterSets = 16 // of those in the SDP

// newH264 takes the parameter sets that the SDP has (RFC 6184 section 8.1: in base64, with commas between). A sender
// may leave them out of the stream then. What cannot be read counts as not there.
func newH264(parameters string) *h264 {
	c := &h264{}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "sprop-parameter-sets") {
			continue
		}
		for i, text := range strings.SplitN(value, ",", maxParameterSets+1) {
			nal, err := base64.StdEncoding.DecodeString(text)
			if err == nil && len(nal) > 0 && i < maxParameterSets {
				c.keep(nal)
			}
		}
	}
	c.sprop = len(c.sps) > 0 && len(c.pps) > 0
	return c
}

// keep takes a parameter set.
func (c *h264) keep(nal []byte) {
	switch nal[0] & 0x1f {
	case nalSPS:
		c.sps = bytes.Clone(nal)
	case nalPPS:
		c.pps = bytes.Clone(nal)
	}
}

// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 table 1).
const (
	nalIDR   = 5
	nalSEI   = 6
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
	nalSTAPA = 24
	nalFUA   = 28
)

func (*h264) video() bool { return true }
func (*h264) id() string  { return "V_MPEG4/ISO/AVC" }

// head wants what comes before the slices of a key frame: a slice does not tell whether parameter sets were before it.
// Where those are in the SDP, the first slice of a key frame will do.
func (c *h264) head(payload []byte) bool {
	kind, slice := payload[0]&0x1f, payload[1:]
	switch {
	case kind == nalSTAPA && len(payload) > 3:
		kind, slice = payload[3]&0x1f, payload[4:]
	case kind == nalFUA && len(payload) > 1 && payload[1]&0x80 != 0:
		kind, slice = payload[1]&0x1f, payload[2:]
	}
	// ITU-T H.264 section 7.3.3: a slice begins with its first macroblock, of which 0 is a single bit 1.
	first := c.sprop && kind == nalIDR && len(slice) > 0 && slice[0]&0x80 != 0
	return first || kind == nalSPS || kind == nalAUD || kind == nalSEI
}

func (c *h264) join(payloads [][]byte) (frame, error) {
	var f frame
	p := codecs.H264Packet{IsAVC: true}
	for _, payload := range payloads {
		part, err := p.Unmarshal(payload)
		if err != nil {
			return frame{}, err
		}
		f.data = append(f.data, part...)
	}
	if !c.scan(&f) {
		return frame{}, errPayload
	}
	if f.key {
		return c.describe(f)
	}
	return f, nil
}

// scan keeps the parameter sets and reports whether the NAL units fill the frame and none is empty.
func (c *h264) scan(f *frame) bool {
	for b := f.data; len(b) > 0; {
		if len(b) < 5 {
			return false
		}
		size := int(binary.BigEndian.Uint32(b))
		if size == 0 || size > len(b)-4 {
			return false
		}
		nal := b[4 : 4+size]
		c.keep(nal)
		f.key = f.key || nal[0]&0x1f == nalIDR
		b = b[4+size:]
	}
	return true
}

// describe adds size and configuration record (ISO/IEC 14496-15 section 5.3.3.1) to a key frame. Without parameter
// sets it cannot be decoded.
func (c *h264) describe(f frame) (frame, error) {
	var s sps.SPS
	if len(c.sps) < 4 || len(c.pps) == 0 || len(c.sps) > 0xffff || len(c.pps) > 0xffff || s.Unmarshal(c.sps) != nil {
		return frame{}, errPayload
	}
	f.width, f.height = s.Width(), s.Height()
	f.private = append(f.private, 1, c.sps[1], c.sps[2], c.sps[3], 0xff, 0xe1) // lengths of 4 bytes, one SPS
	f.private = append(binary.BigEndian.AppendUint16(f.private, uint16(len(c.sps))), c.sps...)
	f.private = append(f.private, 1) // one PPS
	f.private = append(binary.BigEndian.AppendUint16(f.private, uint16(len(c.pps))), c.pps...)
	if profile := c.sps[1]; profile != 66 && profile != 77 && profile != 88 {
		f.private = append(f.private, 0xfc|byte(s.ChromaFormatIdc), 0xf8|byte(s.BitDepthLumaMinus8), 0xf8|byte(s.BitDepthChromaMinus8), 0)
	}
	return f, nil
}
