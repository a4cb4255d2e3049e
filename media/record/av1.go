package record

import (
	sequence "github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
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
	data, err := joinOBUs(payloads)
	if err != nil {
		return frame{}, err
	}
	f := frame{data: data}
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

// joinOBUs takes the OBU elements out of the payloads (sections 4.3 and 4.4) and puts fragments together. It is not
// pion's depacketizer, which copies all that it has of an OBU for each fragment that comes.
func joinOBUs(payloads [][]byte) ([]byte, error) {
	var out, pending []byte
	open := false // pending goes on in the next payload
	for _, b := range payloads {
		continues, unfinished, count := b[0]&0x80 != 0, b[0]&0x40 != 0, int(b[0]>>4&3)
		if continues != open {
			return nil, errPayload
		}
		open = false
		b = b[1:]
		for i := 1; len(b) > 0; i++ {
			size := len(b)
			if i != count { // the last of a known count has no length
				var ok bool
				if size, b, ok = elementSize(b); !ok {
					return nil, errPayload
				}
			}
			pending = append(pending, b[:size]...)
			if b = b[size:]; len(b) == 0 && unfinished {
				open = true
				break
			}
			var err error
			if out, err = appendOBU(out, pending); err != nil {
				return nil, err
			}
			pending = pending[:0]
		}
	}
	if open {
		return nil, errPayload
	}
	return out, nil
}

// elementSize reads the length before an OBU element.
func elementSize(b []byte) (size int, rest []byte, ok bool) {
	n, taken, err := obu.ReadLeb128(b)
	if err != nil || n > uint(len(b))-taken {
		return 0, nil, false
	}
	return int(n), b[taken:], true
}

// appendOBU appends one OBU with its size. Temporal delimiters and tile lists are left out (section 5).
func appendOBU(out, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return out, nil
	}
	h, err := obu.ParseOBUHeader(b)
	if err != nil {
		return nil, err
	}
	body := b[h.Size():]
	if h.HasSizeField {
		size, rest, ok := elementSize(body)
		if !ok {
			return nil, errPayload
		}
		body = rest[:size]
	}
	if h.Type == obu.OBUTemporalDelimiter || h.Type == obu.OBUTileList {
		return out, nil
	}
	h.HasSizeField = true
	out = append(out, h.Marshal()...)
	out = append(out, obu.WriteToLeb128(uint(len(body)))...)
	return append(out, body...), nil
}

// sequenceHeader finds the OBU that begins a coded video sequence among those that appendOBU wrote, nil if there is
// none.
func sequenceHeader(data []byte) ([]byte, error) {
	for len(data) > 0 {
		h, err := obu.ParseOBUHeader(data)
		if err != nil {
			return nil, err
		}
		size, rest, ok := elementSize(data[h.Size():])
		if !ok {
			return nil, errPayload
		}
		if h.Type == obu.OBUSequenceHeader {
			return data[:len(data)-len(rest)+size], nil
		}
		data = rest[size:]
	}
	return nil, nil
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
