package media

import (
	"context"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// A viewer gets what its participant publishes, and nothing else: no other participant, no other source, no offer.
// What ends and begins again comes on the same section.
func TestPlay(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	ann.publish(wire.Screen, webrtc.MimeTypeVP8)
	ann.do(func() { ann.offer(nil) })
	more(t, ben, "ann", wire.Screen, 5)
	eve := player(t, s, "eve", View{"ann", wire.Microphone, wire.Camera})
	for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
		more(t, eve, "ann", source, 20)
		unbroken(t, eve, "ann", source)
	}
	// The camera is turned off and on again, which for the server is another track.
	sender := cam.rtp.Sender()
	ann.do(func() {
		if err := ann.pc.RemoveTrack(sender); err != nil {
			t.Error(err)
		}
		ann.offer(nil)
	})
	gone := func() bool {
		for _, in := range ann.peer.room.tracks(eve.peer) {
			if in.key == (trackKey{"ann", wire.Camera}) {
				return false
			}
		}
		return true
	}
	eventually(t, "the camera is off", gone)
	ann.publish(wire.Camera, webrtc.MimeTypeVP8)
	ann.do(func() { ann.offer(nil) })
	more(t, eve, "ann", wire.Camera, 20)

	eve.mu.Lock()
	defer eve.mu.Unlock()
	if len(eve.received) != 2 || eve.Counts().Offers != 0 {
		t.Errorf("the viewer got %d tracks and %d offers", len(eve.received), eve.Counts().Offers)
	}
}

// player joins a client that plays.
func player(t testing.TB, s *Server, id wire.ParticipantID, v View) *client {
	t.Helper()
	c := join(t, s, "room", id, wire.Grants{})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	played := make(chan error, 1)
	c.do(func() {
		offer, err := c.pc.CreateOffer(nil)
		if err != nil {
			played <- err
			return
		}
		c.Pending = &offer
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		played <- c.peer.Play(ctx, v, wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: offer.SDP}})
	})
	if err := <-played; err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatchH264(t *testing.T) {
	for _, c := range []struct {
		want, have string
		ok         bool
	}{
		{"packetization-mode=1", "packetization-mode=1", true},
		{"packetization-mode=0", "packetization-mode=1", true},
		{"", "packetization-mode=1", true},
		{"packetization-mode=1", "packetization-mode=0", false},
		{"packetization-mode=1", "", false},
	} {
		codec := func(fmtp string) webrtc.RTPCodecParameters {
			return webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: videoClock, SDPFmtpLine: fmtp}}
		}
		if _, _, ok := matchCodec(codec(c.want), []webrtc.RTPCodecParameters{codec(c.have)}); ok != c.ok {
			t.Errorf("who takes %q gets %q: %v", c.have, c.want, ok)
		}
	}
}

// What a viewer may offer is what the server itself would.
func TestNamesCodec(t *testing.T) {
	engine, err := newMediaEngine()
	if err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(offer.SDP); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range desc.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.Key != "rtpmap" {
				continue
			}
			known := namesCodec(&sdp.MediaDescription{Attributes: []sdp.Attribute{a}})
			if beside := strings.Contains(a.Value, "rtx/") || strings.Contains(a.Value, "red/"); known == beside {
				t.Errorf("%s: %v", a.Value, known)
			}
			found++
		}
	}
	if found < 5 || namesCodec(&sdp.MediaDescription{Attributes: []sdp.Attribute{{Key: "fmtp", Value: "96 VP8/90000"}}}) {
		t.Errorf("%d codecs looked at", found)
	}
}

// Who plays somebody hears them also when others in the room are louder; who listens to the room does not.
func TestPlaySilenced(t *testing.T) {
	s := bareStream(webrtc.MimeTypeOpus)
	room, viewer := &sink{}, &sink{}
	list := []*egress{subscriber(t.Context(), t, s, room), subscriber(t.Context(), t, s, viewer)}
	list[1].assign(&feed{in: s.in, live: true, always: true})
	s.in.silenced.Store(true)
	for n := range uint32(10) {
		s.receive(rawPacket(t, s, n, false), time.Now())
		for _, e := range list {
			e.notify()
			e.pump(nil, time.Now())
		}
	}
	if len(room.sent) != 0 || len(viewer.sent) != 10 {
		t.Errorf("of 10 packets the room got %d and the viewer %d", len(room.sent), len(viewer.sent))
	}
}
