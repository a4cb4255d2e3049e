package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"confab/media/record"
	"confab/signaling/openapi/openapitest"
	"confab/signaling/wire"
)

// needFFmpeg fails where tests must run, and skips elsewhere.
func needFFmpeg(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") != "" {
			t.Fatalf("%s is missing; task setup installs it", name)
		} else if err != nil {
			t.Skipf("%s is missing; task setup installs it", name)
		}
	}
}

// A caster is a participant that publishes what ffmpeg sends in its time.
type caster struct {
	*talker
	room string
	self wire.ParticipantID
}

// publish negotiates tracks with the SFU and waits until they are connected.
func (c *caster) publish(tracks map[wire.Source]*webrtc.TrackLocalStaticRTP) {
	c.t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.publishBy(pc, tracks)
}

// publishBy is publish by a connection of the test's own, which ends with it.
func (c *caster) publishBy(pc *webrtc.PeerConnection, tracks map[wire.Source]*webrtc.TrackLocalStaticRTP) {
	c.t.Helper()
	c.t.Cleanup(func() { _ = pc.GracefulClose() })
	connected := make(chan struct{}, 1)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			connected <- struct{}{}
		}
	})
	for _, track := range tracks {
		if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			c.t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	labels := map[string]wire.TrackLabel{}
	for _, tr := range pc.GetTransceivers() {
		labels[tr.Mid()] = wire.TrackLabel{Participant: c.self, Source: wire.Source(tr.Sender().Track().ID())}
	}
	signal, _ := json.Marshal(wire.Signal{
		Description: &wire.SessionDescription{Type: "offer", SDP: pc.LocalDescription().SDP}, Tracks: labels,
	})
	c.send(fmt.Sprintf(`{"type":"webrtc-signal","id":"offer","room":%q,"to":"sfu","data":%s}`, c.room, signal))
	for answered := false; !answered; {
		env := c.until(func(env wire.Envelope) bool { return env.Type == wire.KindSignal || env.Type == wire.KindError })
		var got wire.Signal
		if err := json.Unmarshal(env.Data, &got); err != nil || env.Type == wire.KindError {
			c.t.Fatalf("%s %s: %v", env.Type, env.Data, err)
		}
		if d := got.Description; d != nil && d.Type == "answer" {
			answered = true
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: d.SDP}); err != nil {
				c.t.Fatal(err)
			}
		}
		if len(got.Candidate) > 0 && string(got.Candidate) != "null" && answered {
			c.candidate(pc, got.Candidate)
		}
	}
	for {
		select {
		case <-connected:
			return
		default:
		}
		env := c.until(func(env wire.Envelope) bool { return env.Type == wire.KindSignal })
		var got wire.Signal
		if err := json.Unmarshal(env.Data, &got); err != nil {
			c.t.Fatal(err)
		}
		if string(got.Candidate) == "null" || len(got.Candidate) == 0 {
			break
		}
		c.candidate(pc, got.Candidate)
	}
	select {
	case <-connected:
	case <-time.After(patience):
		c.t.Fatal("no connection to the SFU")
	}
}

func (c *caster) candidate(pc *webrtc.PeerConnection, raw json.RawMessage) {
	c.t.Helper()
	var candidate webrtc.ICECandidateInit
	if err := json.Unmarshal(raw, &candidate); err != nil {
		c.t.Fatal(err)
	}
	if err := pc.AddICECandidate(candidate); err != nil {
		c.t.Fatal(err)
	}
}

// newTrack makes a track of what comes to a UDP port, which it returns.
func newTrack(t *testing.T, source wire.Source, mime string) (*webrtc.TrackLocalStaticRTP, int) {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, string(source), "cast")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 2048); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, _ = track.Write(buf[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return track, conn.LocalAddr().(*net.UDPAddr).Port
}

// cast has ffmpeg encode and send three seconds of picture and sound.
func cast(t *testing.T, video, audio int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-v", "error",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=3", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000:duration=3",
		"-map", "0:v", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "10", "-b:v", "300k",
		"-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d?pkt_size=1200", video),
		"-map", "1:a", "-c:a", "libopus", "-frame_duration", "20", "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d", audio))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
}

// enter joins a room as a guest; the first one moderates it.
func enter(t *testing.T, c *confab, room string) (*caster, string) {
	t.Helper()
	token := guestToken(t, c.url, room)
	k := &caster{talker: dialTalker(t, c.url), room: room}
	k.send(authFrame(token))
	k.answer("a")
	k.send(fmt.Sprintf(`{"type":"join","id":"j","room":%q}`, room))
	var joined wire.Joined
	if env := k.answer("j"); json.Unmarshal(env.Data, &joined) != nil {
		t.Fatalf("%s %s", env.Type, env.Data)
	}
	k.self = joined.Self.ID
	return k, token
}

func (c *caster) moderate(action wire.Action) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"type":"moderate","id":%q,"room":%q,"data":{"action":%q}}`, action, c.room, action))
	if env := c.answer(string(action)); env.Type != wire.KindAck {
		c.t.Fatalf("%s: %s %s", action, env.Type, env.Data)
	}
}

// TestRecord records a call in a whole server, downloads what it has recorded and decodes it; then the server is
// killed in the middle of another one.
func TestRecord(t *testing.T) {
	needFFmpeg(t)
	data := t.TempDir()
	c := start(t, data)
	k, token := enter(t, c, "show")
	k.moderate(wire.ActionRecord)
	camera, video := newTrack(t, wire.Camera, webrtc.MimeTypeVP8)
	microphone, audio := newTrack(t, wire.Microphone, webrtc.MimeTypeOpus)
	k.publish(map[wire.Source]*webrtc.TrackLocalStaticRTP{wire.Camera: camera, wire.Microphone: microphone})
	cast(t, video, audio)
	k.send(`{"type":"chat","id":"c","room":"show","data":{"text":"what a show"}}`)
	k.answer("c")
	k.moderate(wire.ActionStopRecording)
	_, metrics := do(t, http.MethodGet, c.url+"/metrics", "")
	for _, line := range []string{
		"confab_recordings_running 0", "confab_recordings_started_total 1", `confab_recordings_ended_total{reason="stopped"} 1`, `confab_recordings_ended_total{reason="failed"} 0`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}

	var list record.List
	fetch(t, c.url+"/api/v1/recordings?room=show", token, &list)
	if len(list.Recordings) != 1 || list.Recordings[0].Reason != record.Stopped {
		t.Fatalf("%+v", list)
	}
	var m record.Manifest
	base := c.url + "/api/v1/recordings/" + list.Recordings[0].ID
	fetch(t, base, token, &m)
	if len(m.Tracks) != 2 || m.Messages != 1 || len(m.Participants) != 1 || m.Participants[0].Name != "Ada" {
		t.Fatalf("%+v", m)
	}
	starts := map[wire.Source]int64{}
	for _, track := range m.Tracks {
		path := filepath.Join(t.TempDir(), track.File)
		if err := os.WriteFile(path, download(t, base+"/"+track.File, token), 0o600); err != nil {
			t.Fatal(err)
		}
		got, least := countFrames(t, path), map[wire.Source]int{wire.Camera: 64, wire.Microphone: 147}[track.Source]
		t.Logf("%s: %d frames from %d to %d ms", track.File, got, track.StartMs, track.EndMs)
		if got != track.Frames || got < least || track.Lost > 0 { // the first group of pictures may have come before the tap
			t.Errorf("%s: %d frames, want %d; %d in the manifest, %d packets lost", track.File, got, least, track.Frames, track.Lost)
		}
		starts[track.Source] = track.StartMs
	}
	if chat := download(t, base+"/"+m.Chat, token); !strings.Contains(string(chat), "what a show") {
		t.Errorf("chat: %s", chat)
	}
	if status := statusOf(t, http.MethodGet, base, guestToken(t, c.url, "show")); status != http.StatusNotFound {
		t.Errorf("another guest: %d", status)
	}
	if status := statusOf(t, http.MethodGet, base, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}

	k.moderate(wire.ActionRecord)
	if err := c.terminate(t, syscall.SIGKILL); err == nil {
		t.Error("it was not killed")
	}
	again := start(t, data)
	fetch(t, again.url+"/api/v1/recordings", token, &list)
	if len(list.Recordings) != 2 || list.Recordings[0].Reason != record.Interrupted && list.Recordings[1].Reason != record.Interrupted {
		t.Errorf("after a kill: %+v", list)
	}
	if status := statusOf(t, http.MethodDelete, again.url+"/api/v1/recordings/"+m.ID, token); status != http.StatusNoContent {
		t.Errorf("deleting: %d", status)
	}
	if _, err := os.Stat(filepath.Join(data, "recordings", m.ID)); !os.IsNotExist(err) {
		t.Errorf("deleted: %v", err)
	}
	if err := again.terminate(t, os.Interrupt); err != nil {
		t.Error(err)
	}
}

// TestRecordOff has no API and no recording.
func TestRecordOff(t *testing.T) {
	c := start(t, t.TempDir(), "--record", "off")
	k, token := enter(t, c, "show")
	k.send(`{"type":"moderate","id":"m","room":"show","data":{"action":"record"}}`)
	k.wantError("m", wire.CodeNotFound)
	if status := statusOf(t, http.MethodDelete, c.url+"/api/v1/recordings/x", token); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		t.Errorf("%d", status)
	}
	if err := c.terminate(t, os.Interrupt); err != nil {
		t.Error(err)
	}
}

func request(t *testing.T, method, url, token string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func statusOf(t *testing.T, method, url, token string) int {
	t.Helper()
	return request(t, method, url, token).StatusCode
}

func download(t *testing.T, url, token string) []byte {
	t.Helper()
	response := request(t, http.MethodGet, url, token)
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", url, response.StatusCode, err, b)
	}
	return b
}

func fetch(t *testing.T, url, token string, into any) {
	t.Helper()
	response := request(t, http.MethodGet, url, token)
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", url, response.StatusCode, err, body)
	}
	at := response.Request.URL
	doc := openapitest.Load(t, download(t, at.Scheme+"://"+at.Host+"/api/v1/openapi.json", ""))
	doc.Check(t, openapitest.Exchange{Request: response.Request, Response: response, Received: body})
}

// countFrames decodes a file. What the decoder complains about fails the test.
func countFrames(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command("ffprobe", "-v", "warning", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	n := 0
	if _, scan := fmt.Sscan(strings.TrimSuffix(strings.TrimSpace(string(out)), ","), &n); err != nil || scan != nil || complaints.Len() > 0 {
		t.Errorf("ffprobe %s: %v %q %s", filepath.Base(path), err, out, complaints.String())
	}
	return n
}
