package media

import (
	"fmt"
	"log/slog"
	"testing"

	"confab/media/rtctest"
	"confab/media/turn"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// newRelay makes a TURN server beside an SFU, as cmd/confab does.
func newRelay(t *testing.T, s *Server) *turn.Server {
	t.Helper()
	r, err := turn.New(turn.Options{
		Listen: loopback, Key: []byte("0123456789abcdef0123456789abcdef"), SFU: s.UDPAddrs, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// onlyRelay are the settings of a client that sends through a relay and by one transport.
func onlyRelay(r *turn.Server, id wire.ParticipantID, transport string) webrtc.Configuration {
	credentials := r.Credentials(id)
	return webrtc.Configuration{
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
		ICEServers: []webrtc.ICEServer{{
			URLs: []string{fmt.Sprintf("turn:%s?transport=%s", r.Addr(), transport)}, Username: credentials.Username, Credential: credentials.Credential,
		}},
	}
}

// wantRelay fails unless a connection goes through a relay of its own.
func wantRelay(t *testing.T, who string, pc *webrtc.PeerConnection) {
	t.Helper()
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatalf("%s: %v, %v", who, pair, err)
	}
	if pair.Local.Typ != webrtc.ICECandidateTypeRelay {
		t.Errorf("%s: the pair is %v", who, pair)
	}
}

// A call through the SFU of two that can only relay, by UDP and by TCP.
func TestCallByRelay(t *testing.T) {
	s := newTestServer(t, Limits{})
	r := newRelay(t, s)
	var clients []*client
	for id, transport := range map[wire.ParticipantID]string{"ann": "udp", "ben": "tcp"} {
		c := joinWith(t, s, "room", id, allGrants(), onlyRelay(r, id, transport), defaultCodecs(t))
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.publish(wire.Camera, webrtc.MimeTypeVP8)
		c.do(func() { c.offer(nil) })
		clients = append(clients, c)
	}
	for i, c := range clients {
		other := clients[1-i]
		for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
			more(t, c, other.id, source, 100)
			unbroken(t, c, other.id, source)
		}
		wantRelay(t, string(c.id), c.pc)
	}
	if got := r.Stats(); got.Open < 2 || got.Sent == 0 || got.Received == 0 || got.Forbidden > 0 {
		t.Errorf("the relays counted %+v", got)
	}
}

// A call in the mesh of two that can only relay: from relay to relay.
func TestMeshByRelay(t *testing.T) {
	r := newRelay(t, newTestServer(t, Limits{}))
	ann, ben := newMeshPeer(t, r, "ann", "udp"), newMeshPeer(t, r, "ben", "tcp")
	got := make(chan struct{})
	ben.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for n := range 100 {
			if _, _, err := track.ReadRTP(); err != nil {
				t.Errorf("after %d packets: %v", n, err)
				break
			}
		}
		close(got)
	})
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "camera", "ann")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := ann.AddTransceiverFromTrack(track)
	if err != nil {
		t.Fatal(err)
	}
	src := &source{track: track, rtp: tr}
	src.needed.Store(true)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		src.run(stop, true)
	}()
	if err := rtctest.Negotiate(ann, ben, nil); err != nil {
		t.Fatal(err)
	}
	<-got
	wantRelay(t, "ann", ann)
	wantRelay(t, "ben", ben)
	close(stop)
	<-ended
}

func newMeshPeer(t *testing.T, r *turn.Server, id wire.ParticipantID, transport string) *webrtc.PeerConnection {
	t.Helper()
	settings := rtctest.Loopback()
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4})
	pc, err := rtctest.New(rtctest.Options{Settings: &settings, Configuration: onlyRelay(r, id, transport)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return pc
}
