package record

import "github.com/pion/rtp/codecs"

// vp8 is RFC 7741.
type vp8 struct{}

func (vp8) video() bool { return true }
func (vp8) id() string  { return "V_VP8" }

// head wants the start of partition 0 (section 4.2: S and PID).
func (vp8) head(payload []byte) bool { return payload[0]&0x17 == 0x10 }

func (vp8) join(payloads [][]byte) (frame, error) {
	var f frame
	for _, payload := range payloads {
		part, err := (&codecs.VP8Packet{}).Unmarshal(payload)
		if err != nil {
			return frame{}, err
		}
		f.data = append(f.data, part...)
	}
	b := f.data
	if len(b) < 3 {
		return frame{}, errPayload
	}
	if f.key = b[0]&1 == 0; !f.key {
		return f, nil
	}
	if len(b) < 10 || b[3] != 0x9d || b[4] != 0x01 || b[5] != 0x2a { // RFC 6386 section 9.1
		return frame{}, errPayload
	}
	f.width = int(b[6]) | int(b[7]&0x3f)<<8
	f.height = int(b[8]) | int(b[9]&0x3f)<<8
	return f, nil
}
