package media

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The payloads are what browsers' packetizers write: descriptor, then the first bytes of the frame.
func TestStartsKeyFrame(t *testing.T) {
	for _, c := range []struct {
		name    string
		codec   codecKind
		payload string
		want    bool
	}{
		{"VP8 key frame, Chrome's descriptor", codecVP8, "90 e0 80 2a 05 20 50 c5 00 9d 01 2a 80 02 e0 01", true},
		{"VP8 key frame, second packet", codecVP8, "80 e0 80 2a 05 20 12 34 56 78", false},
		{"VP8 inter frame", codecVP8, "90 e0 80 2b 06 20 d1 02 00 05 10", false},
		{"VP8 key frame, no extension", codecVP8, "10 50 c5 00 9d 01 2a", true},
		{"VP8 second partition", codecVP8, "11 50 c5 00", false},
		{"VP8 short picture id", codecVP8, "90 80 11 50 c5 00 9d 01 2a", true},
		{"VP8 cut short", codecVP8, "90 e0 80", false},
		{"VP9 key frame, flexible mode off", codecVP9, "8c 80 2a 18 02 80 02 e0 49 83 42", true},
		{"VP9 key frame with layers, spatial layer 0", codecVP9, "ac 92 41 00 00 49 83 42", true},
		{"VP9 key frame with layers, spatial layer 1", codecVP9, "ac 92 41 03 00 49 83 42", false},
		{"VP9 inter frame", codecVP9, "cc 80 2b 86 00", false},
		{"VP9 middle of a key frame", codecVP9, "84 80 2a 12 34", false},
		{"H264 SPS alone", codecH264, "67 42 c0 1f 8c 8d 40 50", true},
		{"H264 STAP-A of SPS and PPS", codecH264, "78 00 04 67 42 c0 1f 00 04 68 ce 3c 80", true},
		{"H264 STAP-A of SEI and slice", codecH264, "78 00 02 06 05 00 03 41 9a 00", false},
		{"H264 FU-A start of IDR", codecH264, "7c 85 88 84 00", true},
		{"H264 FU-A middle of IDR", codecH264, "7c 05 88 84 00", false},
		{"H264 slice", codecH264, "41 9a 00 10", false},
		{"H264 STAP-A that lies about its size", codecH264, "78 ff ff 01 00", false},
		{"AV1 new coded video sequence", codecAV1, "18 0a 0b 00 00 00", true},
		{"AV1 delta frame", codecAV1, "10 32 00 00", false},
		{"AV1 continuation", codecAV1, "90 32 00 00", false},
		{"audio", codecOther, "90 e0 80 2a 05 20 50", false},
		{"nothing", codecVP8, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.codec.startsKeyFrame(unhex(t, c.payload)); got != c.want {
				t.Errorf("%s: %v", c.payload, got)
			}
		})
	}
}

func TestVP8Put(t *testing.T) {
	for _, c := range []struct{ before, after string }{
		{"90 e0 80 2a 05 20 50", "90 e0 92 34 77 20 50"},
		{"90 c0 11 05 50 00", "90 c0 34 77 50 00"},
		{"10 50 c5 00", "10 50 c5 00"},
	} {
		b := unhex(t, c.before)
		d, ok := parseVP8(b)
		if !ok {
			t.Fatal(c.before)
		}
		d.put(b, 0x1234, 0x77)
		if hex.EncodeToString(b) != strings.ReplaceAll(c.after, " ", "") {
			t.Errorf("%s became %x, want %s", c.before, b, c.after)
		}
	}
}

// The payloads are what encoders have made (libvpx, x264, libaom).
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name    string
		codec   codecKind
		payload string
		want    []size
	}{
		{"VP8", codecVP8, "90 e0 80 2a 05 20 90 9c 00 9d 01 2a 80 02 68 01 00 47", []size{{640, 360}}},
		{"VP8, odd", codecVP8, "10 50 8e 01 9d 01 2a fe 04 ce 02 00 07", []size{{1278, 718}}},
		{"VP8, with a hint for scaling", codecVP8, "10 50 c5 00 9d 01 2a 00 45 d0 82", []size{{1280, 720}}},
		{"VP8, not a key frame", codecVP8, "90 e0 80 2b 06 20 d1 02 00 9d 01 2a 80 02 e0 01", nil},
		{"VP9, told in the descriptor", codecVP9, "aa 92 41 00 00 38 01 40 00 b4 02 80 01 68 02 01 04 02 49 83 42", []size{{320, 180}, {640, 360}}},
		{"VP9, the frame's own", codecVP9, "8c 80 2a 82 49 83 42 00 27 f0 16 76 0a 38", []size{{640, 360}}},
		{"VP9, odd", codecVP9, "8c 80 2a 82 49 83 42 00 4f d0 2c d6 06 38", []size{{1278, 718}}},
		{"H264, baseline", codecH264, "67 42 c0 1e d9 00 a0 2f f9 70 11 00 00 03 00 01 00 00 03 00 32 0f 16 2e 48", []size{{640, 360}}},
		{"H264, high, cropped", codecH264, "67 64 00 1f ac d9 40 50 05 be ab 01 10 00 00 03 00 10 00 00 03 03 20 f1 83 19 60", []size{{1278, 718}}},
		{"H264, among others", codecH264, "78 00 02 06 05 00 19 67 42 c0 1e d9 00 a0 2f f9 70 11 00 00 03 00 01 00 00 03 00 32 0f 16 2e 48 00 04 68 ce 3c 80", []size{{640, 360}}},
		{"H264, no parameters", codecH264, "65 88 84 00", nil},
		{"AV1", codecAV1, "18 0a 0b 00 00 00 0c c4 ff 67 36 be 40 10", []size{{640, 360}}},
		{"AV1, odd, before a frame", codecAV1, "28 0c 08 00 00 00 2d 4c fd b3 4d af 90 04 30 14 10", []size{{1278, 718}}},
		{"AV1, cut short", codecAV1, "18 0a 0b 00 00", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, n := c.codec.sizes(unhex(t, c.payload), &dependencies{})
			if !slices.Equal(list[:n], c.want) {
				t.Errorf("%v, want %v", list[:n], c.want)
			}
		})
	}
}

func FuzzPayload(f *testing.F) {
	for _, s := range []string{"90e0802a052050c5009d012a", "8c802a1802", "7800046742c01f", "7c858884", "180a0b0000000cc4ff6736be4010", "6742c01ed900a02ff97011000003000100000300320f162e48", "aa9241000038014000b402800168020104024983"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, codec := range []codecKind{codecVP8, codecVP9, codecH264, codecAV1, codecOther} {
			l := codec.describe(b, nil, false, &dependencies{})
			if l.spatial >= maxSpatial || l.temporal >= maxTemporal {
				t.Errorf("%x: %+v", b, l)
			}
			sizes, n := codec.sizes(b, &dependencies{})
			for _, s := range sizes[:n] {
				if s.width < 0 || s.height < 0 || s.width > 1<<16 || s.height > 1<<16 {
					t.Errorf("%x: %v", b, s)
				}
			}
		}
		if d, ok := parseVP8(b); ok {
			d.put(b, 0x7fff, 0xff)
			if again, ok := parseVP8(b); !ok || again.pidAt != d.pidAt || again.tl0At != d.tl0At || again.key != d.key {
				t.Errorf("%x: %+v became %+v", b, d, again)
			}
		}
	})
}
