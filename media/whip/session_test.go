package whip

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// What a publisher sends arrives at players that came before, meanwhile and after; DELETE ends each.
func TestPublishAndPlay(t *testing.T) {
	e := newEndpoint(t, nil)
	e.hall.there["obs-c"] = true // it will be the second to come
	early := e.player("ann", "/whep/room/obs-c")
	early.connected(1)
	pub := e.publisher("obs", "/whip/room")
	late := e.player("ben", "/whep/room/obs-c")
	for _, c := range []*client{early, late} {
		c.more("audio", 20)
		c.more("video", 20)
		if !startsPicture(c) {
			t.Errorf("the picture of %s does not begin with a key frame", c.token)
		}
		if len(c.streams) != 1 || !c.streams["obs-c"] {
			t.Errorf("the tracks of %s belong to the streams %v", c.token, c.streams)
		}
	}
	if m := e.place("obs-c").media; m.Microphone == nil || !*m.Microphone || m.Camera == nil || !*m.Camera || m.Screen != nil {
		t.Errorf("the publisher's media: %+v", m)
	}
	for _, c := range []*client{late, pub, early} {
		before := e.handler.Sessions()
		if r := e.do(http.MethodDelete, c.location, c.token, "", "If-Match", `"whatever"`); r.StatusCode != http.StatusOK {
			t.Errorf("DELETE: %d %s", r.StatusCode, r.text)
		}
		if n := e.handler.Sessions(); n != before-1 {
			t.Errorf("%d sessions, of %d, after a DELETE", n, before)
		}
		if r := e.do(http.MethodDelete, c.location, c.token, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("the second DELETE: %d %s", r.StatusCode, r.text)
		}
	}
}

func startsPicture(c *client) bool {
	first := c.got("video")[0].Payload
	return len(first) > 6 && string(first[4:7]) == "\x9d\x01\x2a"
}

// place returns a place by its id, also of one that was left.
func (e *endpoint) place(id string) *place {
	e.t.Helper()
	e.hall.mu.Lock()
	defer e.hall.mu.Unlock()
	for p := range e.hall.places {
		if string(p.id) == id {
			copied := *p
			return &copied
		}
	}
	e.t.Fatalf("nobody is %s", id)
	return nil
}

// A screen is another source: who plays the camera does not get it.
func TestScreen(t *testing.T) {
	e := newEndpoint(t, nil)
	e.publisher("obs", "/whip/room?source=screen")
	screen := e.player("ann", "/whep/room/obs-b?source=screen")
	camera := e.player("ben", "/whep/room/obs-b")
	camera.connected(1)
	screen.more("audio", 20)
	screen.more("video", 20)
	if n := len(camera.got("video")) + len(camera.got("audio")); n != 0 {
		t.Errorf("who plays the camera got %d packets of the screen", n)
	}
	if m := e.place("obs-b").media; m.Screen == nil || !*m.Screen || m.Camera != nil || m.Microphone != nil {
		t.Errorf("the publisher's media: %+v", m)
	}
}

// Candidates come after the offer: the server has none of the client's until then.
func TestTrickle(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.newClient("obs")
	c.send(vp8)
	c.begin("/whip/room", false)
	if strings.Contains(c.pc.LocalDescription().SDP, "a=candidate") && strings.Contains(c.answer, "a=candidate") == false {
		t.Error("the answer has no candidates")
	}
	fragment := c.fragment()
	if r := e.patch(c.location, "obs", `"stale"`, fragment); r.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("a wrong ETag: %d %s", r.StatusCode, r.text)
	}
	r := e.patch(c.location, "obs", `"stale", `+c.etag, fragment)
	if r.StatusCode != http.StatusNoContent || r.Header.Get("ETag") != "" || r.text != "" {
		t.Errorf("trickle: %d, ETag %q, %q", r.StatusCode, r.Header.Get("ETag"), r.text)
	}
	c.accept()
	c.connected(1)
}

// fragment is what a client trickles: its credentials and what it has gathered.
func (c *client) fragment() string {
	c.t.Helper()
	local := c.pc.LocalDescription().SDP
	var b strings.Builder
	for _, name := range []string{"ice-ufrag", "ice-pwd"} {
		_, rest, _ := strings.Cut(local, "a="+name+":")
		value, _, _ := strings.Cut(rest, "\r\n")
		b.WriteString("a=" + name + ":" + value + "\r\n")
	}
	b.WriteString("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n")
	eventually(c.t, "the client's own candidates", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.candidates) > 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, candidate := range c.candidates {
		b.WriteString("a=" + candidate.ToJSON().Candidate + "\r\n")
	}
	b.WriteString("a=candidate:1 1 udp 1 3f2a.local 9 typ host\r\na=candidate:bad\r\na=end-of-candidates\r\n")
	return b.String()
}

// ICE restarts by PATCH while media flows: new credentials both ways, a new ETag, and the packets go on.
func TestRestart(t *testing.T) {
	for _, what := range []purpose{publish, play} {
		t.Run(what.String(), func(t *testing.T) {
			e := newEndpoint(t, nil)
			pub := e.publisher("obs", "/whip/room")
			viewer := e.player("ann", "/whep/room/obs-b")
			viewer.more("video", 10)
			c := pub
			if what == play {
				c = viewer
			}
			c.connected(1)
			for n := range 2 {
				c.restart()
				c.connected(n + 2)
			}
			viewer.more("video", 50)
			viewer.more("audio", 50)
		})
	}
}

// restart restarts ICE and takes the answer, which it checks.
func (c *client) restart() {
	c.t.Helper()
	c.mu.Lock()
	c.candidates = nil
	c.mu.Unlock()
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	r := c.endpoint.patch(c.location, c.token, "*", c.fragment())
	etag := r.Header.Get("ETag")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != typeFragment || etag == "" || etag == c.etag {
		c.t.Fatalf("restart: %d %q, ETag %q after %q, %s", r.StatusCode, r.Header.Get("Content-Type"), etag, c.etag, r.text)
	}
	if r := c.endpoint.patch(c.location, c.token, c.etag, c.fragment()); r.StatusCode != http.StatusPreconditionFailed {
		c.t.Errorf("trickle for the ICE session before: %d %s", r.StatusCode, r.text)
	}
	c.etag = etag
	f, err := parseFragment(r.text)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(f.candidates) == 0 || !f.ended || f.ufrag == "" || strings.Contains(c.answer, f.ufrag) {
		c.t.Fatalf("the answer to a restart is\n%s", r.text)
	}
	c.answer = replaceICE(c.answer, f)
	c.accept()
}

// replaceICE does to an answer what a client does after a restart.
func replaceICE(answer string, f *fragment) string {
	var b strings.Builder
	for line := range strings.Lines(answer) {
		switch name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "a="), ":"); name {
		case "ice-ufrag":
			line = "a=ice-ufrag:" + f.ufrag + "\r\n"
		case "ice-pwd":
			line = "a=ice-pwd:" + f.pwd + "\r\n"
		case "candidate":
			continue
		case "end-of-candidates":
			line = ""
			for _, c := range f.candidates {
				line += "a=" + c.line + "\r\n"
			}
			line += "a=end-of-candidates\r\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// An encoder has H264 of one profile, and no header extensions.
func TestH264(t *testing.T) {
	for _, fmtp := range []string{
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		"packetization-mode=1;profile-level-id=4d0032",
		"packetization-mode=1;profile-level-id=640c1f",
		"profile-level-id=42c01f", // single NAL units
	} {
		t.Run(fmtp, func(t *testing.T) {
			e := newEndpoint(t, nil)
			h264 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: fmtp}
			c := e.newClient("obs", webrtc.RTPCodecParameters{RTPCodecCapability: h264, PayloadType: 96})
			c.send(h264)
			c.begin("/whip/room", true)
			if !strings.Contains(c.answer, "a=fmtp:96 "+fmtp) {
				t.Errorf("the answer is\n%s", c.answer)
			}
			c.accept()
			viewer := e.player("ann", "/whep/room/obs-b")
			viewer.more("video", 20)
		})
	}
}

// Some encoders wait for the DTLS handshake to come to them.
func TestPassive(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.newClient("obs")
	c.send(vp8)
	r := e.post("/whip/room", "obs", strings.ReplaceAll(c.describe(true), "a=setup:actpass", "a=setup:passive"))
	if r.StatusCode != http.StatusCreated || !strings.Contains(r.text, "a=setup:active") || strings.Contains(r.text, "a=setup:passive") {
		t.Fatalf("%d %s", r.StatusCode, r.text)
	}
	c.answer = r.text
	c.accept()
	viewer := e.player("ann", "/whep/room/obs-b")
	viewer.more("video", 20)
}

// Who can decode nothing of what there is, is told so; who can decode the sound gets the sound.
func TestOtherCodec(t *testing.T) {
	e := newEndpoint(t, nil)
	e.publisher("obs", "/whip/room")
	probe := e.player("ann", "/whep/room/obs-b")
	probe.more("video", 1)
	probe.more("audio", 1)
	h264 := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "packetization-mode=1;profile-level-id=42e01f",
	}}
	sound := e.newClient("ben", h264, webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: opus})
	sound.receive()
	sound.begin("/whep/room/obs-b", true)
	sound.accept()
	sound.more("audio", 20)
	blind := e.newClient("eve", h264)
	if _, err := blind.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	check(t, e.post("/whep/room/obs-b", "eve", blind.describe(true)), 422, wire.CodeBadMessage)
}

// A publisher whose connection breaks leaves after a while, and so does one that never came.
func TestLost(t *testing.T) {
	e := newEndpoint(t, func(o *Options) { o.lostAfter = silence + 500*time.Millisecond })
	c := e.publisher("obs", "/whip/room")
	c.connected(1)
	e.post("/whip/room", "never", goodOffer)
	_ = c.socket.Close() // the server hears nothing more, not even a farewell
	eventually(t, "both have left", func() bool { return e.hall.taken() == 0 && e.handler.Sessions() == 0 })
	check(t, e.patch(c.location, "obs", c.etag, ""), 404, wire.CodeNotFound)
}

// A client that closes its connection in good order is gone at once.
func TestFarewell(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.publisher("obs", "/whip/room")
	eventually(t, "it is connected", func() bool { return c.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	viewer := e.player("ann", "/whep/room/obs-b")
	viewer.more("audio", 1)
	if err := c.pc.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has left", func() bool { return e.hall.taken() == 1 })
}

// A publisher whose microphone is muted is heard no more, and again when it may be.
func TestMuted(t *testing.T) {
	e := newEndpoint(t, nil)
	e.publisher("obs", "/whip/room")
	viewer := e.player("ann", "/whep/room/obs-b")
	viewer.more("audio", 10)
	seat := e.place("obs-b")
	seat.may <- []wire.Source{wire.Camera}
	eventually(t, "it is not heard", func() bool {
		before := len(viewer.got("audio"))
		viewer.more("video", 20)
		return len(viewer.got("audio")) == before
	})
	seat.may <- []wire.Source{wire.Camera, wire.Microphone}
	viewer.more("audio", 10)
}

// What is muted before it comes is not heard from its first packet on.
func TestMutedBefore(t *testing.T) {
	e := newEndpoint(t, nil)
	e.hall.muted = []wire.Source{wire.Camera}
	c := e.publisher("obs", "/whip/room")
	viewer := e.player("ann", "/whep/room/obs-b")
	viewer.more("video", 20)
	if n := len(viewer.got("audio")); n > 0 {
		t.Errorf("%d packets of sound", n)
	}
	// Muted or not, its connection may find another way.
	if r := e.patch(c.location, "obs", `"*"`, "a=ice-ufrag:wxyz\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"); r.StatusCode != 200 {
		t.Errorf("an ICE restart: %d %s", r.StatusCode, r.text)
	}
}

// A session ends a while after its token, unless a request has brought a better one.
func TestExpiry(t *testing.T) {
	const grace = 300 * time.Millisecond
	e := newEndpoint(t, func(o *Options) { o.expiryGrace = grace })
	soon := time.Now().Add(3 * time.Second) // two handshakes on a busy machine
	for _, user := range []string{"brief", "renewed"} {
		e.hall.expire(user, soon)
	}
	brief, renewed, player := e.publisher("brief", "/whip/room"), e.publisher("renewed", "/whip/room"), e.player("ann", "/whep/room/renewed-c")
	e.hall.expire("renewed", time.Now().Add(time.Hour))
	if r := e.patch(renewed.location, "renewed", renewed.etag, ""); r.StatusCode != 204 {
		t.Fatalf("%d %s", r.StatusCode, r.text)
	}
	eventually(t, "the brief one has left", func() bool { return e.hall.taken() == 2 })
	if early := time.Until(soon.Add(grace)); early > 0 {
		t.Errorf("it has left %v early", early)
	}
	check(t, e.patch(brief.location, "brief", brief.etag, ""), 404, wire.CodeNotFound)
	player.more("video", 20)
	if n := e.handler.Counted(Count{"WHIP", Expired}); n != 1 {
		t.Errorf("%d have expired", n)
	}
}

// Each request and each end is counted, by protocol.
func TestOutcomes(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.publisher("obs", "/whip/room")
	check(t, e.post("/whip/room", "expired", goodOffer), 401, wire.CodeUnauthorized)
	e.player("ann", "/whep/room/obs-b")
	if e.handler.Open("WHIP") != 1 || e.handler.Open("WHEP") != 1 {
		t.Errorf("%d publishers, %d players", e.handler.Open("WHIP"), e.handler.Open("WHEP"))
	}
	if r := e.do(http.MethodDelete, c.location, "obs", ""); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.text)
	}
	close(e.hall.only(t).gone)
	eventually(t, "the player has left", func() bool { return e.handler.Open("WHEP") == 0 && e.handler.Counted(Count{"WHEP", Removed}) == 1 })
	e.publisher("obs", "/whip/room")
	e.handler.Close()
	for count, want := range map[Count]uint64{
		{"WHIP", Refused}: 1, {"WHIP", Begun}: 2, {"WHIP", Deleted}: 1, {"WHIP", Closed}: 1, {"WHIP", Failed}: 0,
		{"WHEP", Begun}: 1, {"WHEP", Removed}: 1, {"RTMP", Begun}: 0,
	} {
		if got := e.handler.Counted(count); got != want {
			t.Errorf("%v: %d, want %d", count, got, want)
		}
	}
}

// Who is put out of the room is no longer heard.
func TestPutOut(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.publisher("obs", "/whip/room")
	close(e.hall.only(t).gone)
	eventually(t, "the session has ended", func() bool { return e.handler.Sessions() == 0 })
	check(t, e.patch(c.location, "obs", c.etag, ""), 404, wire.CodeNotFound)
}

// The server's end is the end of all sessions, and no other begins.
func TestClose(t *testing.T) {
	e := newEndpoint(t, nil)
	e.publisher("obs", "/whip/room")
	e.player("ann", "/whep/room/obs-b")
	e.handler.Close()
	if n := e.hall.taken(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	check(t, e.post("/whip/room", "obs", goodOffer), 503, wire.CodeUnavailable)
	if err := e.media.Close(); err != nil {
		t.Fatal(err)
	}
}

// A closed media server refuses, and the place is given back.
func TestMediaClosed(t *testing.T) {
	e := newEndpoint(t, nil)
	if err := e.media.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, e.post("/whip/room", "obs", goodOffer), 503, wire.CodeUnavailable)
}
