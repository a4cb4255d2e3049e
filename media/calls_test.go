package media

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"confab/media/rtctest"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// caller is a participant that speaks to Calls as a browser does through its room.
type caller struct {
	t     *testing.T
	calls *Calls
	id    wire.ParticipantID
	pc    *webrtc.PeerConnection
}

// postbox keeps what Calls delivers.
type postbox struct {
	mu   sync.Mutex
	mail map[wire.ParticipantID][]wire.Signal
}

func (b *postbox) deliver(_ wire.RoomID, to wire.ParticipantID, msg wire.ServerMessage) {
	if signal, ok := msg.(wire.Signal); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.mail[to] = append(b.mail[to], signal)
	}
}

// answerTo waits for the n-th answer (from 0) to somebody.
func (b *postbox) answerTo(t *testing.T, id wire.ParticipantID, n int) webrtc.SessionDescription {
	t.Helper()
	var found webrtc.SessionDescription
	eventually(t, "an answer", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		count := 0
		for _, signal := range b.mail[id] {
			if d := signal.Description; d != nil && d.Type == "answer" {
				if count == n {
					found = webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: d.SDP}
					return true
				}
				count++
			}
		}
		return false
	})
	return found
}

func newCaller(t *testing.T, c *Calls, id wire.ParticipantID) *caller {
	t.Helper()
	pc, err := rtctest.New(rtctest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv}); err != nil {
		t.Fatal(err)
	}
	return &caller{t: t, calls: c, id: id, pc: pc}
}

// offer makes an offer with all candidates in it and brings it to the SFU. It returns the error of the answer.
func (c *caller) offer(generation int) error {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(nil)
	if err == nil {
		_, err = rtctest.Gather(c.pc, offer)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return c.send(generation)
}

// send brings the local description, whatever it is, to the SFU.
func (c *caller) send(generation int) error {
	return c.signal(wire.Signal{
		Description: &wire.SessionDescription{Type: "offer", SDP: c.pc.LocalDescription().SDP}, Generation: generation,
		Tracks: map[string]wire.TrackLabel{"0": {Participant: c.id, Source: wire.Microphone}},
	})
}

func (c *caller) signal(msg wire.Signal) error {
	result := make(chan error, 1)
	c.calls.Signal("room", c.id, allGrants(), msg, func(_ wire.ServerMessage, err error) { result <- err })
	return <-result
}

func (c *caller) connect(answer webrtc.SessionDescription) {
	c.t.Helper()
	if err := c.pc.SetRemoteDescription(answer); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "a connection", func() bool { return c.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

func codeOf(err error) wire.ErrorCode {
	if coded, ok := err.(*wire.Error); ok { //nolint:errorlint // as it comes
		return coded.Code
	}
	return ""
}

func TestCallsMakePeersAsClientsBegin(t *testing.T) {
	server, box := newTestServer(t, Limits{}), &postbox{mail: map[wire.ParticipantID][]wire.Signal{}}
	calls := NewCalls(server, box.deliver)
	defer calls.Close()

	first := newCaller(t, calls, "ada")
	if err := first.signal(wire.Signal{Candidate: json.RawMessage("null")}); codeOf(err) != wire.CodeNotFound {
		t.Errorf("a candidate before any offer: %v", err)
	}
	if err := first.offer(1); err != nil {
		t.Fatal(err)
	}
	first.connect(box.answerTo(t, "ada", 0))

	// The page was loaded again: another RTCPeerConnection, whose generations begin at 1 as well.
	second := newCaller(t, calls, "ada")
	if err := second.offer(1); err != nil {
		t.Fatal(err)
	}
	second.connect(box.answerTo(t, "ada", 1))
	if n := server.rooms["room"].size(); n != 1 {
		t.Errorf("%d peers; want 1", n)
	}

	// The peer is lost on this side only. The old connection cannot go on.
	calls.seats[seatKey{"room", "ada"}].peer.Close()
	if err := second.send(2); codeOf(err) != wire.CodeNotFound {
		t.Errorf("an offer of a connection whose peer is gone: %v", err)
	}
	third := newCaller(t, calls, "ada")
	if err := third.offer(3); err != nil {
		t.Fatal(err)
	}
	third.connect(box.answerTo(t, "ada", 2))

	calls.Leave("room", "ada")
	eventually(t, "an empty server", func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.rooms) == 0
	})
}

// After a restart of the server a client may come with an offer that continues what this process never had.
func TestCallsRefuseWhatOthersHaveBegun(t *testing.T) {
	server := newTestServer(t, Limits{})
	calls := NewCalls(server, func(wire.RoomID, wire.ParticipantID, wire.ServerMessage) {})
	defer calls.Close()
	ada := newCaller(t, calls, "ada")
	sdp := "v=0\r\no=- 77 3 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:s0\r\n"
	err := ada.signal(wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: sdp}})
	if codeOf(err) != wire.CodeNotFound || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("an offer with sections of an SFU: %v", err)
	}
}

// What is no description at all is refused, and the connection that there is goes on.
func TestCallsKeepPeerAtGarbage(t *testing.T) {
	server, box := newTestServer(t, Limits{}), &postbox{mail: map[wire.ParticipantID][]wire.Signal{}}
	calls := NewCalls(server, box.deliver)
	defer calls.Close()
	ada := newCaller(t, calls, "ada")
	if err := ada.offer(1); err != nil {
		t.Fatal(err)
	}
	ada.connect(box.answerTo(t, "ada", 0))
	peer := server.rooms["room"].peer("ada")
	for _, sdp := range []string{"", "hello", "v=0\r\ns=-\r\n", "o=\r\n"} {
		err := ada.signal(wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: sdp}})
		if codeOf(err) != wire.CodeBadMessage {
			t.Errorf("%q: %v", sdp, err)
		}
	}
	if server.rooms["room"].peer("ada") != peer || peer.Err() != nil {
		t.Errorf("another peer, or one that has ended: %v", peer.Err())
	}
}

// In a long call people come and go: who has left takes no place among the subscriptions.
func TestCallsForgetWhoLeaves(t *testing.T) {
	server, box := newTestServer(t, Limits{Subscriptions: 2}), &postbox{mail: map[wire.ParticipantID][]wire.Signal{}}
	calls := NewCalls(server, box.deliver)
	defer calls.Close()
	ada, grace := newCaller(t, calls, "ada"), newCaller(t, calls, "grace")
	if err := ada.offer(1); err != nil {
		t.Fatal(err)
	}
	subscribe := func(c *caller, to wire.ParticipantID) wire.ErrorCode {
		result := make(chan error, 1)
		msg := wire.SubscribeMedia{Participant: to, Source: wire.Camera}
		calls.Subscribe("room", c.id, allGrants(), msg, func(_ wire.ServerMessage, err error) { result <- err })
		return codeOf(<-result)
	}
	for _, c := range []*caller{ada, grace} { // with a peer, and without
		for _, id := range []wire.ParticipantID{"one", "two", "one"} {
			if code := subscribe(c, id); code != "" {
				t.Errorf("%s to %s: %s", c.id, id, code)
			}
		}
		if code := subscribe(c, "three"); code != wire.CodeRateLimited {
			t.Errorf("%s, one too many: %q", c.id, code)
		}
	}
	for n := range 50 {
		calls.Leave("room", "two")
		calls.Leave("elsewhere", "one")
		for _, c := range []*caller{ada, grace} {
			if code := subscribe(c, "two"); code != "" {
				t.Fatalf("%s, round %d: %s", c.id, n, code)
			}
		}
	}
	if code := subscribe(ada, "three"); code != wire.CodeRateLimited {
		t.Errorf("who has left another room is forgotten in this one: %q", code)
	}
}

func TestCallsAfterTheEnd(t *testing.T) {
	calls := NewCalls(newTestServer(t, Limits{}), func(wire.RoomID, wire.ParticipantID, wire.ServerMessage) {})
	calls.Close()
	if err := newCaller(t, calls, "ada").offer(1); codeOf(err) != wire.CodeUnavailable {
		t.Errorf("after Close: %v", err)
	}
	calls.SetGrants("room", "ada", allGrants())
	calls.Leave("room", "ada")
}

// Who is made a viewer is no longer heard, and is again when made a member.
func TestGrantsMayChange(t *testing.T) {
	server := newTestServer(t, Limits{})
	ada, _, _ := start(t, server, "ada")
	grace, _, _ := start(t, server, "grace")
	more(t, grace, "ada", wire.Microphone, 10)
	if err := ada.peer.SetGrants(t.Context(), wire.RoleGrants(wire.RoleViewer)); err != nil {
		t.Fatal(err)
	}
	if tracks := server.rooms["room"].tracks(grace.peer); len(tracks) != 0 {
		t.Errorf("a viewer still publishes %d tracks", len(tracks))
	}
	if err := ada.peer.SetGrants(t.Context(), allGrants()); err != nil {
		t.Fatal(err)
	}
	more(t, grace, "ada", wire.Microphone, 10)
}
