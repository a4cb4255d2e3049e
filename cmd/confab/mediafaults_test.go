package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"confab/media/rtctest"
	"confab/signaling/wire"
)

const (
	mediaRoom = "call"
	// A packet takes milliseconds. More than this could only be that somebody else has held up the call.
	mediaBound = 2 * time.Second
	// Of sound there is no resending, and sockets of a machine under load drop a little of everything.
	soundLost = 0.02
)

var callSources = []wire.Source{wire.Microphone, wire.Camera}

// A scene is a real server with a call of three in it, against which something is done.
type scene struct {
	server  *confab
	room    []*caller // ann, ben and cem; the last only listens
	socket  *wiretap  // ann's
	resting []float64 // goroutines and live heap with the call going on
}

// TestMediaFaults does to the media port and by the socket what a broken or hostile client may do, while a call of three
// goes on in the same room. Nobody in it may lose a packet that can be had, or wait for one; the server may keep nothing
// of it; and who does it gets the code that the protocol names.
func TestMediaFaults(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--mesh-max", "0", "--connection-limit", "0", "--rate-limit", "0", "--log-level", "error")
	s := newScene(t, server)
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *scene)
	}{
		{"garbage of strangers", testStrangers},
		{"garbage from a known address", testKnownAddress},
		{"bad signals", testBadSignals},
		{"limits", testSignalLimits},
		{"RTCP of a participant", testHostileRTCP},
		{"RTP of a participant", testHostileRTP},
		{"layers that are not there", testMissingLayers},
		{"a receiver that is deaf", testDeafReceiver},
		{"a TCP receiver that does not read", testStalledTCP},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.begin(t)
			c.do(t, s)
			s.end(t)
		})
	}
	for _, c := range s.room {
		c.leave()
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	if log := server.err.String(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		t.Errorf("the server's log:\n%s", log)
	}
}

func newScene(t *testing.T, server *confab) *scene {
	t.Helper()
	socket, settings := newWiretap(t)
	s := &scene{server: server, socket: socket}
	s.room = []*caller{
		call(t, server.url, "ann", mediaRoom, rtctest.ParticipantOptions{Publish: callSources, Options: rtctest.Options{Settings: settings}}),
		call(t, server.url, "ben", mediaRoom, rtctest.ParticipantOptions{Publish: callSources}),
		call(t, server.url, "cem", mediaRoom, rtctest.ParticipantOptions{}),
	}
	s.flows(t)
	s.resting = s.held(t)
	return s
}

// flows waits until everybody gets something more of everybody.
func (s *scene) flows(t *testing.T) {
	t.Helper()
	var waits []func()
	for _, c := range s.room {
		for _, of := range s.room[:2] {
			for _, source := range callSources {
				if c != of {
					waits = append(waits, c.awaits(of, 25, source))
				}
			}
		}
	}
	for _, wait := range waits {
		wait()
	}
}

// held is what the server's process has: goroutines, and bytes of heap that were live at the last collection.
func (s *scene) held(t *testing.T) []float64 {
	t.Helper()
	return gauges(t, s.server, "go_goroutines", "go_gc_heap_live_bytes")
}

func (s *scene) begin(t *testing.T) {
	t.Helper()
	for _, c := range s.room {
		c.Reset()
	}
	s.flows(t)
}

// end has the call go on for a while and then looks at what everybody got since begin, and at what the server holds
// when the others are gone.
func (s *scene) end(t *testing.T) {
	t.Helper()
	s.flows(t)
	slowest, lost := time.Duration(0), 0
	for _, c := range s.room {
		for _, of := range s.room[:2] {
			if c == of {
				continue
			}
			for _, source := range callSources {
				got := s.judge(t, c, of, source)
				slowest, lost = max(slowest, got.Slowest), lost+got.Missing
			}
		}
	}
	t.Logf("%d packets lost, the slowest took %v", lost, slowest)
	const goroutines, heap = 20, 32 << 20
	began, first := time.Now(), s.held(t)
	awaitThat(t, fmt.Sprintf("the server holds what it did at rest, %.0f goroutines", s.resting[0]), func() bool {
		now := s.held(t)
		return now[0] <= s.resting[0]+goroutines && now[1] <= s.resting[1]+heap
	})
	t.Logf("at rest after %v; when that began it held %.0f goroutines and %.1f MiB of heap more",
		time.Since(began), first[0]-s.resting[0], (first[1]-s.resting[1])/(1<<20))
}

func (s *scene) judge(t *testing.T, c, of *caller, source wire.Source) (got rtctest.Reception) {
	t.Helper()
	repaired := func() bool {
		got = c.Got(of.id, source)
		return got.Missing == 0
	}
	if source == wire.Microphone {
		repaired()
		if float64(got.Missing) > soundLost*float64(got.Packets) {
			t.Errorf("%s has lost %d of %d packets of %s's %s", c.id, got.Missing, got.Packets, of.id, source)
		}
	} else {
		awaitThat(t, "all pictures are there", repaired)
	}
	if got.Slowest > mediaBound {
		t.Errorf("a packet of %s's %s took %v to %s", of.id, source, got.Slowest, c.id)
	}
	return got
}

// peak checks that the server holds no more than so much above its rest.
func (s *scene) peak(t *testing.T) {
	t.Helper()
	const goroutines, heap = 300, 96 << 20
	now := s.held(t)
	t.Logf("%.0f goroutines, %.0f KiB of heap live; at rest %.0f and %.0f", now[0], now[1]/1024, s.resting[0], s.resting[1]/1024)
	if now[0] > s.resting[0]+goroutines || now[1] > s.resting[1]+heap {
		t.Errorf("the server holds %v, at rest %v", now, s.resting)
	}
}

// throw sends datagrams in bursts, as fast as one that floods a port from one address can be expected to, without
// filling the socket for others by number alone.
func throw(t *testing.T, datagrams [][]byte, times int, send func([]byte) error) {
	t.Helper()
	const burst = 16
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	count := 0
	for range times {
		for _, b := range datagrams {
			if err := send(b); err != nil && !strings.Contains(err.Error(), "connection refused") {
				t.Fatal(err)
			}
			if count++; count%burst == 0 {
				<-tick.C
			}
		}
	}
}

// garbage is what can be sent to the port without a key: of each protocol that shares it (RFC 7983 section 7), broken,
// whole, and speaking of a connection that there is.
func (s *scene) garbage(t *testing.T) [][]byte {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for _, first := range []byte{0, 1, 3, 16, 20, 21, 22, 23, 24, 63, 64, 79, 128, 129, 144, 191, 192, 255} {
		for size := 1; size < 1400; size = size*2 + 1 {
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			if b[0] = first; size > 8 && first < 2 {
				binary.BigEndian.PutUint32(b[4:], 0x2112a442) // the magic cookie (RFC 8489 section 5)
			}
			all = append(all, b)
		}
	}
	all = append(all, s.requests(t)...)
	for _, tr := range s.room[0].PC.GetTransceivers() {
		if sender := tr.Sender(); sender != nil && sender.Track() != nil {
			all = append(all, inTheNameOf(t, uint32(sender.GetParameters().Encodings[0].SSRC))...)
		}
	}
	return append(all, []byte{}, make([]byte, 9000),
		[]byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0},    // a DTLS alert: the connection ends
		[]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1}, // a handshake longer than it is
	)
}

// requests are binding requests: for nobody, and for the connection of ann with a password that is not hers, which would
// take her place.
func (s *scene) requests(t *testing.T) [][]byte {
	t.Helper()
	ufrag := func(d *webrtc.SessionDescription) string {
		_, rest, _ := strings.Cut(d.SDP, "a=ice-ufrag:")
		name, _, _ := strings.Cut(rest, "\r\n")
		return name
	}
	pc := s.room[0].PC
	name := ufrag(pc.RemoteDescription()) + ":" + ufrag(pc.LocalDescription())
	var all [][]byte
	for _, setters := range [][]stun.Setter{
		{stun.NewUsername("nobody:here")},
		{stun.NewUsername(name)},
		{stun.NewUsername(name), stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity("a wrong password of ann"), stun.Fingerprint},
	} {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Raw, m.Raw[:len(m.Raw)-5])
	}
	return all
}

// inTheNameOf is media of a stream that there is, from who does not have its key.
func inTheNameOf(t *testing.T, ssrc uint32) [][]byte {
	t.Helper()
	var all [][]byte
	for seq := range uint16(20) {
		raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: seq * 3000}, Payload: make([]byte, 900)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
	}
	for _, packet := range []rtcp.Packet{
		&rtcp.Goodbye{Sources: []uint32{ssrc}}, &rtcp.PictureLossIndication{MediaSSRC: ssrc}, &rtcp.SenderReport{SSRC: ssrc},
	} {
		raw, err := packet.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw, append(raw, make([]byte, 14)...)) // with the size of an index and a tag
	}
	return all
}

// testStrangers throws garbage from many addresses that the server has never heard of.
func testStrangers(t *testing.T, s *scene) {
	garbage, to := s.garbage(t), s.room[0].server()
	var throwing sync.WaitGroup
	for range 4 {
		conn, err := net.DialUDP("udp4", nil, to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		throwing.Go(func() {
			throw(t, garbage, 10, func(b []byte) error {
				_, err := conn.Write(b)
				return err
			})
		})
	}
	throwing.Wait()
	s.peak(t)
}

// testKnownAddress throws the same from the address of somebody in the call, and what that one has sent before: again,
// and with a bit changed.
func testKnownAddress(t *testing.T, s *scene) {
	to := s.room[0].server()
	send := func(b []byte) error {
		_, err := s.socket.PacketConn.WriteTo(b, to)
		return err
	}
	throw(t, s.garbage(t), 10, send)
	for range 20 {
		again := s.socket.kept()
		for _, b := range again {
			changed := bytes.Clone(b)
			changed[len(changed)-1] ^= 1
			again = append(again, changed)
		}
		throw(t, again, 1, send)
	}
	s.peak(t)
}

// offerOf writes an offer of a session with sections, "video sendonly" and the like, and attributes of the first one.
func offerOf(session, first string, sections ...string) *wire.SessionDescription {
	var b strings.Builder
	b.WriteString("v=0\r\no=- " + session + " 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB\r\n")
	for i, section := range sections {
		kind, direction, _ := strings.Cut(section, " ")
		payload, codec := "111", "opus/48000/2"
		if kind == "video" {
			payload, codec = "96", "VP8/90000"
		}
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%d\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"+
			"a=setup:actpass\r\na=rtcp-mux\r\na=%s\r\na=rtpmap:%s %s\r\n", kind, payload, i, direction, payload, codec)
		if i == 0 {
			b.WriteString(first)
		}
	}
	return &wire.SessionDescription{Type: "offer", SDP: b.String()}
}

func repeated(n int, section string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = section
	}
	return list
}

func labels(sources ...wire.Source) map[string]wire.TrackLabel {
	m := map[string]wire.TrackLabel{}
	for i, source := range sources {
		m[fmt.Sprint(i)] = wire.TrackLabel{Source: source}
	}
	return m
}

// testBadSignals sends what the SFU cannot take; each gets its code, and a good offer is still answered.
func testBadSignals(t *testing.T, s *scene) {
	mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{})
	mallory.hears(s.room[0], 10, callSources...) // no offer of the server's is under way that would come first
	mallory.hears(s.room[1], 10, callSources...)
	_, rest, _ := strings.Cut(mallory.PC.LocalDescription().SDP, "o=- ")
	session, _, _ := strings.Cut(rest, " ") // another one would be another connection
	offer := func(first string, sections ...string) *wire.SessionDescription {
		return offerOf(session, first, sections...)
	}
	rids := "a=simulcast:send q;h;f;x\r\n"
	for _, rid := range []string{"q", "h", "f", "x"} {
		rids = "a=rid:" + rid + " send\r\n" + rids
	}
	for _, c := range []struct {
		name string
		body wire.Signal
		want wire.ErrorCode
	}{
		{"no SDP", wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: "hello"}}, wire.CodeBadMessage},
		{"SDP of lines that are none", wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: strings.Repeat("v=0\r\n", 1000)}}, wire.CodeBadMessage},
		{"a rollback", wire.Signal{Description: &wire.SessionDescription{Type: "rollback"}}, wire.CodeBadMessage},
		{"no label", wire.Signal{Description: offer("", "audio sendonly")}, wire.CodeBadMessage},
		{"an unknown source", wire.Signal{Description: offer("", "audio sendonly"), Tracks: labels("lamp")}, wire.CodeBadMessage},
		{"a picture as a microphone", wire.Signal{Description: offer("", "video sendonly"), Tracks: labels(wire.Microphone)}, wire.CodeBadMessage},
		{"a source twice", wire.Signal{Description: offer("", "video sendonly", "video sendonly"), Tracks: labels(wire.Camera, wire.Camera)}, wire.CodeConflict},
		{"four layers", wire.Signal{Description: offer(rids, "video sendonly"), Tracks: labels(wire.Camera)}, wire.CodeTooLarge},
		{"layers without a name", wire.Signal{Description: offer("a=simulcast:send q;h\r\n", "video sendonly"), Tracks: labels(wire.Camera)}, wire.CodeBadMessage},
		{"too many sections", wire.Signal{Description: offer("", repeated(193, "audio recvonly")...)}, wire.CodeTooLarge},
		{"too many labels", wire.Signal{Description: offer("", "audio recvonly"), Tracks: labels(make([]wire.Source, 193)...)}, wire.CodeTooLarge},
		{"a large candidate", wire.Signal{Candidate: json.RawMessage(`"` + strings.Repeat("a", 3000) + `"`)}, wire.CodeTooLarge},
		{"a malformed candidate", wire.Signal{Candidate: json.RawMessage(`[1]`)}, wire.CodeBadMessage},
		{"a candidate that is none", wire.Signal{Candidate: json.RawMessage(`{"candidate":"candidate:1 1 udp x 127.0.0.1 9 typ host","sdpMid":"0"}`)}, wire.CodeBadMessage},
	} {
		if got := mallory.ask(wire.KindSignal, c.body); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := mallory.ask(wire.KindSubscribeMedia, wire.SubscribeMedia{Participant: "x", Source: "lamp"}); got != wire.CodeBadMessage {
		t.Errorf("a subscription of no source: %q", got)
	}
	mallory.hears(s.room[0], 10, callSources...) // it is none the worse
	mallory.leave()
}

// testSignalLimits goes beyond each bound that a client can reach by signals.
func testSignalLimits(t *testing.T, s *scene) {
	t.Run("candidates", func(t *testing.T) {
		mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{})
		mallory.connected()
		wantAfter(t, 64, wire.CodeRateLimited, func(i int) wire.ErrorCode {
			candidate := fmt.Sprintf(`{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 %d typ host","sdpMid":"0"}`, 1024+i)
			return mallory.ask(wire.KindSignal, wire.Signal{Candidate: json.RawMessage(candidate)})
		})
		mallory.leave()
	})
	t.Run("subscriptions of nobody", func(t *testing.T) {
		mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{})
		mallory.connected()
		for enabled, want := range map[bool]wire.ErrorCode{true: wire.CodeNotFound, false: ""} {
			for i := range 40 {
				msg := wire.SubscribeMedia{Participant: wire.ParticipantID(fmt.Sprintf("p-%d", i)), Source: wire.Camera, Enabled: enabled}
				if got := mallory.ask(wire.KindSubscribeMedia, msg); got != want {
					t.Fatalf("%+v: %q, want %q", msg, got, want)
				}
			}
		}
		mallory.leave()
	})
	t.Run("a description beyond the frame", func(t *testing.T) {
		k := newTalker(t, s.server.url, "mallory", mediaRoom)
		k.send(`{"type":"webrtc-signal","id":"i","room":"` + mediaRoom + `","to":"sfu","data":{"description":{"type":"offer","sdp":"` +
			strings.Repeat("a", wire.MaxFrameBytes) + `"}}}`)
		k.wantClose(wire.CloseTooBig)
	})
	t.Run("nothing to signal to", func(t *testing.T) {
		k := newTalker(t, s.server.url, "mallory", mediaRoom)
		k.send(`{"type":"webrtc-signal","id":"i","room":"` + mediaRoom + `","to":"sfu","data":{"candidate":null}}`)
		k.wantError("i", wire.CodeNotFound)
	})
	t.Run("a viewer who publishes", func(t *testing.T) {
		k := dialTalker(t, s.server.url)
		k.send(authFrame(mintFor(t, "mallory", wire.RoleViewer, time.Now().Add(time.Hour), "*")))
		k.send(`{"type":"join","room":"` + mediaRoom + `"}`)
		body, err := json.Marshal(wire.Signal{Description: offerOf("1", "", "audio sendonly"), Tracks: labels(wire.Microphone)})
		if err != nil {
			t.Fatal(err)
		}
		k.send(`{"type":"webrtc-signal","id":"i","room":"` + mediaRoom + `","to":"sfu","data":` + string(body) + `}`)
		k.wantError("i", wire.CodeForbidden)
		k.wantPong()
		k.conn.Close()
	})
}

// wantAfter asks until the first error, which must be code, after at least some that were taken and not many more than
// limit: what the client has sent by itself counts.
func wantAfter(t *testing.T, limit int, code wire.ErrorCode, ask func(i int) wire.ErrorCode) {
	t.Helper()
	for i := range limit + 1 {
		if got := ask(i); got != "" {
			if got != code || i < limit-8 {
				t.Errorf("%q after %d; want %q after %d", got, i, code, limit)
			}
			return
		}
	}
	t.Errorf("%d were taken", limit+1)
}

// testHostileRTCP has a participant send, with its own keys, feedback that asks for everything, means nothing, or lies.
func testHostileRTCP(t *testing.T, s *scene) {
	ann := s.room[0]
	mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{Publish: callSources})
	mallory.hears(ann, 10, callSources...)
	var hostile []rtcp.Packet
	for _, receiver := range mallory.PC.GetReceivers() {
		for _, track := range receiver.Tracks() {
			ssrc := uint32(track.SSRC())
			var everything []rtcp.NackPair
			for seq := range uint16(200) {
				everything = append(everything, rtcp.NackPair{PacketID: seq * 17, LostPackets: 0xffff})
			}
			hostile = append(hostile,
				&rtcp.PictureLossIndication{MediaSSRC: ssrc}, &rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc}}},
				&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: everything},
				&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1, SSRCs: []uint32{ssrc}}, &rtcp.Goodbye{Sources: []uint32{ssrc}},
				&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: 255, TotalLost: 1<<24 - 1}}},
			)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for kind := 192; kind < 224; kind++ {
		for size := 1; size < 64; size *= 2 {
			raw := make(rtcp.RawPacket, 4+4*size)
			for i := range raw {
				raw[i] = byte(random.Uint32())
			}
			raw[0], raw[1], raw[2], raw[3] = 0x80|raw[0]&0x1f, byte(kind), 0, byte(size)
			hostile = append(hostile, &raw)
		}
	}
	asked, began := ann.KeysAsked(), time.Now()
	for range 10 {
		for _, packet := range hostile {
			if err := mallory.PC.WriteRTCP([]rtcp.Packet{packet}); err != nil {
				t.Fatal(err)
			}
		}
		mallory.hears(ann, 5, wire.Microphone)
	}
	// One request in half a second is what the publisher bears, however many ask.
	if asked, most := ann.KeysAsked()-asked, int(time.Since(began)/(500*time.Millisecond))+2; asked > most {
		t.Errorf("ann was asked for %d key frames; at most %d", asked, most)
	}
	s.peak(t)
	mallory.leave()
}

// testHostileRTP has a participant send, with its own keys, streams without end, payloads that are none, header
// extensions that lie, and other numbers in the middle of a stream.
func testHostileRTP(t *testing.T, s *scene) {
	random := rand.New(rand.NewPCG(5, 6))
	var mu sync.Mutex // of random: each track is sent by a goroutine
	dd := &webrtc.MediaEngine{}
	if err := dd.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	const uri = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	if err := dd.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	sent := 0
	mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{
		Options: rtctest.Options{Media: dd}, Publish: wire.Sources,
		Outgoing: func(h *rtp.Header, payload []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if sent++; sent < 50 {
				return payload // known first as what it says it is
			}
			noise := make([]byte, random.IntN(100))
			for i := range noise {
				noise[i] = byte(random.Uint32())
			}
			switch sent % 8 {
			case 0, 1, 2, 3:
				h.SSRC = random.Uint32()
			case 4:
				h.SequenceNumber, h.Timestamp = uint16(random.Uint32()), random.Uint32()
			case 5:
				h.PayloadType = uint8(random.Uint32() & 0x7f)
			case 6:
				_ = h.SetExtension(uint8(1+random.IntN(14)), noise[:min(len(noise), 16)]) // what does not fit is left out
				return payload
			}
			return noise
		},
	})
	ann := s.room[0]
	ann.hears(mallory, 20, wire.Microphone)
	awaitThat(t, "much of it was sent", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return sent > 800
	})
	s.peak(t)
	mallory.leave()
}

// testMissingLayers has a participant announce three layers and send one.
func testMissingLayers(t *testing.T, s *scene) {
	stop := make(chan struct{})
	var sending sync.WaitGroup
	mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{Prepare: func(pc *webrtc.PeerConnection) error {
		var layers []*webrtc.TrackLocalStaticRTP
		for _, rid := range []string{"q", "h", "f"} {
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, string(wire.Camera), "mallory", webrtc.WithRTPStreamID(rid))
			if err != nil {
				return err
			}
			layers = append(layers, track)
		}
		tr, err := pc.AddTransceiverFromTrack(layers[0], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return err
		}
		for _, more := range layers[1:] {
			if err := tr.Sender().AddEncoding(more); err != nil {
				return err
			}
		}
		sending.Go(func() { sendLayer(layers[1], tr.Sender(), stop) })
		return nil
	}})
	s.room[0].hears(mallory, 50, wire.Camera)
	if code := s.room[2].ask(wire.KindSubscribeMedia, wire.SubscribeMedia{Participant: mallory.id, Source: wire.Camera, Enabled: true, Width: 160, Height: 90}); code != "" {
		t.Error(code)
	}
	s.room[2].hears(mallory, 50, wire.Camera) // the layer that it wants does not come; another one does
	close(stop)
	sending.Wait()
	mallory.leave()
}

// sendLayer sends one simulcast layer with the header extensions that say which it is, until stop is closed.
func sendLayer(track *webrtc.TrackLocalStaticRTP, sender *webrtc.RTPSender, stop chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	packet := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true}}
	for number := uint32(0); ; number++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		packet.Payload = rtctest.Payload(true, number%25 == 0, number)
		packet.SequenceNumber++
		packet.Timestamp += 1800
		for _, ext := range sender.GetParameters().HeaderExtensions {
			switch ext.URI {
			case "urn:ietf:params:rtp-hdrext:sdes:mid":
				_ = packet.SetExtension(uint8(ext.ID), []byte("0"))
			case "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id":
				_ = packet.SetExtension(uint8(ext.ID), []byte(track.RID()))
			}
		}
		_ = track.WriteRTP(&packet) // lost, as on any network
	}
}

// testDeafReceiver has a participant read nothing more from its UDP socket, which the system then fills.
func testDeafReceiver(t *testing.T, s *scene) {
	socket, settings := newWiretap(t)
	mallory := call(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{Publish: callSources, Options: rtctest.Options{Settings: settings}})
	mallory.hears(s.room[0], 10, callSources...)
	close(socket.deaf)
	s.room[0].hears(mallory, 100, callSources...) // what it sends is as good as before
	s.peak(t)
	mallory.leave()
}

// testStalledTCP has a participant that is reached by TCP stop reading. When all buffers on the way are full, what is
// for it is dropped.
func testStalledTCP(t *testing.T, s *scene) {
	const enough = 200 // packets of each of the others: 500 KB, twice what the server keeps for one connection
	relay := newStallingRelay(t, strings.TrimPrefix(s.server.url, "http://"))
	settings := rtctest.Loopback()
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	mallory := callThrough(t, s.server.url, "mallory", mediaRoom, rtctest.ParticipantOptions{Publish: callSources, Options: rtctest.Options{Settings: &settings}},
		func(signal *wire.Signal) { relay.put(signal) })
	mallory.hears(s.room[0], 10, callSources...)
	close(relay.stalled)
	before := mallory.Got(s.room[0].id, wire.Camera).Packets
	s.room[0].hears(s.room[1], enough, callSources...)
	if n := mallory.Got(s.room[0].id, wire.Camera).Packets - before; n > enough/2 {
		t.Errorf("it has read %d packets", n)
	}
	s.peak(t)
	mallory.leave()
}

// A stallingRelay passes a TCP connection on to the server, and what the server says back, until it is stalled.
type stallingRelay struct {
	listener net.Listener
	to       string
	stalled  chan struct{} // closed when nothing is read from the server any more
	running  sync.WaitGroup
}

func newStallingRelay(t *testing.T, to string) *stallingRelay {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &stallingRelay{listener: listener, to: to, stalled: make(chan struct{})}
	r.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.pass(client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		r.running.Wait()
	})
	return r
}

// pass lasts as long as the client keeps its connection open.
func (r *stallingRelay) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp4", r.to)
	if err != nil {
		return
	}
	_ = server.(*net.TCPConn).SetReadBuffer(32 << 10) // by itself it would grow to megabytes
	defer server.Close()
	r.running.Go(func() {
		b := make([]byte, 1<<10)
		for {
			select {
			case <-r.stalled:
				return
			default:
			}
			n, err := server.Read(b)
			if err != nil {
				return
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	})
	_, _ = io.Copy(server, client) // it ends with the client's connection
}

// put has the server's TCP candidates lead here.
func (r *stallingRelay) put(signal *wire.Signal) {
	var candidate *webrtc.ICECandidateInit
	if json.Unmarshal(signal.Candidate, &candidate) != nil || candidate == nil {
		return
	}
	fields := strings.Fields(candidate.Candidate) // RFC 8839 section 5.1
	if len(fields) < 6 || !strings.EqualFold(fields[2], "tcp") {
		return
	}
	_, fields[5], _ = net.SplitHostPort(r.listener.Addr().String())
	candidate.Candidate = strings.Join(fields, " ")
	signal.Candidate, _ = json.Marshal(candidate) // strings and numbers
}
