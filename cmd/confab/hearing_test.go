package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"confab/bots/voice/ogg"
	"confab/media/rtctest"
	"confab/signaling/wire"
)

// audioLevel is the header extension of RFC 6464.
const audioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

// opusOf reads the packets of an Ogg stream.
func opusOf(t *testing.T, stream io.Reader) (packets [][]byte) {
	t.Helper()
	for r := ogg.NewReader(stream); ; {
		packet, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Errorf("the stream of a segment: %v", err)
			return packets
		}
		packets = append(packets, slices.Clone(packet))
	}
}

// stenographer answers every transcription with a question, and gives away the packets that it got.
func stenographer(t *testing.T, segments chan<- [][]byte) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, _, err := r.FormFile("file")
		if err != nil || r.URL.Path != "/v1/audio/transcriptions" || r.FormValue("model") != "tiny" {
			t.Errorf("%s: %v, %v", r.URL, r.Form, err)
			return
		}
		segments <- opusOf(t, file)
		fmt.Fprint(w, `{"text":"Scribe, what did we decide?"}`)
	}))
}

// levelled is a connection that tells how loud its sound is.
func levelled(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	err := errors.Join(engine.RegisterDefaultCodecs(), engine.RegisterHeaderExtension(
		webrtc.RTPHeaderExtensionCapability{URI: audioLevel}, webrtc.RTPCodecTypeAudio))
	if err != nil {
		t.Fatal(err)
	}
	pc, err := rtctest.New(rtctest.Options{Media: engine})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

// speak sends packets of 20 ms in their time: silence, what is said, silence.
func speak(t *testing.T, pc *webrtc.PeerConnection, track *webrtc.TrackLocalStaticRTP, said [][]byte, quiet []byte) {
	t.Helper()
	extensions := pc.GetSenders()[0].GetParameters().HeaderExtensions
	of := slices.IndexFunc(extensions, func(e webrtc.RTPHeaderExtensionParameter) bool { return e.URI == audioLevel })
	if of < 0 {
		t.Fatalf("the SFU takes %v", extensions)
	}
	const before, after = 180, 45 // nobody is heard before they can know of it
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range before + len(said) + after {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 960}, Payload: quiet}
		level := byte(127)
		if n := i - before; n >= 0 && n < len(said) {
			p.Payload, level = said[n], 20
		}
		if err := p.SetExtension(uint8(extensions[of].ID), []byte{level}); err != nil {
			t.Fatal(err)
		}
		<-tick.C
		if err := track.WriteRTP(&p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHearing: in a whole server, what somebody says into a real connection comes to a transcription service as it was
// sent, packet for packet; its text is a caption, and a question that is answered in the chat.
func TestHearing(t *testing.T) {
	segments := make(chan [][]byte, 4)
	pen := stenographer(t, segments)
	defer pen.Close()
	file := filepath.Join(t.TempDir(), "bots.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "hearing: {url: %q, model: tiny}\n", pen.URL+"/v1"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, t.TempDir(), "--bots", file, "--log-level", "error")
	k, _ := enter(t, c, "call")
	for i, frame := range []string{
		`{"type":"bot-toggle","id":"0","room":"call","data":{"bot":"scribe","enabled":true}}`,
		`{"type":"bot-voice","id":"1","room":"call","data":{"bot":"scribe","hear":true}}`,
		`{"type":"media-state","id":"2","room":"call","data":{"microphone":true}}`,
	} {
		k.send(frame)
		if env := k.answer(fmt.Sprint(i)); env.Type != wire.KindAck {
			t.Fatalf("%s: %s", frame, env.Data)
		}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, string(wire.Microphone), "cast")
	if err != nil {
		t.Fatal(err)
	}
	pc := levelled(t)
	k.publishBy(pc, map[wire.Source]*webrtc.TrackLocalStaticRTP{wire.Microphone: track})

	sound, err := os.ReadFile(filepath.Join("..", "..", "bots", "voice", "testdata", "tone.ogg"))
	if err != nil {
		t.Fatal(err)
	}
	said, quiet := opusOf(t, bytes.NewReader(sound))[:100], []byte{0x78, 0xff, 0xfe}
	speak(t, pc, track, said, quiet)
	got := <-segments
	lead := slices.IndexFunc(got, func(p []byte) bool { return !bytes.Equal(p, quiet) })
	if lead < 10 || len(got) < lead+len(said)+10 || !slices.EqualFunc(got[lead:lead+len(said)], said, bytes.Equal) ||
		slices.ContainsFunc(got[lead+len(said):], func(p []byte) bool { return !bytes.Equal(p, quiet) }) {
		t.Errorf("%d packets came, %d of them before what was said", len(got), lead)
	}

	var caption wire.Caption
	env := k.until(func(env wire.Envelope) bool { return env.Type == wire.KindCaption })
	if err := json.Unmarshal(env.Data, &caption); err != nil || caption != (wire.Caption{Participant: k.self, Text: "Scribe, what did we decide?", Final: true}) {
		t.Errorf("%s, %v", env.Data, err)
	}
	var answer wire.ChatRecord
	env = k.until(func(env wire.Envelope) bool { return env.Type == wire.KindChat })
	if err := json.Unmarshal(env.Data, &answer); err != nil || answer.Run == nil || answer.Run.Bot != "scribe" || answer.Run.By.Name != "Ada" ||
		answer.Run.Prompt != caption.Text || answer.Text == "" {
		t.Errorf("%s, %v", env.Data, err)
	}
	_, metrics := do(t, http.MethodGet, c.url+"/metrics", "")
	for _, line := range []string{
		`confab_bot_heard_segments_total{outcome="written"} 1`, "confab_bot_heard_seconds_total 2.", "confab_bot_transcription_seconds_count 1",
		`confab_bot_provider_requests_total{outcome="ok",provider="hearing"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
	if err := c.terminate(t, os.Interrupt); err != nil {
		t.Error(err)
	}
}
