package media

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A basin is a sink that keeps everything.
type basin struct {
	refuse wire.Source
	hold   chan struct{} // nil = never blocks

	mu     sync.Mutex
	tracks []*basinTrack // guarded by mu
}

type basinTrack struct {
	TapTrack
	basin   *basin
	packets []rtp.Packet // guarded by basin.mu
	level   int          // of the packet that comes next, -1 = it was not told; guarded by basin.mu
	levels  []int        // of packets; guarded by basin.mu
	reports int          // guarded by basin.mu
	closed  bool         // guarded by basin.mu
}

func (b *basin) Track(t TapTrack) TapWriter {
	if t.Source == b.refuse {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	track := &basinTrack{TapTrack: t, basin: b, level: -1}
	b.tracks = append(b.tracks, track)
	return track
}

func (t *basinTrack) Write(packet []byte, _ time.Time) {
	if t.basin.hold != nil {
		<-t.basin.hold
	}
	t.basin.mu.Lock()
	defer t.basin.mu.Unlock()
	var p rtp.Packet
	if err := p.Unmarshal(slices.Clone(packet)); err == nil {
		t.packets = append(t.packets, p)
		t.levels = append(t.levels, t.level)
	}
	t.level = -1
}

func (t *basinTrack) Level(level uint8) {
	t.basin.mu.Lock()
	defer t.basin.mu.Unlock()
	t.level = int(level)
}

func (t *basinTrack) SenderReport(ntp uint64, _ uint32, at time.Time) {
	t.basin.mu.Lock()
	defer t.basin.mu.Unlock()
	if ntp != 0 && !at.IsZero() {
		t.reports++
	}
}

func (t *basinTrack) Close() {
	t.basin.mu.Lock()
	defer t.basin.mu.Unlock()
	t.closed = true
}

// find returns a copy of what the basin has of a track, false if it has none.
func (b *basin) find(participant wire.ParticipantID, source wire.Source) (basinTrack, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tracks {
		if t.Participant == participant && t.Source == source {
			c := *t
			c.packets, c.levels = slices.Clone(t.packets), slices.Clone(t.levels)
			return c, true
		}
	}
	return basinTrack{}, false
}

func (b *basin) wait(t *testing.T, participant wire.ParticipantID, source wire.Source, n int) basinTrack {
	t.Helper()
	var found basinTrack
	eventually(t, fmt.Sprintf("%d packets of %s of %s", n, source, participant), func() bool {
		found, _ = b.find(participant, source)
		return len(found.packets) >= n
	})
	return found
}

// TestTap reads tracks that are there before the tap, come after it and end before it, with nothing missing.
func TestTap(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, cam := start(t, s, "ann")
	eventually(t, "the picture of ann", func() bool { return cam.sent.Load() > 50 })
	b := &basin{refuse: wire.Screen}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	ben := join(t, s, "room", "ben", allGrants())
	ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
	ben.publish(wire.Screen, webrtc.MimeTypeVP8)
	ben.do(func() { ben.offer(nil) })
	other := join(t, s, "elsewhere", "cem", allGrants())
	other.publish(wire.Microphone, webrtc.MimeTypeOpus)
	other.do(func() { other.offer(nil) })

	for _, want := range []struct {
		participant wire.ParticipantID
		source      wire.Source
		codec       string
		clock       uint32
	}{
		{"ann", wire.Microphone, "opus", 48000}, {"ann", wire.Camera, "VP8", 90000}, {"ben", wire.Microphone, "opus", 48000},
	} {
		got := b.wait(t, want.participant, want.source, 200)
		if err := checkUnbroken(got.packets); err != nil {
			t.Errorf("%s of %s: %v", want.source, want.participant, err)
		}
		if got.Codec != want.codec || got.ClockRate != want.clock {
			t.Errorf("%s of %s: %s with %d", want.source, want.participant, got.Codec, got.ClockRate)
		}
	}
	eventually(t, "a sender report", func() bool {
		got, _ := b.find("ann", wire.Camera)
		return got.reports > 0
	})
	picture, _ := b.find("ann", wire.Camera)
	before := cam.keys.Load()
	picture.RequestKey()
	eventually(t, "a request for a key frame", func() bool { return cam.keys.Load() > before })

	ann.close()
	eventually(t, "the end of what ann sent", func() bool {
		got, _ := b.find("ann", wire.Microphone)
		return got.closed
	})
	if got, _ := b.find("ben", wire.Microphone); got.closed {
		t.Error("ben's track has ended with ann's")
	}
	stop()
	if got, _ := b.find("ben", wire.Microphone); !got.closed {
		t.Error("ben's track goes on after the tap")
	}
	if _, ok := b.find("ben", wire.Screen); ok {
		t.Error("a track that was not wanted")
	}
	if _, ok := b.find("cem", wire.Microphone); ok {
		t.Error("a track of another room")
	}
}

// TestTapOfH264 hears of the parameter sets that are in the publisher's SDP.
func TestTapOfH264(t *testing.T) {
	const sets = "sprop-parameter-sets=Z0IAH5WoFAFuQA==,aM48gA=="
	s := newTestServer(t, Limits{})
	b := &basin{}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ann := joinFrom(t, s, "room", "ann", allGrants(), func(_ *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		h264 := webrtc.RTPCodecParameters{PayloadType: 102, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;" + sets,
		}}
		if err := media.RegisterCodec(h264, webrtc.RTPCodecTypeVideo); err != nil {
			t.Fatal(err)
		}
	})
	ann.publishRaw(wire.Camera, webrtc.MimeTypeH264, []byte{0x65, 0x88, 1, 2}, []byte{0x61, 0x88, 1, 2}, false)
	ann.do(func() { ann.offer(nil) })
	if got := b.wait(t, "ann", wire.Camera, 5); !strings.Contains(got.Parameters, sets) {
		t.Errorf("%s: %q", got.Codec, got.Parameters)
	}
}

// TestTapThatBlocks misses packets itself; the participants do not.
func TestTapThatBlocks(t *testing.T) {
	s := newTestServer(t, Limits{})
	_, _, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	b := &basin{hold: make(chan struct{})}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	at := cam.sent.Load()
	eventually(t, "more packets than the ring holds", func() bool { return cam.sent.Load() > at+videoSlots+100 })
	if err := checkUnbroken(ben.got("ann", wire.Camera)); err != nil {
		t.Error(err)
	}
	close(b.hold)
	stop()
	got, _ := b.find("ann", wire.Camera)
	if n := len(got.packets); n == 0 || n > int(cam.sent.Load())-50 {
		t.Errorf("%d packets of %d after it had blocked", n, cam.sent.Load())
	}
}

// TestTapTellsLevels: how loud packets of sound are, and nothing of pictures.
func TestTapTellsLevels(t *testing.T) {
	s := newTestServer(t, Limits{})
	b := &basin{}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_, mic, _ := start(t, s, "ann")
	has := func(level int) func() bool {
		return func() bool {
			got, _ := b.find("ann", wire.Microphone)
			return slices.Contains(got.levels, level)
		}
	}
	eventually(t, "silence", has(127))
	mic.level.Store(40)
	eventually(t, "a loud packet", has(40))
	got, _ := b.find("ann", wire.Microphone)
	if i := slices.Index(got.levels, 40); slices.Contains(got.levels[:i], -1) || slices.Contains(got.levels[i:], 127) {
		t.Errorf("the levels are %v", got.levels)
	}
	if picture := b.wait(t, "ann", wire.Camera, 10); slices.ContainsFunc(picture.levels, func(l int) bool { return l != -1 }) {
		t.Errorf("a picture is as loud as %v", picture.levels)
	}
}

// TestTapOfClosedServer ends with the server.
func TestTapOfClosedServer(t *testing.T) {
	s := newTestServer(t, Limits{})
	start(t, s, "ann")
	b := &basin{}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	b.wait(t, "ann", wire.Camera, 10)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got, _ := b.find("ann", wire.Camera); !got.closed {
		t.Error("the track goes on")
	}
	stop() // harmless
	if _, err := s.Tap("room", b); !errors.Is(err, ErrClosed) {
		t.Errorf("a tap of a closed server: %v", err)
	}
}

// TestTapFollowsTheLargestLayer reads the largest simulcast layer that comes, although nobody shows it, and each change
// begins with a key frame.
func TestTapFollowsTheLargestLayer(t *testing.T) {
	s := newTestServer(t, Limits{})
	b := &basin{}
	stop, err := s.Tap("room", b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ann := join(t, s, "room", "ann", allGrants())
	layers := ann.publishSimulcast("q", "h", "f")
	ann.do(func() { ann.offer(nil) })
	newest := func() (layer int, of rtp.Packet) {
		got, _ := b.find("ann", wire.Camera)
		if len(got.packets) == 0 {
			return -1, rtp.Packet{}
		}
		p := got.packets[len(got.packets)-1]
		return int(p.Payload[len(p.Payload)-5]), p
	}
	comes := func(want int) func() bool {
		return func() bool { layer, _ := newest(); return layer == want }
	}
	eventually(t, "the largest layer", comes(2))
	layers[2].paused.Store(true)
	eventually(t, "the middle layer", comes(1))
	layers[2].paused.Store(false)
	eventually(t, "the largest layer again", comes(2))

	got, _ := b.find("ann", wire.Camera)
	changes := 0
	for i, p := range got.packets {
		if i > 0 && p.SSRC == got.packets[i-1].SSRC {
			continue
		}
		changes++
		if d, ok := parseVP8(p.Payload); !ok || i > 0 && !d.key {
			t.Errorf("change %d begins with no key frame", changes)
		}
	}
	if changes < 3 || changes > 5 { // at first the layers come one after the other
		t.Errorf("%d layers were read", changes)
	}
}
