package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"confab/media/rtctest"
	"confab/signaling"
	"confab/signaling/wire"
)

// A stream is a WHIP publisher or a WHEP player with a PeerConnection of its own.
type stream struct {
	t        *testing.T
	pc       *webrtc.PeerConnection
	token    string
	location string
	audio    atomic.Int32 // packets that came
	video    atomic.Int32
}

func newStream(t *testing.T, token string) *stream {
	t.Helper()
	pc, err := rtctest.New(rtctest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	s := &stream{t: t, pc: pc, token: token}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		count := &s.audio
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			count = &s.video
		}
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			count.Add(1)
		}
	})
	return s
}

// send publishes sound and picture until the test ends.
func (s *stream) send() {
	s.t.Helper()
	for mime, sample := range map[string][]byte{webrtc.MimeTypeOpus: {0xfc, 0xff, 0xfe}, webrtc.MimeTypeVP8: {0x10, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0}} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime, "stream")
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			s.t.Fatal(err)
		}
		stop, ended := make(chan struct{}), make(chan struct{})
		s.t.Cleanup(func() { close(stop); <-ended })
		go func() {
			defer close(ended)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					_ = track.WriteSample(media.Sample{Data: sample, Duration: 20 * time.Millisecond}) // lost, as on any network
				}
			}
		}()
	}
}

// receive prepares to play.
func (s *stream) receive() {
	s.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := s.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// begin offers and takes the answer. It returns the status.
func (s *stream) begin(url string) int {
	s.t.Helper()
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(offer); err != nil {
		s.t.Fatal(err)
	}
	<-gathered
	status, head, body := s.request(http.MethodPost, url, s.pc.LocalDescription().SDP)
	if status != http.StatusCreated {
		return status
	}
	s.location = url[:strings.Index(url, "/wh")] + head.Get("Location")
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body}); err != nil {
		s.t.Fatal(err)
	}
	return status
}

func (s *stream) request(method, url, body string) (int, http.Header, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/sdp")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// more waits for n more packets.
func (s *stream) more(of *atomic.Int32, n int32) {
	s.t.Helper()
	before := of.Load()
	within(s.t, "packets arrive", func() bool { return of.Load() >= before+n })
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// mintFor makes a token of some role that ends at some time.
func mintFor(t *testing.T, user string, role wire.Role, expires time.Time, rooms ...string) string {
	t.Helper()
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Mint(signaling.Claims{
		User: wire.UserID(user), Name: "The " + user, Role: role, Grants: signaling.RoleGrants(role), Rooms: rooms, ExpiresAt: expires,
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// presence waits for a change of who is there.
func (k *talker) presence(event wire.PresenceEvent) wire.Presence {
	k.t.Helper()
	var body wire.Presence
	k.until(func(env wire.Envelope) bool {
		return env.Type == wire.KindPresence && json.Unmarshal(env.Data, &body) == nil && body.Event == event
	})
	return body
}

// mediaState waits until somebody's is as it should be.
func (k *talker) mediaState(of wire.ParticipantID, want wire.Media) {
	k.t.Helper()
	k.until(func(env wire.Envelope) bool {
		var got wire.Media
		return env.Type == wire.KindMediaState && env.From == of && json.Unmarshal(env.Data, &got) == nil && got == want
	})
}

// silent reports, to one who asks every 10 ms, when nothing has come for 300 ms, the time of 15 packets.
func silent(of *atomic.Int32) func() bool {
	last, same := of.Load(), 0
	return func() bool {
		now := of.Load()
		if same++; now != last {
			last, same = now, 0
		}
		return same == 30
	}
}

// An encoder comes by WHIP: the room sees it and what it sends, a player hears and sees it by WHEP, and a moderator
// may mute it, take its grants away and put it out.
func TestEncoder(t *testing.T) {
	c := start(t, t.TempDir(), "--auth-secret", testSecret)
	later := time.Now().Add(time.Hour)
	ann := dialTalker(t, c.url)
	ann.send(authFrame(mintFor(t, "ann", wire.RoleModerator, later, "*")))
	ann.send(`{"type":"join","id":"j","room":"show"}`)
	ann.until(func(env wire.Envelope) bool { return env.Type == wire.KindJoined })

	encoder := newStream(t, mintFor(t, "obs", wire.RoleMember, later, "show"))
	encoder.send()
	if status := encoder.begin(c.url + "/whip/show"); status != http.StatusCreated {
		t.Fatalf("WHIP: %d", status)
	}
	who := ann.presence(wire.PresenceJoined).Participant
	if who.Kind != wire.Ingress || who.Name != "The obs" || who.User != "obs" {
		t.Errorf("the encoder is %+v", who)
	}
	ann.mediaState(who.ID, wire.Media{Microphone: true, Camera: true})

	player := newStream(t, mintFor(t, "tv", wire.RoleViewer, later, "show"))
	player.receive()
	if status := player.begin(c.url + "/whep/show/" + string(who.ID)); status != http.StatusCreated {
		t.Fatalf("WHEP: %d", status)
	}
	player.more(&player.audio, 20)
	player.more(&player.video, 20)

	ann.send(`{"type":"moderate","room":"show","data":{"action":"mute","participant":"` + string(who.ID) + `","source":"microphone"}}`)
	ann.mediaState(who.ID, wire.Media{Camera: true})
	within(t, "the encoder is not heard", silent(&player.audio))
	player.more(&player.video, 20)
	again := newStream(t, mintFor(t, "obs", wire.RoleMember, later, "show"))
	again.send()
	if status := again.begin(c.url + "/whip/show"); status != http.StatusCreated {
		t.Fatalf("WHIP again: %d", status)
	}
	second := ann.presence(wire.PresenceJoined).Participant
	ann.mediaState(second.ID, wire.Media{Camera: true})
	ann.send(`{"type":"moderate","room":"show","data":{"action":"unmute","participant":"` + string(who.ID) + `"}}`)
	ann.mediaState(second.ID, wire.Media{Microphone: true, Camera: true}) // both are of one user
	player.more(&player.audio, 20)
	if status, _, _ := again.request(http.MethodDelete, again.location, ""); status != http.StatusOK {
		t.Errorf("DELETE: %d", status)
	}
	ann.presence(wire.PresenceLeft)
	ann.send(`{"type":"moderate","room":"show","data":{"action":"demote","participant":"` + string(who.ID) + `"}}`)
	within(t, "the encoder is not seen", silent(&player.video))

	ann.send(`{"type":"moderate","room":"show","data":{"action":"kick","participant":"` + string(who.ID) + `"}}`)
	if left := ann.presence(wire.PresenceLeft); left.Participant.ID != who.ID {
		t.Errorf("%s has left", left.Participant.ID)
	}
	for _, s := range []*stream{encoder, player} {
		within(t, "the session has ended", func() bool {
			status, _, _ := s.request(http.MethodDelete, s.location, "")
			return status == http.StatusNotFound
		})
	}
	_, metrics := do(t, http.MethodGet, c.url+"/metrics", "")
	for _, line := range []string{
		`confab_whip_open_sessions{protocol="WHIP"} 0`, `confab_whip_sessions_total{outcome="begun",protocol="WHIP"} 2`,
		`confab_whip_sessions_total{outcome="deleted",protocol="WHIP"} 1`, `confab_whip_sessions_total{outcome="removed",protocol="WHIP"} 1`,
		`confab_whip_sessions_total{outcome="removed",protocol="WHEP"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
	if status, _, _ := player.request(http.MethodPost, c.url+"/whep/show/"+string(who.ID), player.pc.LocalDescription().SDP); status != http.StatusNotFound {
		t.Errorf("playing who has left: %d", status)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v\n%s", err, c.err)
	}
}

// Tokens count as they do for the socket, and DELETE is leaving.
func TestEncoderTokens(t *testing.T) {
	c := start(t, t.TempDir(), "--auth-secret", testSecret)
	later := time.Now().Add(time.Hour)
	for name, bad := range map[string]struct {
		token string
		want  int
	}{
		"none":    {"", http.StatusUnauthorized},
		"garbage": {"garbage", http.StatusUnauthorized},
		"expired": {mintFor(t, "obs", wire.RoleMember, time.Now().Add(-time.Minute), "show"), http.StatusUnauthorized},
		"room":    {mintFor(t, "obs", wire.RoleMember, later, "other"), http.StatusForbidden},
		"viewer":  {mintFor(t, "obs", wire.RoleViewer, later, "show"), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(t, bad.token)
			s.send()
			if got := s.begin(c.url + "/whip/show"); got != bad.want {
				t.Errorf("%d; want %d", got, bad.want)
			}
		})
	}
	ann := newTalker(t, c.url, "ann", "show")
	s := newStream(t, mintFor(t, "obs", wire.RoleMember, later, "sh*"))
	s.send()
	if got := s.begin(c.url + "/whip/show?source=screen"); got != http.StatusCreated {
		t.Fatalf("%d", got)
	}
	ann.mediaState(ann.presence(wire.PresenceJoined).Participant.ID, wire.Media{Screen: true})
	if status, _, _ := s.request(http.MethodDelete, s.location, ""); status != http.StatusOK {
		t.Errorf("DELETE: %d", status)
	}
	if left := ann.presence(wire.PresenceLeft); left.Reason != "left" || left.Participant.Kind != wire.Ingress {
		t.Errorf("%+v", left)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v\n%s", err, c.err)
	}
}

// Without an SFU there is nothing to publish to.
func TestEncoderWithoutSFU(t *testing.T) {
	c := start(t, t.TempDir(), "--auth-secret", testSecret, "--sfu", "off")
	s := newStream(t, mintFor(t, "obs", wire.RoleMember, time.Now().Add(time.Hour), "show"))
	s.send()
	if got := s.begin(c.url + "/whip/show"); got != http.StatusNotFound {
		t.Errorf("%d", got)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v\n%s", err, c.err)
	}
}
