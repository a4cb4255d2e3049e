package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A sink is the transport of one subscriber that has no network. It keeps what it is sent, unless told otherwise.
type sink struct {
	forget bool
	block  chan struct{} // not nil: a write waits until it is closed
	count  atomic.Int64
	sent   []rtp.Packet // owned by the writer; to be read in a bubble at rest
}

func (s *sink) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if s.block != nil {
		<-s.block
	}
	s.count.Add(1)
	if !s.forget {
		s.sent = append(s.sent, rtp.Packet{Header: h.Clone(), Payload: bytes.Clone(payload)})
	}
	return len(payload), nil
}

func (s *sink) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (s *sink) numbers(payloadType uint8) []uint16 {
	var list []uint16
	for _, p := range s.sent {
		if p.PayloadType == payloadType {
			list = append(list, p.SequenceNumber)
		}
	}
	return list
}

// sinkContext is what pion would bind a track with.
type sinkContext struct {
	webrtc.TrackLocalContext
	writer webrtc.TrackLocalWriter
}

func (c sinkContext) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{
		{PayloadType: 120, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: videoClock}},
		{PayloadType: 121, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: videoClock, SDPFmtpLine: "apt=120"}},
		{PayloadType: 109, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}},
	}
}

func (c sinkContext) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter {
	return []webrtc.RTPHeaderExtensionParameter{{URI: uriAudioLevel, ID: 7}, {URI: uriColorSpace, ID: 8}, {URI: uriDependencyDescriptor, ID: 9}}
}
func (c sinkContext) SSRC() webrtc.SSRC                       { return 5000 }
func (c sinkContext) SSRCRetransmission() webrtc.SSRC         { return 5001 }
func (c sinkContext) WriteStream() webrtc.TrackLocalWriter    { return c.writer }
func (c sinkContext) RTCPReader() interceptor.RTCPReader      { return nil }
func (c sinkContext) SSRCForwardErrorCorrection() webrtc.SSRC { return 0 }

// bareStream is a published track of one stream, that is fed by hand.
func bareStream(mime string) *stream {
	in := &ingress{
		peer: &Peer{due: make(chan struct{}, 1)}, key: trackKey{"ann", wire.Camera}, kind: kindOfCodec(mime),
		codec: webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48000}},
	}
	if in.video = in.kind != codecOther; in.video {
		in.codec.ClockRate = videoClock
	}
	in.clock = in.codec.ClockRate
	in.qualities.Store(&[]quality{})
	return addBare(in, 0)
}

// addBare adds a stream to a track that is fed by hand.
func addBare(in *ingress, index int) *stream {
	s := &stream{in: in, index: index, payloadType: 96, ssrc: uint32(100 + index), extraID: 1, ddID: 2}
	s.init()
	in.streams[index].Store(s)
	return s
}

// subscriber is a peer with its writer but no connection, that is sent in through w until the context ends.
func subscriber(ctx context.Context, t testing.TB, in *stream, w webrtc.TrackLocalWriter) *egress {
	t.Helper()
	p := &Peer{ctx: ctx, wake: make(chan struct{}, 1), due: make(chan struct{}, 1)}
	kind := webrtc.RTPCodecTypeAudio
	if in.in.video {
		kind = webrtc.RTPCodecTypeVideo
	}
	e := newEgress(p, kind, "s0")
	if _, err := e.Bind(sinkContext{writer: w}); err != nil {
		t.Fatal(err)
	}
	p.sending.Store(&[]*egress{e})
	p.connected.Store(true)
	e.assign(&feed{in: in.in, live: true})
	e.pump(nil, time.Now()) // it listens from now on
	return e
}

// rawPacket is packet n of a track: a VP8 frame or sound.
func rawPacket(t testing.TB, in *stream, n uint32, key bool) []byte {
	t.Helper()
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: in.payloadType, SequenceNumber: uint16(n + 65500), Timestamp: n * 3000},
		Payload: testPayload(in.in.video, key, n),
	}
	if !in.in.video {
		if err := p.SetExtension(in.extraID, []byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func feedPackets(t testing.TB, in *stream, first, end uint32, key func(uint32) bool) {
	t.Helper()
	for n := first; n < end; n++ {
		in.receive(rawPacket(t, in, n, key(n)), time.Now())
	}
}

func keyAt(list ...uint32) func(uint32) bool {
	return func(n uint32) bool { return slices.Contains(list, n) }
}

// Who is there keeps nothing of who has left. Else that one would keep those who had left before, and so on.
func TestEndedTracksAreLetGo(t *testing.T) {
	s := newTestServer(t, Limits{})
	ben, _, _ := start(t, s, "ben")
	for _, id := range []wire.ParticipantID{"ann", "cem"} {
		c, _, _ := start(t, s, id)
		more(t, ben, id, wire.Camera, 5)
		more(t, c, "ben", wire.Camera, 5)
		c.close()
		for name, p := range map[string]*Peer{"who is there": ben.peer, "who has left": c.peer} {
			eventually(t, name+" keeps nothing", func() bool {
				for _, e := range *p.sending.Load() {
					e.mu.Lock()
					kept := e.feed != nil || e.line.source != nil || slices.ContainsFunc(e.rewriter.runs, func(r run) bool { return r.source != nil })
					e.mu.Unlock()
					if kept {
						return false
					}
				}
				return true
			})
		}
	}
}

// A subscriber whose transport blocks delays nobody; when it moves again, it goes on with a newer key frame and
// unbroken numbers.
func TestBlockedSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := bareStream(webrtc.MimeTypeVP8)
		stuck, free := &sink{block: make(chan struct{})}, &sink{}
		first, second := subscriber(ctx, t, in, stuck), subscriber(ctx, t, in, free)
		go first.peer.write()
		go second.peer.write()
		const total = 5 * videoSlots
		for n := uint32(0); n < total; n++ {
			in.receive(rawPacket(t, in, n, n%1000 == 0), time.Now())
			synctest.Wait()
		}
		if len(free.sent) != total {
			t.Errorf("the other one has %d packets of %d", len(free.sent), total)
		}
		close(stuck.block)
		time.Sleep(time.Second)
		synctest.Wait()
		list := stuck.sent
		if len(list) < 100 || len(list) > videoSlots {
			t.Fatalf("the blocked one has %d packets", len(list))
		}
		if counter(list[0]) != 0 || counter(list[1]) != 5000 || counter(list[len(list)-1]) != total-1 {
			t.Errorf("it has %d, %d to %d", counter(list[0]), counter(list[1]), counter(list[len(list)-1]))
		}
		for i := 1; i < len(list); i++ {
			if list[i].SequenceNumber != list[i-1].SequenceNumber+1 {
				t.Fatalf("packet %d: number %d after %d", i, list[i].SequenceNumber, list[i-1].SequenceNumber)
			}
		}
		cancel()
	})
}

// A key frame that is not kept is asked for once, and nothing is sent before it comes.
func TestWaitForKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := bareStream(webrtc.MimeTypeVP8)
		feedPackets(t, in, 0, maxReplay+10, keyAt(0))
		var sinks []*sink
		for range 3 {
			w := &sink{}
			sinks = append(sinks, w)
			go subscriber(ctx, t, in, w).peer.write()
		}
		synctest.Wait()
		feedPackets(t, in, maxReplay+10, maxReplay+20, keyAt())
		synctest.Wait()
		asked := 0
		for range 20 {
			if in.keyDue(time.Now()) {
				asked++
			}
			time.Sleep(controlTick)
		}
		if asked != 1 {
			t.Errorf("asked for %d key frames of a publisher that sends nothing", asked)
		}
		feedPackets(t, in, maxReplay+20, maxReplay+30, keyAt(maxReplay+25))
		synctest.Wait()
		if in.keyDue(time.Now()) {
			t.Error("asked again after it came")
		}
		for i, w := range sinks {
			if len(w.sent) != 5 || counter(w.sent[0]) != maxReplay+25 {
				t.Errorf("subscriber %d has %d packets", i, len(w.sent))
			}
		}
		cancel()
	})
}

// Key frame requests of many receivers, again and again, make one request for each interval.
func TestKeyRequestsCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := bareStream(webrtc.MimeTypeVP8)
		asked := 0
		for n := range uint32(40) { // two seconds
			for range 100 {
				in.wantKey()
			}
			feedPackets(t, in, n, n+1, keyAt())
			if in.keyDue(time.Now()) {
				asked++
			}
			time.Sleep(50 * time.Millisecond)
		}
		if asked != 4 {
			t.Errorf("%d requests in two seconds", asked)
		}
	})
}

// A resend goes out on the retransmission stream with the number of what it repeats in front (RFC 4588 section 4),
// within limits, and never on the media stream.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := bareStream(webrtc.MimeTypeVP8)
		w := &sink{}
		e := subscriber(ctx, t, in, w)
		go e.peer.write()
		feedPackets(t, in, 0, 50, keyAt(0))
		time.Sleep(time.Second)
		synctest.Wait()
		media := w.numbers(120)
		if len(media) != 50 {
			t.Fatalf("%d packets", len(media))
		}
		original := w.sent[20]
		for range maxResends + 7 {
			e.mu.Lock()
			e.resend(original.SequenceNumber)
			e.resend(media[0] - 1)
			e.resend(media[49] + 1)
			e.mu.Unlock()
			time.Sleep(nackInterval)
		}
		if again := w.numbers(120); len(again) != 50 {
			t.Errorf("%d packets on the media stream", len(again))
		}
		resends := w.sent[50:]
		if len(resends) != maxResends {
			t.Fatalf("%d resends", len(resends))
		}
		for i, p := range resends {
			number := uint16(p.Payload[0])<<8 | uint16(p.Payload[1])
			if p.SSRC != 5001 || p.PayloadType != 121 || number != original.SequenceNumber || p.Timestamp != original.Timestamp ||
				!bytes.Equal(p.Payload[2:], original.Payload) || p.SequenceNumber != resends[0].SequenceNumber+uint16(i) {
				t.Errorf("resend %d: %v of %d", i, p.Header, number)
			}
		}
		cancel()
	})
}

// The audio level is passed on under the subscriber's id.
func TestExtensionsPassOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := bareStream(webrtc.MimeTypeOpus)
		w := &sink{}
		go subscriber(ctx, t, in, w).peer.write()
		feedPackets(t, in, 0, 1, keyAt())
		synctest.Wait()
		feedPackets(t, in, 1, 10, keyAt())
		synctest.Wait()
		if len(w.sent) == 0 {
			t.Fatal("nothing")
		}
		for _, p := range w.sent {
			if level := p.GetExtension(7); len(level) != 1 || uint32(level[0]) != counter(p) || p.PayloadType != 109 {
				t.Errorf("%v: level %v", p.Header, level)
			}
		}
		cancel()
	})
}

// So is a dependency descriptor, which may be longer than a short extension can be (RFC 8285 section 4.3).
func TestDependencyDescriptorPassesOn(t *testing.T) {
	in := bareStream(webrtc.MimeTypeVP8)
	w := &sink{}
	e := subscriber(t.Context(), t, in, w)
	sizes := []int{40, 3, 0, 12}
	for n, size := range sizes {
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: in.payloadType, SequenceNumber: uint16(n), Timestamp: uint32(n)},
			Payload: testPayload(true, n == 0, uint32(n)),
		}
		if size > 0 {
			if err := p.SetExtension(in.ddID, bytes.Repeat([]byte{byte(n + 1)}, size)); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		in.receive(raw, time.Now())
		e.pump(nil, time.Now())
	}
	if len(w.sent) != len(sizes) {
		t.Fatalf("%d packets", len(w.sent))
	}
	for n, size := range sizes {
		if got := w.sent[n].GetExtension(9); !bytes.Equal(got, bytes.Repeat([]byte{byte(n + 1)}, size)) {
			t.Errorf("packet %d: %x", n, got)
		}
		if _, err := w.sent[n].Marshal(); err != nil {
			t.Errorf("packet %d: %v", n, err)
		}
	}
}

// Forwarding one packet allocates nothing, however many there are.
func TestForwardAllocates(t *testing.T) {
	in := bareStream(webrtc.MimeTypeVP8)
	b := rawPacket(t, in, 0, true)
	in.receive(b, time.Now())
	var list []*egress
	for range 10 {
		list = append(list, subscriber(t.Context(), t, in, &sink{forget: true}))
	}
	n := uint16(1)
	forward := func() {
		n++
		b[2], b[3] = byte((n+65500-1)>>8), byte(n+65500-1)
		in.receive(b, time.Now())
		for _, e := range list {
			e.pump(nil, time.Now())
		}
	}
	for range 2 * videoSlots { // every slot has its buffer
		forward()
	}
	if allocs := testing.AllocsPerRun(1000, forward); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkForward measures one packet from a publisher's bytes to the transports of all subscribers, which are
// sinks. It reports the time for each packet forwarded.
func BenchmarkForward(b *testing.B) {
	for _, subscribers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("ring/%d", subscribers), func(b *testing.B) {
			in := bareStream(webrtc.MimeTypeVP8)
			raw := rawPacket(b, in, 0, true)
			in.receive(raw, time.Now())
			var list []*egress
			for range subscribers {
				list = append(list, subscriber(b.Context(), b, in, &sink{forget: true}))
			}
			n := uint16(65500)
			b.ReportAllocs()
			for b.Loop() {
				n++
				raw[2], raw[3] = byte(n>>8), byte(n)
				now := time.Now()
				in.receive(raw, now)
				for _, e := range list {
					e.pump(nil, now)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/forwarded")
		})
	}
}

// What says how a picture is to be decoded and shown reaches the receiver, whichever is the longer.
func TestColorSpacePassesOn(t *testing.T) {
	for _, test := range []struct {
		name      string
		color, dd int // bytes
	}{
		{"color space alone", 4, 0},
		{"descriptor alone", 0, 3},
		{"both short", 4, 3},
		{"with the structure of a key frame", 4, 40},
		{"with HDR metadata", 28, 3},
		{"both long", 28, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, w := bareStream(webrtc.MimeTypeVP8), &sink{}
			e := subscriber(t.Context(), t, in, w)
			color, dd := bytes.Repeat([]byte{0x5a}, test.color), bytes.Repeat([]byte{0}, test.dd)
			p := rtp.Packet{
				Header:  rtp.Header{Version: 2, PayloadType: in.payloadType, SequenceNumber: 9, Marker: true},
				Payload: testPayload(true, true, 0),
			}
			large, small := extension{in.extraID, color}, extension{in.ddID, dd}
			if test.dd > test.color {
				large, small = small, large
			}
			large.put(&p.Header)
			small.put(&p.Header)
			b, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			in.receive(b, time.Now())
			e.pump(nil, time.Now())
			if len(w.sent) != 1 {
				t.Fatalf("%d packets were sent", len(w.sent))
			}
			if got := w.sent[0].GetExtension(8); !bytes.Equal(got, color) {
				t.Errorf("color space is % x, want % x", got, color)
			}
			if got := w.sent[0].GetExtension(9); len(got) != len(dd) {
				t.Errorf("the descriptor has %d bytes, want %d", len(got), len(dd))
			}
		})
	}
}
