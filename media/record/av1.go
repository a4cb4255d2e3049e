package record

import (
	sequence "github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/av1/obu"
)

// av1 is the RTP payload format of the Alliance for Open Media, version 1.0. All layers of a temporal unit make one
// frame, of OBUs with their sizes and without temporal delimiters, as Matroska wants them.
type av1 struct{}

func (av1) video() bool { return true }
func (av1) id() string  { return "V_AV1" }

// head wants a packet that does not continue an OBU (section 4.4: Z).
func (av1) head(payload []byte) bool { return payload[0]&0x80 == 0 }

func (av1) join(payloads [][]byte) (frame, error) {
	var f frame
	var d codecs.AV1Depacketizer
	for _, payload := range payloads {
		part, err := d.Unmarshal(payload)
		if err != nil {
			return frame{}, err
		}
		f.data = append(f.data, part...)
	}
	if d.Y { // an OBU has no end
		return frame{}, errPayload
	}
	header, err := sequenceHeader(f.data)
	if header == nil || err != nil {
		return f, err
	}
	var h sequence.SequenceHeader
	if err := h.Unmarshal(header); err != nil || len(h.SeqLevelIdx) == 0 || len(h.SeqTier) == 0 {
		return frame{}, errPayload
	}
	f.key, f.width, f.height = true, h.Width(), h.Height()
	f.private = append(av1Configuration(&h), header...)
	return f, nil
}

// sequenceHeader finds the OBU that begins a coded video sequence, nil if there is none. It also makes sure that OBUs
// fill data.
func sequenceHeader(data []byte) (header []byte, err error) {
	for len(data) > 0 {
		h, err := obu.ParseOBUHeader(data)
		if err != nil || !h.HasSizeField {
			return nil, errPayload
		}
		size, n, err := obu.ReadLeb128(data[h.Size():])
		if err != nil || size > uint(len(data)-h.Size())-n {
			return nil, errPayload
		}
		end := h.Size() + int(n) + int(size)
		if h.Type == obu.OBUSequenceHeader {
			header = data[:end]
		}
		data = data[end:]
	}
	return header, nil
}

// av1Configuration is the fixed part of the configuration record (AV1 in ISOBMFF section 2.3.3).
func av1Configuration(h *sequence.SequenceHeader) []byte {
	c := &h.ColorConfig
	flags := byte(c.ChromaSamplePosition) & 3
	for i, set := range []bool{c.SubsamplingY, c.SubsamplingX, c.MonoChrome, c.TwelveBit, c.HighBitDepth, h.SeqTier[0]} {
		if set {
			flags |= 4 << i
		}
	}
	return []byte{0x81, h.SeqProfile<<5 | h.SeqLevelIdx[0]&0x1f, flags, 0}
}
