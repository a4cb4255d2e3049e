package media

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// joinWithout is join of a client that encrypts in a way that the plane does not know.
func joinWithout(t testing.TB, s *Server, id wire.ParticipantID) *client {
	return joinFrom(t, s, "room", id, allGrants(), func(settings *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		settings.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
		if err := media.RegisterDefaultCodecs(); err != nil {
			t.Fatal(err)
		}
	})
}

// Who is moved by pion and who is moved by the plane hear and see each other, also when something is lost on the way to
// them and from them.
func TestPathsMix(t *testing.T) {
	s := newTestServer(t, Limits{})
	clients := []*client{join(t, s, "room", "ann", allGrants()), joinWithout(t, s, "ben"), join(t, s, "room", "cem", allGrants())}
	for _, c := range clients {
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.publish(wire.Camera, webrtc.MimeTypeVP8)
		c.do(func() { c.offer(nil) })
	}
	all := func(n int) {
		t.Helper()
		for _, c := range clients {
			for _, from := range clients {
				if c != from {
					more(t, c, from.id, wire.Camera, n)
					more(t, c, from.id, wire.Microphone, n/5)
				}
			}
		}
	}
	all(50)
	for i, c := range clients {
		if want := i%2 == 0; c.peer.served.Load() != want {
			t.Errorf("%s is served by the plane: %v; want %v", c.id, !want, want)
		}
		c.link.dropIn.Store(31)
		c.link.dropOut.Store(29)
	}
	all(60)
}

// A server that leaves all to pion, and one with the plane, bring the same.
func TestPionOnly(t *testing.T) {
	s := newTestServerOn(t, Options{PionOnly: true})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
		more(t, ann, "ben", source, 100)
		more(t, ben, "ann", source, 100)
		unbroken(t, ann, "ben", source)
		unbroken(t, ben, "ann", source)
	}
	if ann.peer.served.Load() || ann.peer.transport != nil {
		t.Error("there is a plane")
	}
}

// A client that was served over UDP and goes to TCP has to join again; one that has been pion's goes on.
func TestMoveToTCP(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, ben := join(t, s, "room", "ann", allGrants()), joinWithout(t, s, "ben")
	for _, c := range []*client{ann, ben} {
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.do(func() { c.offer(nil) })
	}
	more(t, ann, "ben", wire.Microphone, 10)
	more(t, ben, "ann", wire.Microphone, 10)
	elsewhere := &webrtc.ICECandidatePair{
		Local:  &webrtc.ICECandidate{Address: "127.0.0.1", Port: 443, Protocol: webrtc.ICEProtocolTCP, Typ: webrtc.ICECandidateTypeHost},
		Remote: &webrtc.ICECandidate{Address: "127.0.0.1", Port: 9, Protocol: webrtc.ICEProtocolTCP, Typ: webrtc.ICECandidateTypeHost},
	}
	ben.peer.moved(elsewhere)
	more(t, ben, "ann", wire.Microphone, 10)
	ann.peer.moved(elsewhere)
	select {
	case <-ann.peer.Done():
	case <-time.After(patience):
		t.Fatal("the peer goes on")
	}
	if err := ann.peer.Err(); !errors.Is(err, ErrLost) {
		t.Errorf("the peer ended with %v", err)
	}
	if ben.peer.Err() != nil {
		t.Error("the other one has ended too")
	}
}

// A retransmission becomes the packet that it repeats, whatever header it comes with.
func TestRepairIsUnwrapped(t *testing.T) {
	for name, header := range map[string]rtp.Header{
		"plain":         {Version: 2, Marker: true},
		"an extension":  {Version: 2, Marker: true, Extension: true, ExtensionProfile: 0xbede},
		"contributions": {Version: 2, Marker: true, CSRC: []uint32{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bareStream(webrtc.MimeTypeVP8)
			s.in.peer.feedback.init(1)
			header.PayloadType, header.SSRC, header.SequenceNumber, header.Timestamp = 97, 777, 5, 3000
			if header.Extension {
				if err := header.SetExtension(3, []byte("mid")); err != nil {
					t.Fatal(err)
				}
			}
			original := testPayload(true, true, 9)
			bring := func(payload []byte) {
				packet, err := (&rtp.Packet{Header: header, Payload: payload}).Marshal()
				if err != nil {
					t.Fatal(err)
				}
				(&repair{stream: s, ssrc: 777}).RTP(nil, &header, packet, packet[header.MarshalSize():], time.Now())
			}
			for _, probe := range [][]byte{nil, {1}} {
				bring(probe)
			}
			if s.ring.arrivals != 0 {
				t.Fatal("a probe was taken for a packet")
			}
			bring(append([]byte{0x12, 0x34}, original...))
			p := s.ring.get(1<<16 + 0x1234)
			if p == nil || string(p.payload) != string(original) || !p.marker || p.ts != 3000 || !p.key {
				t.Fatalf("got %+v", p)
			}
		})
	}
}

// Behind a public address the plane serves a client also where it has several ports, as a host with several interfaces has.
func TestPublicAddressOfOnePort(t *testing.T) {
	s := newTestServerOn(t, Options{PublicIPs: []netip.Addr{netip.MustParseAddr("198.51.100.7")}})
	other, err := s.plane.Listen(netip.MustParseAddrPort("127.0.0.2:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ann, "ben", wire.Microphone, 20)
	for _, c := range []*client{ann, ben} {
		if !c.peer.served.Load() {
			t.Errorf("pion moves the media of %s", c.id)
		}
	}
}
