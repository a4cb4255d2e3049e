package media

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// wantCode fails unless err is a *wire.Error with that code.
func wantCode(t testing.TB, what string, err error, code wire.ErrorCode) {
	t.Helper()
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// bare makes a peer that is signalled by hand.
func bare(t testing.TB, s *Server, id wire.ParticipantID, grants wire.Grants) *Peer {
	t.Helper()
	p, err := s.Join("room", id, PeerOptions{Grants: grants, Send: func(wire.ServerMessage) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// sdpOffer writes an offer of sections: "audio sendonly" and the like.
func sdpOffer(sections ...string) *wire.SessionDescription {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" +
		"a=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB\r\n")
	for i, section := range sections {
		kind, direction, _ := strings.Cut(section, " ")
		codec := "111 opus/48000/2"
		if kind == "video" {
			codec = "96 VP8/90000"
		}
		payload, _, _ := strings.Cut(codec, " ")
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%d\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=rtcp-mux\r\na=%s\r\na=rtpmap:%s\r\n",
			kind, payload, i, direction, codec)
	}
	return &wire.SessionDescription{Type: "offer", SDP: b.String()}
}

func labels(sources ...wire.Source) map[string]wire.TrackLabel {
	m := map[string]wire.TrackLabel{}
	for i, source := range sources {
		m[fmt.Sprint(i)] = wire.TrackLabel{Source: source}
	}
	return m
}

// What a client may not say is refused as a whole, and the next good offer is answered.
func TestRefused(t *testing.T) {
	s := newTestServer(t, Limits{UpTracks: 3, MediaSections: 5, SDPBytes: 4000})
	viewer := wire.Grants{Publish: []wire.Source{wire.Microphone}, Subscribe: true}
	for _, c := range []struct {
		name   string
		grants wire.Grants
		signal wire.Signal
		want   wire.ErrorCode
	}{
		{"a source without a grant", viewer, wire.Signal{Description: sdpOffer("video sendonly"), Tracks: labels(wire.Camera)}, wire.CodeForbidden},
		{"one granted, one not", viewer, wire.Signal{Description: sdpOffer("audio sendrecv", "video sendonly"), Tracks: labels(wire.Microphone, wire.Camera)}, wire.CodeForbidden},
		{"no label", allGrants(), wire.Signal{Description: sdpOffer("audio sendonly")}, wire.CodeBadMessage},
		{"a picture as a microphone", allGrants(), wire.Signal{Description: sdpOffer("video sendonly"), Tracks: labels(wire.Microphone)}, wire.CodeBadMessage},
		{"an unknown source", allGrants(), wire.Signal{Description: sdpOffer("video sendonly"), Tracks: labels("lamp")}, wire.CodeBadMessage},
		{"a source twice", allGrants(), wire.Signal{Description: sdpOffer("video sendonly", "video sendonly"), Tracks: labels(wire.Camera, wire.Camera)}, wire.CodeConflict},
		{"too many tracks", allGrants(), wire.Signal{Description: sdpOffer("audio sendonly", "video sendonly", "video sendonly", "audio sendonly"),
			Tracks: labels(wire.Microphone, wire.Camera, wire.Screen, wire.ScreenAudio)}, wire.CodeTooLarge},
		{"too many sections", allGrants(), wire.Signal{Description: sdpOffer("audio recvonly", "audio recvonly", "audio recvonly", "audio recvonly", "audio recvonly", "audio recvonly")}, wire.CodeTooLarge},
		{"too large", allGrants(), wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: strings.Repeat("a", 4001)}}, wire.CodeTooLarge},
		{"no SDP", allGrants(), wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: "hello"}}, wire.CodeBadMessage},
		{"a mid without end", allGrants(), wire.Signal{Description: replaced(sdpOffer("audio recvonly"), "a=mid:0", "a=mid:"+strings.Repeat("0", maxSectionName+1))}, wire.CodeBadMessage},
		{"a rid without end", allGrants(), wire.Signal{Description: replaced(sdpOffer("video sendonly"), "a=mid:0", "a=mid:0\r\na=rid:"+strings.Repeat("q", maxSectionName+1)+" send"),
			Tracks: labels(wire.Camera)}, wire.CodeBadMessage},
		{"a rollback", allGrants(), wire.Signal{Description: &wire.SessionDescription{Type: "rollback"}}, wire.CodeBadMessage},
		{"a large candidate", allGrants(), wire.Signal{Candidate: json.RawMessage(`"` + strings.Repeat("a", maxCandidate) + `"`)}, wire.CodeTooLarge},
		{"a malformed candidate", allGrants(), wire.Signal{Candidate: json.RawMessage(`[1]`)}, wire.CodeBadMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := bare(t, s, "ann", c.grants)
			wantCode(t, "signal", p.Signal(t.Context(), c.signal), c.want)
			if state := p.pc.SignalingState(); state != webrtc.SignalingStateStable {
				t.Errorf("the connection is in %v", state)
			}
			if err := p.Signal(t.Context(), wire.Signal{Description: sdpOffer("audio sendonly"), Tracks: labels(wire.Microphone)}); err != nil {
				t.Errorf("then a good offer: %v", err)
			}
		})
	}
}

func replaced(d *wire.SessionDescription, old, by string) *wire.SessionDescription {
	d.SDP = strings.ReplaceAll(d.SDP, old, by)
	return d
}

// A client that names its media sections anew with each offer comes to an end with it.
func TestSectionsInAll(t *testing.T) {
	limits := Limits{MediaSections: 5}
	p := bare(t, newTestServer(t, limits), "ann", allGrants())
	for i := range 50 {
		offer := sdpOffer("audio recvonly", "video recvonly")
		replaced(offer, "a=mid:", fmt.Sprintf("a=mid:%d-", i))
		if err := p.Signal(t.Context(), wire.Signal{Description: offer}); err != nil {
			wantCode(t, "an offer too many", err, wire.CodeTooLarge)
		}
	}
	if got, want := len(p.pc.GetTransceivers()), limits.MediaSections*sectionsInAll; got != want {
		t.Errorf("%d transceivers; want %d", got, want)
	}
	if err := p.Signal(t.Context(), wire.Signal{Description: replaced(sdpOffer("audio recvonly"), "a=mid:", "a=mid:0-")}); err != nil {
		t.Errorf("the names it has used: %v", err)
	}
}

// Candidates: names of multicast DNS are passed over, those that come before their description wait, the number of
// them is bounded, and old ones are ignored.
func TestCandidates(t *testing.T) {
	s := newTestServer(t, Limits{Candidates: 4})
	p := bare(t, s, "ann", allGrants())
	candidate := func(address string, generation int) wire.Signal {
		return wire.Signal{Generation: generation, Candidate: json.RawMessage(
			`{"candidate":"candidate:1 1 udp 2130706431 ` + address + ` 9 typ host","sdpMid":"0","sdpMLineIndex":0}`)}
	}
	if err := p.Signal(t.Context(), candidate("127.0.0.1", 0)); err != nil {
		t.Errorf("before the offer: %v", err)
	}
	if err := p.Signal(t.Context(), wire.Signal{Description: sdpOffer("audio sendonly"), Tracks: labels(wire.Microphone), Generation: 2}); err != nil {
		t.Fatal(err)
	}
	if len(p.early) != 0 {
		t.Error("candidates still wait")
	}
	for range 10 {
		if err := p.Signal(t.Context(), candidate("127.0.0.1", 1)); err != nil {
			t.Errorf("an old one: %v", err)
		}
	}
	for i, c := range []wire.Signal{
		candidate("3f1c6c2e-1111-4e3c-8a4e-5d3a0b1c2d3e.local", 2), candidate("127.0.0.1", 2),
		{Candidate: json.RawMessage("null"), Generation: 2}, candidate("127.0.0.2", 2), candidate("127.0.0.3", 2),
	} {
		if err := p.Signal(t.Context(), c); err != nil {
			t.Errorf("candidate %d: %v", i, err)
		}
	}
	wantCode(t, "one too many", p.Signal(t.Context(), candidate("127.0.0.1", 2)), wire.CodeRateLimited)
	for range 10 { // pion says it with each description
		if err := p.Signal(t.Context(), wire.Signal{Candidate: json.RawMessage("null"), Generation: 2}); err != nil {
			t.Errorf("the end of candidates again: %v", err)
		}
	}
}

func TestBounds(t *testing.T) {
	s := newTestServer(t, Limits{PeersPerRoom: 2, Subscriptions: 2})
	ann := bare(t, s, "ann", allGrants())
	ben := bare(t, s, "ben", wire.Grants{})
	_, err := s.Join("room", "cem", PeerOptions{})
	wantCode(t, "a third peer", err, wire.CodeRoomFull)
	subscribe := func(p *Peer, id wire.ParticipantID) error {
		return p.Subscribe(t.Context(), wire.SubscribeMedia{Participant: id, Source: wire.Camera})
	}
	for _, id := range []wire.ParticipantID{"x", "y", "x"} {
		if err := subscribe(ann, id); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, "one too many", subscribe(ann, "z"), wire.CodeRateLimited)
	wantCode(t, "no source", ann.Subscribe(t.Context(), wire.SubscribeMedia{Participant: "x"}), wire.CodeBadMessage)
	wantCode(t, "no grant", subscribe(ben, "x"), wire.CodeForbidden)
}

// Who may not subscribe gets nothing; who has reached the bound of tracks gets the oldest.
func TestDownTracks(t *testing.T) {
	s := newTestServer(t, Limits{DownTracks: 1})
	start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	eventually(t, "ben has something", func() bool {
		return len(ben.got("ann", wire.Microphone))+len(ben.got("ann", wire.Camera)) > 20
	})
	cem := join(t, s, "room", "cem", wire.Grants{Publish: wire.Sources})
	cem.publish(wire.Microphone, webrtc.MimeTypeOpus)
	cem.do(func() { cem.offer(nil) })
	eventually(t, "cem sends", func() bool {
		s.rooms["room"].mu.Lock()
		defer s.rooms["room"].mu.Unlock()
		return len(s.rooms["room"].published) == 5
	})
	if n := len(*ben.peer.sending.Load()); n != 1 {
		t.Errorf("%d tracks to ben", n)
	}
	if n := len(*cem.peer.sending.Load()); n != 0 {
		t.Errorf("%d tracks to who may not subscribe", n)
	}
}

func TestRTCPRate(t *testing.T) {
	r := rate{perSecond: 3}
	now := time.Unix(1000, 0)
	for i, want := range []bool{true, true, true, false, false} {
		if r.allow(now) != want {
			t.Errorf("packet %d", i)
		}
	}
	if !r.allow(now.Add(time.Second)) {
		t.Error("a second later")
	}
}

// Whatever comes to the port from strangers, and whatever a publisher sends in the place of RTP, does no harm.
func TestGarbage(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Camera, 20)
	conn, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	random := rand.New(rand.NewPCG(1, 2))
	// First bytes of STUN, ZRTP, DTLS, TURN channels, RTP and RTCP (RFC 7983 section 7), and what is none of them.
	for _, first := range []byte{0, 1, 3, 16, 20, 22, 63, 64, 79, 128, 144, 191, 192, 255} {
		for size := 1; size < 1400; size = size*2 + 1 {
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			if b[0] = first; size > 8 && first < 2 {
				copy(b[4:], []byte{0x21, 0x12, 0xa4, 0x42}) // the magic cookie (RFC 8489 section 5)
			}
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 200 {
		b := make([]byte, random.IntN(60))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		_ = ann.pc.WriteRTCP(nil)
		_ = cam.track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i) + 30000, CSRC: []uint32{1, 2}}, Payload: b})
	}
	more(t, ben, "ann", wire.Microphone, 50)
	unbroken(t, ben, "ann", wire.Microphone)
	if ann.peer.Err() != nil || ben.peer.Err() != nil {
		t.Errorf("ended: %v, %v", ann.peer.Err(), ben.peer.Err())
	}
}

// Everything may be closed in any order, also twice, also at once and in the middle of a call.
func TestCloseInAnyOrder(t *testing.T) {
	for name, order := range map[string]func(s *Server, ann, ben *Peer){
		"peers, room, server":  func(s *Server, ann, ben *Peer) { ann.Close(); ben.Close(); s.CloseRoom("room"); s.Close() },
		"room, peers, server":  func(s *Server, ann, ben *Peer) { s.CloseRoom("room"); ann.Close(); ben.Close(); s.Close() },
		"server, room, peers":  func(s *Server, ann, ben *Peer) { s.Close(); s.CloseRoom("room"); ann.Close(); ben.Close() },
		"one peer, the server": func(s *Server, ann, _ *Peer) { ann.Close(); s.Close() },
		"all at once": func(s *Server, ann, ben *Peer) {
			var wg sync.WaitGroup
			wg.Go(ann.Close)
			wg.Go(ben.Close)
			wg.Go(func() { s.CloseRoom("room") })
			wg.Go(func() { s.Close() })
			wg.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, Limits{})
			ann, _, _ := start(t, s, "ann")
			ben, _, _ := start(t, s, "ben")
			more(t, ben, "ann", wire.Camera, 5)
			order(s, ann.peer, ben.peer)
			<-ann.peer.Done()
			if ann.peer.Err() == nil {
				t.Error("no reason")
			}
			s.Close()
			<-ben.peer.Done()
			if _, err := s.Join("room", "cem", PeerOptions{}); !errors.Is(err, ErrClosed) {
				t.Errorf("joined a closed server: %v", err)
			}
			wantCode(t, "signal", ann.peer.Signal(t.Context(), wire.Signal{Candidate: json.RawMessage("null")}), wire.CodeUnavailable)
			if len(s.rooms) != 0 {
				t.Error("a room is left")
			}
		})
	}
}

// A second peer of the same id takes the place of the first one.
func TestJoinReplaces(t *testing.T) {
	s := newTestServer(t, Limits{})
	first := bare(t, s, "ann", allGrants())
	second := bare(t, s, "ann", allGrants())
	<-first.Done()
	if second.Err() != nil || !errors.Is(first.Err(), ErrPeerClosed) {
		t.Errorf("first %v, second %v", first.Err(), second.Err())
	}
	if s.rooms["room"].size() != 1 {
		t.Error("two peers")
	}
}
