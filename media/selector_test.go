package media

import "testing"

// vp9Packet is a packet of a frame: flags are P, B and E among the first octet's, layer the octet of TID, U, SID and D.
func vp9Packet(flags, layers byte) []byte {
	return []byte{0xa0 | flags, 0x80, 0x01, layers, 0x07, 0x55, 0x55}
}

const (
	vp9P, vp9B, vp9E = 0x40, 0x08, 0x04
	vp9U             = 0x10
)

// vp9Layers is the octet of the descriptor that names layers.
func vp9Layers(temporal, spatial byte) byte { return temporal<<5 | spatial<<1 }

// Pictures in two spatial layers of two packets each, and in three temporal layers as libvpx has them: 0 2 1 2, where
// the first 2 and the 1 depend on 0 only. The spatial layers depend on each other at the key picture alone.
func vp9Pictures(n int) (list []layering, ts []uint32) {
	for i := range n {
		temporal, up := []byte{0, 2, 1, 2}[i%4], []byte{0, vp9U, vp9U, 0}[i%4]
		for spatial := range byte(2) {
			flags := byte(vp9P)
			if i == 0 {
				flags = 0
			}
			for _, part := range []byte{vp9B, vp9E} {
				list = append(list, codecVP9.describe(vp9Packet(flags|part, vp9Layers(temporal, spatial)|up), nil, spatial == 1 && part == vp9E, nil))
				ts = append(ts, uint32(3000*i))
			}
		}
	}
	return list, ts
}

// av1Pictures is what a browser sends in three spatial and three temporal layers.
func av1Pictures(t *testing.T) (list []layering, ts []uint32) {
	var d dependencies
	for i, picture := range [][]string{
		{keyDescriptor, "860173", "460173", "8b0174", "4b0174"}, {"c30175", "c80176", "cd0177"}, {"c20178", "c70179", "cc017a"},
		{"c4017b", "c9017c", "ce017d"}, {"c0017e", "c5017f", "ca0180"},
		{"c30181", "c80182", "cd0183"}, {"c20184", "c70185", "cc0186"},
	} {
		for j, dd := range picture {
			payload := []byte{0x10, 0x30}
			if i == 0 && j == 0 {
				payload[0] |= 0x08 // N
			}
			l := codecAV1.describe(payload, unhex(t, dd), j == len(picture)-1, &d)
			list, ts = append(list, l), append(ts, uint32(3000*i))
		}
	}
	return list, ts
}

func vp8Pictures(n int) (list []layering, ts []uint32) {
	for i := range n {
		for _, first := range []byte{0x90, 0x80} {
			tid, key := []byte{0x00, 0xa0, 0x60, 0x80}[i%4], byte(0x01)
			if i == 0 {
				key = 0
			}
			payload := []byte{first, 0xe0, 0x80, byte(i), byte(i / 4), tid, key, 0}
			list = append(list, codecVP8.describe(payload, nil, first == 0x80, nil))
			ts = append(ts, uint32(3000*i))
		}
	}
	return list, ts
}

// What is sent of each packet: "." nothing, "s" it, "M" it as the last one of its picture.
func TestSelector(t *testing.T) {
	vp8 := func(*testing.T) ([]layering, []uint32) { return vp8Pictures(9) }
	longer := func(*testing.T) ([]layering, []uint32) { return vp8Pictures(13) }
	vp9 := func(*testing.T) ([]layering, []uint32) { return vp9Pictures(9) }
	best := layer{maxSpatial - 1, maxTemporal - 1}
	for _, c := range []struct {
		name   string
		source func(*testing.T) ([]layering, []uint32)
		wants  map[int]layer // from which packet on
		sent   string
	}{
		{"VP8, all", vp8, map[int]layer{0: best}, "ss ss ss ss ss ss ss ss ss"},
		{"VP8, half", vp8, map[int]layer{0: {0, 1}}, "sM .. sM .. sM .. sM .. sM"},
		{"VP8, a quarter", vp8, map[int]layer{0: {0, 0}}, "sM .. .. .. sM .. .. .. sM"},
		{"VP8, down in the middle of a picture, up layer by layer", longer, map[int]layer{0: best, 3: {0, 0}, 9: best}, "ss ss .. .. sM .. sM .. sM sM sM sM sM"},
		{"VP9, all", vp9, map[int]layer{0: best}, "ssss ssss ssss ssss ssss ssss ssss ssss ssss"},
		{"VP9, the small one", vp9, map[int]layer{0: {0, 3}}, "sM.. sM.. sM.. sM.. sM.. sM.. sM.. sM.. sM.."},
		{"VP9, the large one", vp9, map[int]layer{0: {1, 3}}, "sssM sssM sssM sssM sssM sssM sssM sssM sssM"},
		{"VP9, the small one at half the rate", vp9, map[int]layer{0: {0, 1}}, "sM.. .... sM.. .... sM.. .... sM.. .... sM.."},
		{"VP9, up in time only, since there is no key picture", vp9, map[int]layer{0: {0, 0}, 4: {1, 2}}, "sM.. .... sM.. .... sM.. sM.. sM.. sM.. sM.."},
		{"VP9, down with the next picture", vp9, map[int]layer{0: {1, 2}, 6: {0, 0}}, "sssM sssM .... .... sM.. .... .... .... sM.."},
		{"AV1, all", av1Pictures, map[int]layer{0: best}, "sssss sss sss sss sss sss sss"},
		{"AV1, the middle one", av1Pictures, map[int]layer{0: {1, 3}}, "ssM.. sM. sM. sM. sM. sM. sM."},
		{"AV1, the small one, no more than the base rate", av1Pictures, map[int]layer{0: {0, 0}}, "M.... ... ... ... M.. ... ..."},
		{"AV1, up in time with the next picture that all rates share", av1Pictures, map[int]layer{0: {0, 0}, 5: {0, 2}}, "M.... ... ... ... M.. M.. M.."},
		{"AV1, up in time of the middle one", av1Pictures, map[int]layer{0: {1, 1}, 12: {1, 3}}, "ssM.. ... sM. ... sM. sM. sM."},
		{"AV1, not up in space without a key picture", av1Pictures, map[int]layer{0: {0, 3}, 5: {1, 3}}, "M.... M.. M.. M.. M.. M.. M.."},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, ts := c.source(t)
			var s selector
			var got string
			want := layer{}
			for i, l := range list {
				if i > 0 && ts[i] != ts[i-1] {
					got += " "
				}
				if w, ok := c.wants[i]; ok {
					want = w
				}
				switch send, last := s.take(l, ts[i], want); {
				case !send:
					got += "."
				case last:
					got += "M"
				default:
					got += "s"
				}
			}
			if got != c.sent {
				t.Errorf("\n got %s\nwant %s", got, c.sent)
			}
		})
	}
}
