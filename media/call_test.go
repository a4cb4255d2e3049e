package media

import (
	"fmt"
	"sync"
	"testing"

	"confab/signaling/wire"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Each of three hears and sees both others, from a key frame on, with nothing missing, repeated or out of order.
func TestThreeParticipants(t *testing.T) {
	s := newTestServer(t, Limits{})
	ids := []wire.ParticipantID{"ann", "ben", "cem"}
	var clients []*client
	for _, id := range ids {
		c := join(t, s, "room", id, allGrants())
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.publish(wire.Camera, webrtc.MimeTypeVP8)
		c.do(func() { c.offer(nil) })
		clients = append(clients, c)
	}
	const enough = 150
	for _, c := range clients {
		for _, from := range ids {
			if from == c.id {
				continue
			}
			for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
				eventually(t, string(c.id)+" has "+string(source)+" of "+string(from), func() bool {
					return len(c.got(from, source)) >= enough
				})
				list := c.got(from, source)
				if err := checkUnbroken(list); err != nil {
					t.Errorf("%s, %s of %s: %v", c.id, source, from, err)
				}
				if source == wire.Camera && !codecVP8.startsKeyFrame(list[0].Payload) {
					t.Errorf("%s: the picture of %s does not begin with a key frame", c.id, from)
				}
			}
		}
		if len(c.got(c.id, wire.Camera)) > 0 {
			t.Errorf("%s sees itself", c.id)
		}
	}
}

// start joins a client that sends sound and picture.
func start(t testing.TB, s *Server, id wire.ParticipantID) (c *client, mic, cam *source) {
	c = join(t, s, "room", id, allGrants())
	mic, cam = c.publish(wire.Microphone, webrtc.MimeTypeOpus), c.publish(wire.Camera, webrtc.MimeTypeVP8)
	c.do(func() { c.offer(nil) })
	return c, mic, cam
}

// more waits until c has n more packets of a track than now.
func more(t testing.TB, c *client, from wire.ParticipantID, source wire.Source, n int) {
	t.Helper()
	before := len(c.got(from, source))
	eventually(t, string(c.id)+" has more of "+string(from)+"'s "+string(source), func() bool {
		return len(c.got(from, source)) >= before+n
	})
}

// negotiated waits until the server knows of n tracks of c's. Pion begins to send what an offer named that was taken
// back, which no browser does; so a source is muted until then.
func negotiated(t testing.TB, c *client, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s may send %d tracks", c.id, n), func() bool {
		known := 0
		if err := c.peer.call(t.Context(), func() error { known = len(c.peer.sendingMids); return nil }); err != nil {
			t.Fatal(err)
		}
		return known == n
	})
}

func unbroken(t testing.TB, c *client, from wire.ParticipantID, source wire.Source) {
	t.Helper()
	if err := checkUnbroken(c.got(from, source)); err != nil {
		t.Errorf("%s, %s of %s: %v", c.id, source, from, err)
	}
}

// Both share a screen at the same moment: each offers while the server has to offer the other's, and all arrives.
func TestScreensCross(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ann, "ben", wire.Camera, 20)
	more(t, ben, "ann", wire.Camera, 20)
	var screens []*source
	for _, c := range []*client{ann, ben} {
		screens = append(screens, c.publishMuted(wire.Screen, webrtc.MimeTypeVP8), c.publishMuted(wire.ScreenAudio, webrtc.MimeTypeOpus))
		c.do(func() { c.offer(nil) })
	}
	negotiated(t, ann, 4)
	negotiated(t, ben, 4)
	for _, src := range screens {
		src.muted.Store(false)
	}
	for _, source := range wire.Sources {
		more(t, ann, "ben", source, 50)
		more(t, ben, "ann", source, 50)
		unbroken(t, ann, "ben", source)
		unbroken(t, ben, "ann", source)
	}
}

// An offer of the server's that meets one of the client's wins, and the client's follows.
func TestGlare(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ann, "ben", wire.Camera, 20)
	more(t, ben, "ann", wire.Camera, 20)
	// The server's offer is under way before ben's is looked at.
	screen := ben.publishMuted(wire.Screen, webrtc.MimeTypeVP8)
	held := make(chan struct{})
	ben.do(func() { <-held })
	if err := ben.peer.call(t.Context(), func() error {
		ben.peer.needOffer = true
		ben.peer.offer()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	taken := make(chan func(), 1)
	taken <- <-ben.Work() // the server's offer, which comes after ben's own
	ben.do(func() { ben.offer(nil) })
	ben.do(<-taken)
	close(held)
	negotiated(t, ben, 3)
	screen.muted.Store(false)
	more(t, ann, "ben", wire.Screen, 50)
	unbroken(t, ann, "ben", wire.Screen)
	unbroken(t, ben, "ann", wire.Camera)
	if n := ben.Counts().Rolled; n != 1 {
		t.Errorf("ben took back %d offers", n)
	}
}

// A muted source is silent, and goes on where it was.
func TestMute(t *testing.T) {
	s := newTestServer(t, Limits{})
	_, mic, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Camera, 20)
	more(t, ben, "ann", wire.Microphone, 20)
	mic.muted.Store(true)
	cam.muted.Store(true)
	more(t, ben, "ann", wire.Camera, 0)
	last := cam.sent.Load()
	eventually(t, "the last picture", func() bool {
		list := ben.got("ann", wire.Camera)
		return counter(list[len(list)-1])+1 >= last
	})
	mic.muted.Store(false)
	cam.muted.Store(false)
	more(t, ben, "ann", wire.Camera, 20)
	more(t, ben, "ann", wire.Microphone, 20)
	unbroken(t, ben, "ann", wire.Camera)
	unbroken(t, ben, "ann", wire.Microphone)
}

// A source whose section goes inactive ends for the others, and comes back on the same section.
func TestUnpublish(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	screen := ann.publish(wire.Screen, webrtc.MimeTypeVP8)
	ann.do(func() { ann.offer(nil) })
	more(t, ben, "ann", wire.Screen, 20)
	sender := screen.rtp.Sender()
	ann.do(func() {
		if err := ann.pc.RemoveTrack(sender); err != nil {
			t.Error(err)
		}
		ann.offer(nil)
	})
	eventually(t, "ben is told that the screen has ended", func() bool {
		for _, label := range ben.Theirs() {
			if label.Source == wire.Screen {
				return false
			}
		}
		return true
	})
	ann.publish(wire.Screen, webrtc.MimeTypeVP8)
	ann.do(func() { ann.offer(nil) })
	more(t, ben, "ann", wire.Screen, 20)
	more(t, ben, "ann", wire.Camera, 20)
	unbroken(t, ben, "ann", wire.Camera)
	if n := len(*ben.peer.sending.Load()); n != 3 {
		t.Errorf("%d sections to ben; the screen's was not used again", n)
	}
}

// Who comes late gets a picture from what is kept: the publisher is asked for no key frame, or for one at most.
func TestLateJoiner(t *testing.T) {
	s := newTestServer(t, Limits{})
	_, _, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Camera, 100)
	cam.muted.Store(true) // or else the key frame is too far back on a machine that takes long to join
	before := cam.keys.Load()
	var late []*client
	for _, id := range []wire.ParticipantID{"cem", "dan", "eve"} {
		c := join(t, s, "room", id, allGrants())
		late = append(late, c)
		more(t, c, "ann", wire.Camera, 50)
		if list := c.got("ann", wire.Camera); !codecVP8.startsKeyFrame(list[0].Payload) {
			t.Errorf("%s does not begin with a key frame", id)
		}
	}
	if asked := cam.keys.Load() - before; asked != 0 {
		t.Errorf("the publisher was asked for %d key frames", asked)
	}
	cam.muted.Store(false)
	for _, c := range late {
		more(t, c, "ann", wire.Camera, 50)
		unbroken(t, c, "ann", wire.Camera)
	}
}

// What is lost on the way to the server or from it comes again.
func TestLoss(t *testing.T) {
	const oneIn, enough = 20, 600
	for name, lossy := range map[string]func(ann, ben *client){
		"publisher":  func(ann, _ *client) { ann.link.dropOut.Store(oneIn) },
		"subscriber": func(_, ben *client) { ben.link.dropIn.Store(oneIn) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, Limits{})
			ann, _, _ := start(t, s, "ann")
			ben := join(t, s, "room", "ben", allGrants())
			lossy(ann, ben)
			more(t, ben, "ann", wire.Camera, enough)
			seen := map[uint32]int{}
			var newest uint32
			list := ben.got("ann", wire.Camera)
			for _, p := range list {
				if len(p.Payload) > 0 {
					seen[counter(p)]++
					newest = max(newest, counter(p))
				}
			}
			missing, repeated := 0, 0
			const underway = 60 // the newest may still be on the way
			for n := counter(list[0]); n+underway < newest; n++ {
				switch {
				case seen[n] == 0:
					missing++
				case seen[n] > 1:
					repeated++
				}
			}
			t.Logf("%d packets, %d missing, %d repeated", len(list), missing, repeated)
			if missing > 0 {
				t.Errorf("%d packets were not repaired", missing)
			}
			if repeated > len(list)/10 {
				t.Errorf("%d packets came more than once", repeated)
			}
		})
	}
}

// One who leaves and comes again under a new id is seen again, and sees the others.
func TestRejoin(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben-1")
	more(t, ann, "ben-1", wire.Camera, 20)
	more(t, ben, "ann", wire.Camera, 20)
	ben.close()
	again, _, _ := start(t, s, "ben-2")
	more(t, ann, "ben-2", wire.Camera, 20)
	more(t, again, "ann", wire.Camera, 20)
	unbroken(t, ann, "ben-2", wire.Camera)
	unbroken(t, again, "ann", wire.Camera)
	if n := len(*ann.peer.sending.Load()); n != 2 {
		t.Errorf("%d sections to ann; the old ones were not used again", n)
	}
	if list := again.got("ann", wire.Camera); !codecVP8.startsKeyFrame(list[0].Payload) {
		t.Error("the picture does not begin with a key frame")
	}
}

// An ICE restart by the client's offer keeps all tracks.
func TestICERestart(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ann, "ben", wire.Camera, 20)
	more(t, ben, "ann", wire.Camera, 20)
	before := ben.pc.RemoteDescription().SDP
	ben.do(func() {
		ben.Generation++
		ben.offer(&webrtc.OfferOptions{ICERestart: true})
	})
	eventually(t, "new credentials and all candidates", func() bool {
		return ben.pc.RemoteDescription().SDP != before && ben.Counts().Ends >= 2
	})
	eventually(t, "a connection", func() bool { return ben.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
	more(t, ann, "ben", wire.Camera, 100)
	more(t, ben, "ann", wire.Camera, 100)
	more(t, ben, "ann", wire.Microphone, 20)
	if err := ben.peer.Err(); err != nil {
		t.Error(err)
	}
}

// What is turned off stops, and goes on without a hole when it is turned on again, the picture with a key frame.
func TestSubscribe(t *testing.T) {
	s := newTestServer(t, Limits{})
	_, _, cam := start(t, s, "ann")
	ben := join(t, s, "room", "ben", allGrants())
	set := func(source wire.Source, on bool) {
		t.Helper()
		if err := ben.peer.Subscribe(t.Context(), wire.SubscribeMedia{Participant: "ann", Source: source, Enabled: on}); err != nil {
			t.Fatal(err)
		}
	}
	set(wire.Microphone, false)
	more(t, ben, "ann", wire.Camera, 50)
	set(wire.Camera, false)
	set(wire.Microphone, true)
	more(t, ben, "ann", wire.Microphone, 50)
	paused := len(ben.got("ann", wire.Camera))
	more(t, ben, "ann", wire.Microphone, 20)
	if got := len(ben.got("ann", wire.Camera)); got != paused {
		t.Errorf("%d packets of a track that is off", got-paused)
	}
	cam.needed.Store(true)
	more(t, ben, "ann", wire.Microphone, 5)
	set(wire.Camera, true)
	more(t, ben, "ann", wire.Camera, 50)
	list := ben.got("ann", wire.Camera)
	if !codecVP8.startsKeyFrame(list[paused].Payload) {
		t.Error("the picture does not go on with a key frame")
	}
	for i := 1; i < len(list); i++ {
		before, _ := parseVP8(list[i-1].Payload)
		after, _ := parseVP8(list[i].Payload)
		if list[i].SequenceNumber != list[i-1].SequenceNumber+1 || after.pid != (before.pid+1)&0x7fff ||
			int32(list[i].Timestamp-list[i-1].Timestamp) <= 0 {
			t.Fatalf("packet %d: number %d after %d, picture %d after %d", i, list[i].SequenceNumber, list[i-1].SequenceNumber, after.pid, before.pid)
		}
	}
}

// The server's own RTCP: transport-wide feedback and receiver reports towards who sends, sender reports with one
// clock for both tracks towards who receives.
func TestReports(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, mic, cam := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Camera, 20)
	defer func() {
		t.Logf("%d feedback, %d and %d reports", ann.twcc.Load(), mic.reports.Load(), cam.reports.Load())
	}()
	eventually(t, "feedback and reports", func() bool {
		return ann.twcc.Load() > 3 && mic.reports.Load() > 0 && cam.reports.Load() > 0
	})
	eventually(t, "sender reports for both tracks", func() bool {
		ben.mu.Lock()
		defer ben.mu.Unlock()
		return len(ben.reports) == 2
	})
	ben.mu.Lock()
	defer ben.mu.Unlock()
	var clocks []uint64
	for _, report := range ben.reports {
		sr := report.(*rtcp.SenderReport)
		clocks = append(clocks, sr.NTPTime)
		if sr.PacketCount == 0 || sr.OctetCount == 0 {
			t.Errorf("%+v", sr)
		}
	}
	if apart := int64(clocks[0]-clocks[1]) >> 32; apart < -2 || apart > 2 {
		t.Errorf("the clocks are %d s apart", apart)
	}
}

// Each codec is forwarded, also to a client that has other payload types for it.
func TestCodecs(t *testing.T) {
	for _, c := range []struct {
		mime, key, delta string
	}{
		{webrtc.MimeTypeVP9, "8c 80 2a 18 02 80 02 e0 49 83 42", "cc 80 2b 86 00"},
		{webrtc.MimeTypeH264, "78 00 04 67 42 c0 1f 00 04 68 ce 3c 80", "41 9a 00 10"},
		{webrtc.MimeTypeAV1, "18 0a 0b 00 00 00", "10 32 00 00"},
	} {
		t.Run(c.mime, func(t *testing.T) {
			s := newTestServer(t, Limits{})
			ann := join(t, s, "room", "ann", allGrants())
			ann.publishRaw(wire.Screen, c.mime, unhex(t, c.key), unhex(t, c.delta), false)
			ann.do(func() { ann.offer(nil) })
			ben := joinFrom(t, s, "room", "ben", allGrants(), func(_ *webrtc.SettingEngine, media *webrtc.MediaEngine) {
				shiftPayloadTypes(t, media)
			})
			mic := ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
			ben.do(func() { ben.offer(nil) })
			ben.link.dropIn.Store(20)
			more(t, ben, "ann", wire.Screen, 200)
			more(t, ann, "ben", wire.Microphone, 20)
			list := ben.got("ann", wire.Screen)
			if key := kindOfCodec(c.mime); !key.startsKeyFrame(list[0].Payload) {
				t.Errorf("begins with %x", list[0].Payload)
			}
			want, _ := codecOf(ben, c.mime)
			for _, p := range list {
				if p.PayloadType != want {
					t.Fatalf("payload type %d, want %d", p.PayloadType, want)
				}
			}
			if mic.sent.Load() == 0 {
				t.Error("no sound")
			}
		})
	}
}

// shiftPayloadTypes registers codecs under numbers like Firefox's, unlike the server's.
func shiftPayloadTypes(t testing.TB, media *webrtc.MediaEngine) {
	t.Helper()
	next := webrtc.PayloadType(112)
	for _, mime := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeVP9, webrtc.MimeTypeH264, webrtc.MimeTypeAV1} {
		params := webrtc.RTPCodecParameters{PayloadType: next, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: videoClock}}
		kind := webrtc.RTPCodecTypeVideo
		switch mime {
		case webrtc.MimeTypeOpus:
			params.ClockRate, params.Channels, kind = 48000, 2, webrtc.RTPCodecTypeAudio
		case webrtc.MimeTypeVP9:
			params.SDPFmtpLine = "profile-id=0"
		case webrtc.MimeTypeH264:
			params.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
		}
		rtx := webrtc.RTPCodecParameters{PayloadType: next + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: videoClock, SDPFmtpLine: fmt.Sprintf("apt=%d", next),
		}}
		if err := media.RegisterCodec(params, kind); err != nil {
			t.Fatal(err)
		}
		if kind == webrtc.RTPCodecTypeVideo {
			if err := media.RegisterCodec(rtx, kind); err != nil {
				t.Fatal(err)
			}
		}
		next += 2
	}
}

// codecOf returns the payload type under which a client receives a codec.
func codecOf(c *client, mime string) (uint8, bool) {
	for _, receiver := range c.pc.GetReceivers() {
		if track := receiver.Track(); track != nil && track.Codec().MimeType == mime {
			return uint8(track.PayloadType()), true
		}
	}
	return 0, false
}

// Many come and go at once; who stays keeps being heard and seen, and nothing is left of the others.
func TestChurn(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	var visitors sync.WaitGroup
	for i := range 4 {
		visitors.Go(func() {
			for n := range 4 {
				c, _, _ := start(t, s, wire.ParticipantID(fmt.Sprintf("visitor-%d-%d", i, n)))
				eventually(t, "a picture of ann", func() bool { return len(c.got("ann", wire.Camera)) > 10 })
				c.close()
			}
		})
	}
	visitors.Wait()
	stay, _, _ := start(t, s, "stay")
	more(t, stay, "ann", wire.Camera, 20)
	more(t, ann, "stay", wire.Camera, 20)
	eventually(t, "only two are sent", func() bool {
		used := 0
		for _, e := range *ann.peer.sending.Load() {
			if e.want.Load() != nil {
				used++
			}
		}
		return used == 2 && s.rooms["room"].size() == 2
	})
	if n := len(*ann.peer.sending.Load()); n > 16 {
		t.Errorf("%d sections to ann: they are not used again", n)
	}
}
