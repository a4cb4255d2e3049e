package media

import (
	"bytes"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func TestPrimary(t *testing.T) {
	for _, c := range []struct{ payload, want, renumbered string }{
		{"6f 01 02 03", "01 02 03", "09 01 02 03"},
		{"ef 0f 00 02 6f aa bb 01 02 03", "01 02 03", "89 0f 00 02 09 aa bb 01 02 03"},
		{"ef 1e 00 01 ef 0f 00 02 6f 11 aa bb 01", "01", "89 1e 00 01 89 0f 00 02 09 11 aa bb 01"},
		{"6f", "", "09"},
		{"ef 0f 03 ff 6f aa bb 01 02 03", "bad", ""},
		{"ef 0f 00", "bad", ""},
		{"ef 0f 00 02", "bad", ""},
		{"", "bad", ""},
	} {
		b := unhex(t, c.payload)
		got, ok := primary(b)
		if ok != (c.want != "bad") || ok && !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x %v", c.payload, got, ok)
		}
		if renumber(b, 9); ok && !bytes.Equal(b, unhex(t, c.renumbered)) {
			t.Errorf("%s: renumbered %x", c.payload, b)
		}
	}
}

func FuzzRED(f *testing.F) {
	f.Add([]byte{0xef, 0x0f, 0, 2, 0x6f, 0xaa, 0xbb, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		before, ok := primary(b)
		before = bytes.Clone(before)
		renumber(b, 9)
		if after, still := primary(b); still != ok || ok && !bytes.Equal(after, before) {
			t.Errorf("%x: %x became %x", b, before, after)
		}
	})
}

// redundantCodecs registers Opus and RED under these numbers.
func redundantCodecs(t testing.TB, media *webrtc.MediaEngine, opus, red webrtc.PayloadType, line string) {
	t.Helper()
	for _, c := range []webrtc.RTPCodecParameters{
		{PayloadType: red, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mimeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: line}},
		{PayloadType: opus, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}},
	} {
		if err := media.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
}

// A tap takes RED as plain Opus.
func TestTapTakesPrimary(t *testing.T) {
	s := bareStream(webrtc.MimeTypeOpus)
	s.redType = 63
	for i, payload := range []string{"ef 0f 00 02 6f aa bb 01 02 03 04", "01 02 03 04"} {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: []uint8{63, 96}[i], SequenceNumber: uint16(i)}, Payload: unhex(t, payload)}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s.receive(b, time.Now())
	}
	f := &tapFeed{in: s.in}
	for range 2 {
		if !f.take(s) {
			t.Fatal("nothing has come")
		}
		var p rtp.Packet
		if err := p.Unmarshal(f.encode(s)); err != nil || p.PayloadType != 96 || !bytes.Equal(p.Payload, unhex(t, "01 02 03 04")) {
			t.Errorf("%v, %x, %v", p.Header, p.Payload, err)
		}
	}
}

// RED reaches who can read it as it is, under that client's numbers, and others as plain Opus.
func TestRED(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann := joinFrom(t, s, "room", "ann", allGrants(), func(_ *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		redundantCodecs(t, media, 111, 63, "111/111")
	})
	payload := unhex(t, "ef 0f 00 02 6f aa bb 01 02 03 04")
	ann.publishRaw(wire.Microphone, mimeRED, payload, payload, false)
	ann.do(func() { ann.offer(nil) })
	ben := joinFrom(t, s, "room", "ben", allGrants(), func(_ *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		redundantCodecs(t, media, 109, 120, "109/109")
	})
	cem := join(t, s, "room", "cem", allGrants())
	for _, c := range []*client{ben, cem} {
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.do(func() { c.offer(nil) })
		more(t, c, "ann", wire.Microphone, 50)
	}
	for _, p := range ben.got("ann", wire.Microphone) {
		if p.PayloadType != 120 || !bytes.Equal(p.Payload, unhex(t, "ed 0f 00 02 6d aa bb 01 02 03 04")) {
			t.Fatalf("to who can read it: %v, %x", p.Header, p.Payload)
		}
	}
	list := cem.got("ann", wire.Microphone)
	for i, p := range list {
		if p.PayloadType != 111 || !bytes.Equal(p.Payload, unhex(t, "01 02 03 04")) || i > 0 && p.SequenceNumber != list[i-1].SequenceNumber+1 {
			t.Fatalf("to who cannot: %v, %x", p.Header, p.Payload)
		}
	}
}
