package record

import (
	"github.com/pion/rtp/codecs"
	vp9header "github.com/pion/rtp/codecs/vp9"
)

// vp9 is RFC 9628. All spatial layers of a picture make one frame.
type vp9 struct{}

// maxSuperframe is how many frames a superframe holds (VP9 bitstream specification, annex B).
const maxSuperframe = 8

func (vp9) video() bool { return true }
func (vp9) id() string  { return "V_VP9" }

// head wants the beginning of a layer frame, and of the lowest layer where layers are named.
func (vp9) head(payload []byte) bool {
	var p codecs.VP9Packet
	_, err := p.Unmarshal(payload)
	return err == nil && p.B && p.SID == 0
}

func (vp9) join(payloads [][]byte) (frame, error) {
	var f frame
	var sizes []int // of the layer frames
	for i, payload := range payloads {
		var p codecs.VP9Packet
		part, err := p.Unmarshal(payload)
		if err != nil {
			return frame{}, err
		}
		if i == 0 {
			f.key = !p.P
		}
		if p.B || i == 0 {
			sizes = append(sizes, 0)
		}
		if p.V && p.Y && len(p.Width) > 0 {
			top := min(len(p.Width), len(p.Height)) - 1
			f.width, f.height = int(p.Width[top]), int(p.Height[top])
		}
		f.data = append(f.data, part...)
		sizes[len(sizes)-1] += len(part)
	}
	if len(f.data) == 0 || len(sizes) > maxSuperframe {
		return frame{}, errPayload
	}
	if f.key && f.width == 0 {
		f.measure()
	}
	if len(sizes) > 1 {
		f.data = appendSuperframeIndex(f.data, sizes)
	}
	return f, nil
}

// measure reads the size from the frame's own header. What is no key frame by that is none, whatever the payload
// descriptor says.
func (f *frame) measure() {
	var h vp9header.Header
	if err := h.Unmarshal(f.data); err != nil || h.NonKeyFrame {
		f.key = false
		return
	}
	f.width, f.height = int(h.Width()), int(h.Height())
}

// appendSuperframeIndex says where the frames in data end (VP9 bitstream specification, annex B): marker, sizes of
// four bytes, marker.
func appendSuperframeIndex(data []byte, sizes []int) []byte {
	marker := byte(0xc0 | 3<<3 | (len(sizes) - 1))
	data = append(data, marker)
	for _, size := range sizes {
		data = append(data, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	}
	return append(data, marker)
}
