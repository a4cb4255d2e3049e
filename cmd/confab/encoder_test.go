package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"confab/signaling/wire"
)

// A program of the distribution under way, with what it writes.
type program struct {
	*exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// launch starts a program that ends with the test.
func launch(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(name, args...)}
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // unless it has ended
		_ = p.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.out.String())
		}
	})
	return p
}

const gstreamerEncoder = "testdata/encoder.py"

// needGStreamer returns a Python that can run gstreamerEncoder. The packages are Debian's names.
func needGStreamer(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, gstreamerEncoder, "--check").Run() == nil {
			return python
		}
	}
	t.Skip("GStreamer is missing: python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-good")
	return ""
}

// TestGStreamer has GStreamer's webrtcbin, with an ICE, DTLS and SRTP of its own, publish by WHIP, a moderator mute it, and
// leave by DELETE.
func TestGStreamer(t *testing.T) {
	python := needGStreamer(t)
	c := start(t, t.TempDir(), "--auth-secret", testSecret)
	later := time.Now().Add(time.Hour)
	ann := dialTalker(t, c.url)
	ann.send(authFrame(mintFor(t, "ann", wire.RoleModerator, later, "*")))
	ann.send(`{"type":"join","id":"j","room":"show"}`)
	ann.until(func(env wire.Envelope) bool { return env.Type == wire.KindJoined })

	encoder := launch(t, python, gstreamerEncoder, c.url+"/whip/show", mintFor(t, "obs", wire.RoleMember, later, "show"))
	who := ann.presence(wire.PresenceJoined).Participant
	ann.mediaState(who.ID, wire.Media{Microphone: true, Camera: true})
	player := newStream(t, mintFor(t, "tv", wire.RoleViewer, later, "show"))
	player.receive()
	if status := player.begin(c.url + "/whep/show/" + string(who.ID)); status != http.StatusCreated {
		t.Fatalf("WHEP: %d", status)
	}
	player.more(&player.audio, 50)
	player.more(&player.video, 20)
	ann.send(`{"type":"moderate","room":"show","data":{"action":"mute","participant":"` + string(who.ID) + `"}}`)
	within(t, "the encoder is not heard", silent(&player.audio))
	player.more(&player.video, 20)

	if err := encoder.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if left := ann.presence(wire.PresenceLeft); left.Participant.ID != who.ID || left.Reason != "left" {
		t.Errorf("%+v", left)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v\n%s", err, c.err)
	}
}
