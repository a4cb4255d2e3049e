package media

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/media/plane"
	"confab/media/rtctest"
	"confab/signaling/wire"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second // for what takes milliseconds on an idle machine

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func newTestServer(t testing.TB, limits Limits) *Server {
	t.Helper()
	return newTestServerOn(t, Options{Limits: limits})
}

// newTestServerOn makes a server on the loopback that fails the test when a nonce is used twice.
func newTestServerOn(t testing.TB, opts Options) *Server {
	t.Helper()
	var mu sync.Mutex
	used := map[plane.Nonce]bool{}
	opts.Listen, opts.Log = loopback, slog.New(slog.DiscardHandler)
	opts.sent = func(n plane.Nonce) {
		mu.Lock()
		defer mu.Unlock()
		if used[n] {
			t.Errorf("a nonce was used twice: SSRC %d, index %d, RTCP %v", n.SSRC, n.Index, n.RTCP)
		}
		used[n] = true
	}
	opts.cpu = func() time.Duration { return 0 } // however busy the machine is
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !rtctest.Eventually(patience, ok) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// A client is a participant with a PeerConnection of its own. It negotiates politely.
type client struct {
	*rtctest.Negotiator
	t      testing.TB
	id     wire.ParticipantID
	peer   *Peer
	pc     *webrtc.PeerConnection
	link   *link
	reads  sync.WaitGroup
	stop   chan struct{} // ends publishing
	sendWG sync.WaitGroup

	mu       sync.Mutex
	closed   bool // no more tracks are read
	received map[wire.TrackLabel][]rtp.Packet
	messages []wire.ServerMessage   // but signals
	twcc     atomic.Int32           // feedback packets that came
	reports  map[uint32]rtcp.Packet // the last sender report by SSRC
}

// A link drops packets near the wire. It is an interceptor.
type link struct {
	interceptor.NoOp
	dropOut, dropIn atomic.Uint32 // one in so many; 0 = none
	out, in         atomic.Uint32
}

func (l *link) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *link) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if n := l.dropOut.Load(); n != 0 && l.out.Add(1)%n == 0 {
			return len(payload), nil
		}
		return w.Write(h, payload, a)
	})
}

func (l *link) BindRemoteStream(_ *interceptor.StreamInfo, r interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, attrs, err := r.Read(b, a)
			if every := l.dropIn.Load(); err == nil && every != 0 && l.in.Add(1)%every == 0 {
				continue
			}
			return n, attrs, err
		}
	})
}

// unshared gives who writes next a header of its own: pion's NACK responder resends from one it keeps, for two requests
// at once too, and what numbers packets writes into it. It is an interceptor.
type unshared struct{ interceptor.NoOp }

func (u *unshared) NewInterceptor(string) (interceptor.Interceptor, error) { return u, nil }

func (*unshared) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		own := h.Clone()
		return w.Write(&own, payload, a)
	})
}

// signals is a Send of PeerOptions that takes the signals among the messages.
func signals(take func(wire.Signal)) func(wire.ServerMessage) {
	return func(msg wire.ServerMessage) {
		if signal, ok := msg.(wire.Signal); ok {
			take(signal)
		}
	}
}

func allGrants() wire.Grants { return wire.RoleGrants(wire.RoleMember) }

// join makes a client and its peer. Cleanup ends both.
func join(t testing.TB, s *Server, room wire.RoomID, id wire.ParticipantID, grants wire.Grants) *client {
	t.Helper()
	return joinFrom(t, s, room, id, grants, defaultCodecs(t))
}

// defaultCodecs are those of browsers.
func defaultCodecs(t testing.TB) func(*webrtc.SettingEngine, *webrtc.MediaEngine) {
	return func(_ *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		if err := media.RegisterDefaultCodecs(); err != nil {
			t.Fatal(err)
		}
	}
}

// joinFrom is join from another network, or with other codecs: change sets them.
func joinFrom(t testing.TB, s *Server, room wire.RoomID, id wire.ParticipantID, grants wire.Grants,
	change func(*webrtc.SettingEngine, *webrtc.MediaEngine),
) *client {
	t.Helper()
	return joinWith(t, s, room, id, grants, webrtc.Configuration{}, change)
}

// joinWith is joinFrom with ICE servers or a policy.
func joinWith(t testing.TB, s *Server, room wire.RoomID, id wire.ParticipantID, grants wire.Grants, config webrtc.Configuration,
	change func(*webrtc.SettingEngine, *webrtc.MediaEngine),
) *client {
	t.Helper()
	c := &client{
		t: t, id: id, stop: make(chan struct{}), link: &link{},
		received: map[wire.TrackLabel][]rtp.Packet{}, reports: map[uint32]rtcp.Packet{},
	}
	c.connect(config, change)
	joined := make(chan struct{}) // the server may say something before Join returns
	c.Negotiator = rtctest.NewNegotiator(c.pc, id, c.signal, c.fail)
	c.do(func() { <-joined })
	peer, err := s.Join(room, id, PeerOptions{Grants: grants, Send: func(msg wire.ServerMessage) {
		c.do(func() { c.takeMessage(msg) })
	}})
	c.peer = peer
	close(joined)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (c *client) connect(config webrtc.Configuration, change func(*webrtc.SettingEngine, *webrtc.MediaEngine)) {
	settings := rtctest.Loopback()
	var media webrtc.MediaEngine
	if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uriAudioLevel}, webrtc.RTPCodecTypeAudio); err != nil {
		c.t.Fatal(err)
	}
	change(&settings, &media)
	registry := &interceptor.Registry{}
	registry.Add(c.link)
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(&media, registry); err != nil {
		c.t.Fatal(err)
	}
	registry.Add(&unshared{}) // above what numbers and below what resends
	if err := webrtc.RegisterDefaultInterceptors(&media, registry); err != nil {
		c.t.Fatal(err)
	}
	pc, err := rtctest.New(rtctest.Options{Settings: &settings, Media: &media, Interceptors: registry, Configuration: config})
	if err != nil {
		c.t.Fatal(err)
	}
	c.pc = pc
	pc.OnTrack(c.read)
}

// do has the loop do something, if it still runs.
func (c *client) do(f func()) { c.Do(f) }

// offer negotiates what the client has to send. It runs in the loop.
func (c *client) offer(options *webrtc.OfferOptions) { c.Offer(options) }

func (c *client) signal(signal wire.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.peer.Signal(ctx, signal)
}

// fail fails the test, unless the connection was closed meanwhile: by the test, or by the server's end of DTLS.
func (c *client) fail(err error) {
	if c.pc.SignalingState() != webrtc.SignalingStateClosed && c.peer.Err() == nil {
		c.t.Errorf("%s: %v", c.id, err)
	}
}

// takeMessage takes whatever the server says. It runs in the loop.
func (c *client) takeMessage(msg wire.ServerMessage) {
	if signal, ok := msg.(wire.Signal); ok {
		c.Take(signal)
		return
	}
	c.mu.Lock()
	c.messages = append(c.messages, msg)
	c.mu.Unlock()
}

// told returns what the server has said of one kind, but signals.
func told[M wire.ServerMessage](c *client) []M {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []M
	for _, msg := range c.messages {
		if m, ok := msg.(M); ok {
			list = append(list, m)
		}
	}
	return list
}

// read keeps what comes of one track under the label it has when its first packet comes.
func (c *client) read(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	mid := receiver.RTPTransceiver().Mid()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.reads.Go(func() {
		for {
			packets, _, err := receiver.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				if sr, ok := p.(*rtcp.SenderReport); ok {
					c.mu.Lock()
					c.reports[sr.SSRC] = sr
					c.mu.Unlock()
				}
			}
		}
	})
	c.reads.Go(func() {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			label := c.Theirs()[mid]
			c.mu.Lock()
			c.received[label] = append(c.received[label], *p)
			c.mu.Unlock()
		}
	})
}

// got returns the packets of one track so far.
func (c *client) got(from wire.ParticipantID, source wire.Source) []rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.received[wire.TrackLabel{Participant: from, Source: source}])
}

// A source sends a track at a steady pace, with a counter at the end of each payload.
type source struct {
	track      *webrtc.TrackLocalStaticRTP
	muted      atomic.Bool
	keys       atomic.Int32 // key frames asked for
	reports    atomic.Int32 // receiver reports
	needed     atomic.Bool
	sent       atomic.Uint32
	rtp        *webrtc.RTPTransceiver
	key, delta []byte        // payloads instead of the usual ones
	level      atomic.Uint32 // of sound, in -dBov
}

// publish adds a source and begins to send. The caller has the loop offer it.
func (c *client) publish(name wire.Source, mime string) *source {
	c.t.Helper()
	return c.publishRaw(name, mime, nil, nil, false)
}

// publishMuted is publish with a source that sends nothing yet.
func (c *client) publishMuted(name wire.Source, mime string) *source {
	c.t.Helper()
	return c.publishRaw(name, mime, nil, nil, true)
}

// publishRaw is publish with the payloads of key frames and of others.
func (c *client) publishRaw(name wire.Source, mime string, key, delta []byte, muted bool) *source {
	c.t.Helper()
	capability := webrtc.RTPCodecCapability{MimeType: mime}
	if mime == mimeRED { // of the others pion knows it
		capability.ClockRate, capability.Channels = 48000, 2
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, string(name), string(c.id))
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	src := &source{track: track, rtp: tr, key: key, delta: delta}
	src.needed.Store(true)
	src.muted.Store(muted)
	src.level.Store(127)
	c.reads.Go(func() { c.watch(src, tr.Sender()) })
	c.sendWG.Go(func() { src.run(c.stop, kindOfSource(name) == "video") })
	return src
}

// watch counts what the server says about a source.
func (c *client) watch(src *source, sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication:
				src.keys.Add(1)
				src.needed.Store(true)
			case *rtcp.ReceiverReport:
				src.reports.Add(1)
			case *rtcp.TransportLayerCC:
				c.twcc.Add(1)
			}
		}
	}
}

const (
	testAudioGap = 10 * time.Millisecond
	testVideoGap = 4 * time.Millisecond
)

func (src *source) run(stop chan struct{}, video bool) {
	gap, step := testAudioGap, uint32(480)
	if video {
		gap, step = testVideoGap, 180
	}
	tick := time.NewTicker(gap)
	defer tick.Stop()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 65000, Timestamp: 1<<32 - 4000}}
	for n := uint32(0); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if src.muted.Load() {
			continue
		}
		key := src.needed.Swap(false)
		if p.Payload = src.delta; key {
			p.Payload = src.key
		}
		if p.Payload == nil {
			p.Payload = testPayload(video, key, n)
		}
		if id := src.levelID(); id != 0 && !video {
			_ = p.SetExtension(id, []byte{byte(src.level.Load())})
		}
		_ = src.track.WriteRTP(&p)
		n++
		src.sent.Store(n)
		p.SequenceNumber++
		p.Timestamp += step
	}
}

// levelID is the id of the audio level extension, 0 = not negotiated.
func (src *source) levelID() uint8 {
	if src.rtp == nil { // of a connection that is not ours
		return 0
	}
	sender := src.rtp.Sender()
	if sender == nil || sender.Transport() == nil || sender.Transport().State() != webrtc.DTLSTransportStateConnected {
		return 0
	}
	return extensionID(sender.GetParameters().HeaderExtensions, uriAudioLevel)
}

// testPayload is a VP8 frame of one packet (RFC 7741 section 4.2, with a picture id of 15 bits), or just the counter.
func testPayload(video, key bool, n uint32) []byte {
	if !video {
		return binary.BigEndian.AppendUint32(make([]byte, 40, 44), n)
	}
	b := []byte{0x90, 0xc0, 0x80 | byte(n>>8)&0x7f, byte(n), byte(n), 0x01}
	if key {
		b[5] = 0x00
	}
	return binary.BigEndian.AppendUint32(append(b, make([]byte, 600)...), n)
}

func counter(p rtp.Packet) uint32 {
	if len(p.Payload) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(p.Payload[len(p.Payload)-4:])
}

// maxDisorder is by how many places a packet may be late: on a busy machine the first packets of a stream, which pion
// reads, come after some that the plane has read.
const maxDisorder = 64

// checkUnbroken says what is wrong with packets that should be one stream without loss, repeats or more disorder than
// that.
func checkUnbroken(list []rtp.Packet) error {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b rtp.Packet) int { return cmp.Compare(counter(a), counter(b)) })
	for i, p := range sorted {
		if i > 0 && (counter(p) != counter(sorted[i-1])+1 || p.SequenceNumber != sorted[i-1].SequenceNumber+1) {
			return fmt.Errorf("packet %d of %d: counter %d after %d, number %d after %d", i, len(sorted), counter(p), counter(sorted[i-1]),
				p.SequenceNumber, sorted[i-1].SequenceNumber)
		}
	}
	for i, p := range list {
		if late := i - int(counter(p)-counter(sorted[0])); late > maxDisorder {
			return fmt.Errorf("packet %d of %d: counter %d is %d late", i, len(list), counter(p), late)
		}
	}
	return nil
}

// close ends the client and its peer.
func (c *client) close() {
	c.mu.Lock()
	closed := c.closed
	c.closed = true // OnTrack comes no more
	c.mu.Unlock()
	if closed {
		return
	}
	close(c.stop)
	c.sendWG.Wait()
	c.Negotiator.Close()
	c.peer.Close()
	if err := c.pc.GracefulClose(); err != nil {
		c.t.Error(err)
	}
	c.reads.Wait()
}
