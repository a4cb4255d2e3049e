package media

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func TestSends(t *testing.T) {
	for section, want := range map[string]bool{
		"m=audio 9 RTP/SAVPF 111\r\na=sendrecv\r\n":                 true,
		"m=audio 9 RTP/SAVPF 111\r\n":                               true,
		"m=video 9 RTP/SAVPF 96\r\na=sendonly\r\n":                  true,
		"m=video 9 RTP/SAVPF 96\r\na=recvonly\r\n":                  false,
		"m=video 9 RTP/SAVPF 96\r\na=inactive\r\n":                  false,
		"m=video 0 RTP/SAVPF 96\r\na=sendonly\r\n":                  false,
		"m=video 0 RTP/SAVPF 96\r\na=bundle-only\r\na=sendonly\r\n": true,
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n":      false,
	} {
		var desc sdp.SessionDescription
		if err := desc.UnmarshalString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + section); err != nil {
			t.Fatal(err)
		}
		if got := sends(desc.MediaDescriptions[0]); got != want {
			t.Errorf("%q: %v", section, got)
		}
	}
}

func TestMatchCodec(t *testing.T) {
	codec := func(payload webrtc.PayloadType, mime, fmtp string) webrtc.RTPCodecParameters {
		return webrtc.RTPCodecParameters{PayloadType: payload, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: videoClock, SDPFmtpLine: fmtp}}
	}
	have := []webrtc.RTPCodecParameters{
		codec(1, "video/H264", "packetization-mode=0;profile-level-id=42e01f"), codec(2, "video/rtx", "apt=1"),
		codec(3, "video/h264", "profile-level-id=42e01f; packetization-mode=1"), codec(4, "video/rtx", "apt=3"),
		codec(5, "video/VP9", "profile-id=2"), codec(6, "video/VP9", ""),
	}
	for _, c := range []struct {
		want webrtc.RTPCodecParameters
		as   webrtc.PayloadType
		rtx  uint8
		ok   bool
	}{
		{codec(99, "video/H264", "packetization-mode=1;profile-level-id=42e01f"), 3, 4, true},
		{codec(99, "video/H264", ""), 1, 2, true},
		{codec(99, "video/VP9", "profile-id=0"), 6, 0, true},
		{codec(99, "video/AV1", ""), 0, 0, false},
	} {
		got, rtx, ok := matchCodec(c.want, have)
		if got.PayloadType != c.as || rtx != c.rtx || ok != c.ok {
			t.Errorf("%s %s: %d, %d, %v", c.want.MimeType, c.want.SDPFmtpLine, got.PayloadType, rtx, ok)
		}
	}
}

// Public addresses stand in the candidates instead of those of the interfaces, and the last candidate is followed
// by null.
func TestPublicIPs(t *testing.T) {
	s, err := New(Options{Listen: loopback, PublicIPs: []netip.Addr{netip.MustParseAddr("203.0.113.7")}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sent := make(chan wire.Signal, 64)
	p, err := s.Join("room", "ann", PeerOptions{Grants: allGrants(), Send: signals(func(signal wire.Signal) { sent <- signal })})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(t.Context(), wire.Signal{Description: sdpOffer("audio sendonly"), Tracks: labels(wire.Microphone)}); err != nil {
		t.Fatal(err)
	}
	found := false
	for limit := time.After(patience); ; {
		select {
		case signal := <-sent:
			if strings.Contains(string(signal.Candidate), " 127.0.0.1 ") {
				t.Errorf("candidate %s", signal.Candidate)
			}
			found = found || strings.Contains(string(signal.Candidate), " 203.0.113.7 ")
			if string(signal.Candidate) != "null" {
				continue
			}
		case <-limit:
			t.Error("no end of candidates")
		}
		break
	}
	if !found {
		t.Error("the public address is in no candidate")
	}
}

// A peer whose client shall make the first offer makes none before, however much there is to offer, and then it does.
func TestClientFirst(t *testing.T) {
	s := newTestServer(t, Limits{})
	bob := join(t, s, "room", "bob", allGrants())
	bob.publish(wire.Microphone, webrtc.MimeTypeOpus)
	bob.do(func() { bob.offer(nil) })
	sent := make(chan wire.Signal, 64)
	p, err := s.Join("room", "ann", PeerOptions{
		Grants: allGrants(), Send: signals(func(signal wire.Signal) { sent <- signal }), ClientFirst: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is something to offer", func() bool {
		needed := false
		if err := p.call(t.Context(), func() error {
			needed = p.needOffer
			p.offer()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return needed
	})
	select {
	case signal := <-sent:
		t.Fatalf("%+v before the client has offered", signal)
	default:
	}
	if err := p.Signal(t.Context(), wire.Signal{Description: sdpOffer("audio sendonly"), Tracks: labels(wire.Microphone)}); err != nil {
		t.Fatal(err)
	}
	var types []string
	for limit := time.After(patience); len(types) < 2; {
		select {
		case signal := <-sent:
			if signal.Description != nil {
				types = append(types, signal.Description.Type)
			}
		case <-limit:
			t.Fatalf("only %v", types)
		}
	}
	if !slices.Equal(types, []string{"answer", "offer"}) {
		t.Errorf("descriptions %v", types)
	}
}

// The zero value of the options listens on every interface.
func TestListenEverywhere(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Addrs()) == 0 {
		t.Error("no address")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A client that closes its connection ends its peer.
func TestClientCloses(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Camera, 5)
	if err := ann.pc.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ann's peer has ended", func() bool { return ann.peer.Err() != nil })
	eventually(t, "ben is told", func() bool {
		return len(ben.Theirs()) == 0
	})
}

func FuzzSections(f *testing.F) {
	f.Add(sdpOffer("audio sendonly", "video sendrecv").SDP)
	f.Add(sdpOffer("audio inactive").SDP)
	f.Fuzz(func(t *testing.T, text string) {
		p := &Peer{server: &Server{limits: Limits{}.withDefaults()}, grants: allGrants(), negotiation: newNegotiation()}
		found, err := p.readSections(wire.Signal{Description: &wire.SessionDescription{SDP: text}, Tracks: labels(wire.Microphone, wire.Camera)})
		if err == nil && len(found) > p.server.limits.UpTracks {
			t.Errorf("%d tracks", len(found))
		}
	})
}

func FuzzCandidate(f *testing.F) {
	f.Add([]byte(`{"candidate":"candidate:1 1 udp 1 a.local 9 typ host"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if c, err := readCandidate(json.RawMessage(b)); err == nil {
			isMulticastName(c.Candidate)
		}
	})
}

func FuzzReceive(f *testing.F) {
	video := bareStream(webrtc.MimeTypeVP8)
	f.Add(rawPacket(f, video, 1, true), rawPacket(f, video, 3, false))
	f.Add(rawPacket(f, bareStream(webrtc.MimeTypeOpus), 1, true), []byte("\xb0\x60"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeOpus} {
			in := bareStream(mime)
			for _, b := range [][]byte{first, second} {
				var header rtp.Header
				n, err := header.Unmarshal(b)
				if err != nil {
					continue
				}
				if payload, ok := in.unpad(&header, b[n:]); ok {
					if len(payload) > len(b)-n {
						t.Errorf("%d bytes of %d", len(payload), len(b)-n)
					}
					in.store(&header, payload, time.Unix(1, 0))
				}
			}
		}
	})
}
