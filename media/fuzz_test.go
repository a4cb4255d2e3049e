package media

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// FuzzRepair unwraps whatever a publisher sends as a retransmission: what is stored is what was wrapped.
func FuzzRepair(f *testing.F) {
	wrapped := func(header rtp.Header, payload []byte) []byte {
		header.Version, header.SSRC = 2, 777
		b, err := (&rtp.Packet{Header: header, Payload: payload}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(wrapped(rtp.Header{Marker: true}, append([]byte{0x12, 0x34}, testPayload(true, true, 9)...)))
	padded := wrapped(rtp.Header{CSRC: []uint32{1, 2}}, []byte{0, 1, 0, 0, 3})
	padded[0] |= 0x20
	f.Add(padded)
	f.Add(wrapped(rtp.Header{Extension: true, ExtensionProfile: 0xbede}, []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var header rtp.Header
		at, err := header.Unmarshal(b)
		if err != nil || len(b) > maxPacket {
			return // the plane hands on neither
		}
		s := bareStream(webrtc.MimeTypeVP8)
		s.in.peer.feedback.init(1)
		payload := b[at:]
		var seq uint16
		if len(payload) >= 2 {
			seq = binary.BigEndian.Uint16(payload)
		}
		within := strings.Clone(string(payload[min(2, len(payload)):]))
		(&repair{stream: s, ssrc: 777}).RTP(nil, &header, b, payload, time.Unix(1, 0))
		if s.ring.arrivals == 0 {
			return
		}
		if p := s.ring.arrived(0); uint16(p.seq) != seq || !strings.HasPrefix(within, string(p.payload)) {
			t.Errorf("number %d: %x of %x", uint16(p.seq), p.payload, within)
		}
	})
}

// FuzzForward has a publisher send what it likes, and a receiver ask for what it likes, while layers are chosen for it.
// No number may be used twice on the media stream, on which each is a nonce.
func FuzzForward(f *testing.F) {
	mimes := []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264, webrtc.MimeTypeAV1, webrtc.MimeTypeOpus}
	// Steps are a byte that says what to do, a length and so many bytes.
	packet := func(step, number byte, payload []byte) []byte {
		return append([]byte{step, byte(1 + len(payload)), number}, payload...)
	}
	key, delta := testPayload(true, true, 1)[:30], testPayload(true, false, 2)[:30]
	f.Add(uint8(0), append(append(packet(0, 1, key), packet(0, 2, delta)...), packet(0, 2, delta)...))
	f.Add(uint8(0), append(append(packet(0, 250, key), packet(1, 5, delta)...), 3, 2, 0, 4, 2, 3, 1, 1, 5, 1, 0))
	f.Add(uint8(1), append(packet(0, 1, unhex(f, "8c802a1802")), packet(0, 3, unhex(f, "aa9241000038014000b402800168"))...))
	f.Add(uint8(3), append(packet(0, 1, unhex(f, "180a0b0000000cc4ff6736be4010")), packet(2, 2, unhex(f, keyDescriptor))...))
	f.Fuzz(func(t *testing.T, which uint8, steps []byte) {
		in := bareStream(mimes[int(which)%len(mimes)])
		w := &sink{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		e := subscriber(ctx, t, in, w)
		now := time.Unix(1, 0)
		header := rtp.Header{Version: 2, PayloadType: in.payloadType, Marker: true}
		for len(steps) > 2 {
			step, size := steps[0], min(int(steps[1]), len(steps)-2)
			body := steps[2 : 2+size]
			steps, now = steps[2+size:], now.Add(10*time.Millisecond)
			if len(body) == 0 {
				continue
			}
			header.SequenceNumber, header.Timestamp = header.SequenceNumber-10+uint16(body[0]), header.Timestamp+uint32(body[0])*100
			switch header.Extensions = nil; step % 6 {
			case 1:
				header.SequenceNumber += 4000
			case 2:
				_ = header.SetExtension(in.ddID, body[1:min(len(body), 16)]) // none if it is empty
			case 3:
				e.target.Store(&target{layer: layer{body[0] % maxSpatial, body[0] / 4 % maxTemporal}, paused: body[0] > 200})
			case 4:
				e.mu.Lock()
				e.resend(uint16(w.last()) - uint16(body[0]))
				e.mu.Unlock()
			case 5:
				e.mu.Lock()
				e.refresh()
				e.mu.Unlock()
			}
			if raw, err := (&rtp.Packet{Header: header, Payload: body[1:]}).Marshal(); err == nil {
				in.receive(raw, now)
			}
			e.pump(nil, now)
		}
		w.check(t)
	})
}

// last is the number that was sent last on the media stream, 0 before there is one.
func (s *sink) last() int {
	for i := len(s.sent) - 1; i >= 0; i-- {
		if s.sent[i].SSRC == 5000 {
			return int(s.sent[i].SequenceNumber)
		}
	}
	return 0
}

// check fails when a number was used twice.
func (s *sink) check(t *testing.T) {
	t.Helper()
	type nonce struct {
		ssrc uint32
		seq  uint16
	}
	seen := map[nonce]bool{}
	for _, p := range s.sent {
		n := nonce{p.SSRC, p.SequenceNumber}
		if seen[n] {
			t.Errorf("number %d of stream %d was used twice", n.seq, n.ssrc)
		}
		seen[n] = true
	}
}

// FuzzReported has a client report what it likes about its way: the estimate stays one.
func FuzzReported(f *testing.F) {
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2, 0, 0, 1, 0, 0x20, 2, 4, 4})
	f.Add([]byte{0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B', 1, 0, 0, 1, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d downlink
		d.init(1000)
		now := time.Now()
		for range 50 {
			d.number(now, 1200, sendsVideo)
		}
		for i := range 3 {
			d.reported(b, now.Add(time.Duration(i)*50*time.Millisecond))
		}
		if b, _ := d.steer(now.Add(time.Second), 1_000_000, time.Time{}); b.bitrate < 0 {
			t.Errorf("%+v", b)
		}
	})
}

// FuzzFormat reads what descriptions say about codecs and connections.
func FuzzFormat(f *testing.F) {
	f.Add("packetization-mode=1;profile-level-id=42e01f", "apt=96", "v=0\r\no=- 77 3 IN IP4 0.0.0.0\r\na=mid:s0\r\n")
	f.Add("profile-id=0; x", "apt", "o=\r\na=mid:s\r\n")
	f.Fuzz(func(t *testing.T, line, other, sdp string) {
		codec := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, SDPFmtpLine: line}}
		rtx := webrtc.RTPCodecParameters{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, SDPFmtpLine: other}}
		if _, _, ok := matchCodec(codec, []webrtc.RTPCodecParameters{rtx, codec}); !ok {
			t.Errorf("%q does not match itself", line)
		}
		if id := sessionID(sdp); strings.ContainsAny(id, " \r\n") {
			t.Errorf("session %q", id)
		}
		namesOurSections(sdp)
	})
}

// FuzzMappedAddress reads what anybody may say in the name of a STUN server.
func FuzzMappedAddress(f *testing.F) {
	good := stun.MustBuild(stun.NewTransactionIDSetter([stun.TransactionIDSize]byte{1}), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: []byte{192, 0, 2, 1}, Port: 5000})
	f.Add(good.Raw)
	f.Add(good.Raw[:25])
	f.Fuzz(func(t *testing.T, b []byte) {
		at, ok := mappedAddress(b, [stun.TransactionIDSize]byte{1})
		if ok != at.IsValid() || ok && at.Addr().Is4In6() || !ok && at != (netip.AddrPort{}) {
			t.Errorf("%v, %v", at, ok)
		}
	})
}
