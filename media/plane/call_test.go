package plane

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/media/rtctest"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !rtctest.Eventually(patience, ok) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// nonces records what is sent and fails the test when one is used twice: the proof of the rule.
type nonces struct {
	t    testing.TB
	mu   sync.Mutex
	seen map[Nonce]bool
}

func (n *nonces) sent(nonce Nonce) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[nonce] {
		n.t.Errorf("a nonce is used twice: SSRC %d, index %d, RTCP %v", nonce.SSRC, nonce.Index, nonce.RTCP)
	}
	n.seen[nonce] = true
}

func (n *nonces) count(of func(Nonce) bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for nonce := range n.seen {
		if of(nonce) {
			count++
		}
	}
	return count
}

func isRTP(n Nonce) bool  { return !n.RTCP }
func isRTCP(n Nonce) bool { return n.RTCP }

// A sfu is a forwarder as small as it can be: each track is sent to all who have been given it. It is guarded by its
// shard's lock.
type sfu struct {
	t     testing.TB
	plane *Plane
	shard *Shard
	conn  *Conn
	mux   ice.UDPMux
	sent  *nonces

	track atomic.Pointer[upTrack]
}

func newSFU(t testing.TB) *sfu {
	t.Helper()
	f := &sfu{t: t, sent: &nonces{t: t, seen: map[Nonce]bool{}}}
	f.plane = New(Options{Shards: 3, Sent: f.sent.sent})
	f.shard = f.plane.Shard(1)
	conn, err := f.plane.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	f.conn, f.mux = conn, ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn})
	t.Cleanup(func() {
		if err := f.mux.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// An upTrack keeps what a publisher sends, and forwards it.
type upTrack struct {
	sfu     *sfu
	packets map[uint16][]byte
	pending []uint16
	viewers []*downTrack
	lose    int // one in so many is not sent the first time; 0 = none
	lost    int
}

// RTP implements Sink.
func (u *upTrack) RTP(w *Writer, header *rtp.Header, packet, _ []byte, _ time.Time) {
	if len(u.pending) == 0 {
		w.AtEnd(u)
	}
	u.packets[header.SequenceNumber] = slices.Clone(packet)
	u.pending = append(u.pending, header.SequenceNumber)
}

// Prefetch implements Task.
func (u *upTrack) Prefetch(int) {}

// EndOfBatch implements Task.
func (u *upTrack) EndOfBatch(w *Writer, _ time.Time) {
	for _, v := range u.viewers {
		for _, seq := range u.pending {
			if u.lose > 0 && int(seq)%u.lose == 0 {
				u.lost++
				continue
			}
			v.send(w, u.packets[seq], false)
		}
	}
	u.pending = u.pending[:0]
}

// A downTrack is what one viewer gets of it. It implements webrtc.TrackLocal to learn its numbers.
type downTrack struct {
	id        string
	transport *Transport
	up        *upTrack
	bound     atomic.Pointer[webrtc.TrackLocalContext]
	ssrc, rtx uint32
	pt, rtxPT uint8
	rtxSeq    uint16
	resent    int
	refused   int
}

func (d *downTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	d.ssrc, d.rtx = uint32(ctx.SSRC()), uint32(ctx.SSRCRetransmission())
	codecs := ctx.CodecParameters()
	for _, c := range codecs {
		if c.MimeType == webrtc.MimeTypeVP8 {
			d.pt = uint8(c.PayloadType)
		}
	}
	for _, c := range codecs {
		if c.MimeType == webrtc.MimeTypeRTX && c.SDPFmtpLine == fmt.Sprintf("apt=%d", d.pt) {
			d.rtxPT = uint8(c.PayloadType)
		}
	}
	d.bound.Store(&ctx)
	return codecs[0], nil
}

func (d *downTrack) Unbind(webrtc.TrackLocalContext) error { return nil }
func (d *downTrack) ID() string                            { return d.id }
func (d *downTrack) RID() string                           { return "" }
func (d *downTrack) StreamID() string                      { return "stream" }
func (d *downTrack) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }

// send rewrites a packet for the viewer: on the media stream, or as a retransmission (RFC 4588 section 4).
func (d *downTrack) send(w *Writer, packet []byte, again bool) {
	if packet == nil || d.ssrc == 0 {
		return
	}
	out := slices.Clone(packet)
	out[1] = out[1]&0x80 | d.pt
	binary.BigEndian.PutUint32(out[8:], d.ssrc)
	if again {
		d.rtxSeq++
		at := headerSize(out)
		out = slices.Insert(out, at, out[2], out[3])
		out[1] = out[1]&0x80 | d.rtxPT
		binary.BigEndian.PutUint16(out[2:], d.rtxSeq)
		binary.BigEndian.PutUint32(out[8:], d.rtx)
		d.resent++
	}
	if err := w.RTP(d.transport, out); err != nil {
		d.refused++
	}
}

// RTCP implements Feedback: it sends again what is missing.
func (d *downTrack) RTCP(w *Writer, packet []byte, _ time.Time) {
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		return
	}
	for _, p := range packets {
		nack, ok := p.(*rtcp.TransportLayerNack)
		if !ok || nack.MediaSSRC != d.ssrc || d.up == nil {
			continue
		}
		for _, pair := range nack.Nacks {
			for _, seq := range pair.PacketList() {
				d.send(w, d.up.packets[seq], true)
			}
		}
	}
}

// A leg is one participant: the PeerConnection on each side.
type leg struct {
	*Transport
	server, client *webrtc.PeerConnection
	down           *downTrack
	pairs          atomic.Int32 // selected so far
	serves         chan bool    // what Serve has said
	reads          sync.WaitGroup

	mu       sync.Mutex
	received []rtp.Packet // guarded by mu
}

type legOptions struct {
	profiles   []dtls.SRTPProtectionProfile // of the client's; nil = AES-128-GCM
	clientRole webrtc.DTLSRole              // of the client when it answers
}

// newLeg makes both sides of one participant. Cleanup ends them.
func (f *sfu) newLeg(opts legOptions) *leg {
	f.t.Helper()
	l := &leg{serves: make(chan bool, 1), down: &downTrack{id: "track"}}
	l.Transport = f.shard.NewTransport(l.down)
	l.down.transport = l.Transport
	settings := rtctest.Loopback()
	settings.SetICEUDPMux(f.mux)
	settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	l.Configure(&settings)
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		f.t.Fatal(err)
	}
	l.server = newConnection(f.t, settings, &interceptor.Registry{})
	l.watch()

	settings = rtctest.Loopback()
	if opts.profiles == nil {
		opts.profiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM}
	}
	settings.SetSRTPProtectionProfiles(opts.profiles...)
	if opts.clientRole != 0 {
		if err := settings.SetAnsweringDTLSRole(opts.clientRole); err != nil {
			f.t.Fatal(err)
		}
	}
	registry := &interceptor.Registry{}
	if err := webrtc.ConfigureNack(&webrtc.MediaEngine{}, registry); err != nil { // the default codecs have it negotiated
		f.t.Fatal(err)
	}
	if err := webrtc.ConfigureRTCPReports(registry); err != nil {
		f.t.Fatal(err)
	}
	l.client = newConnection(f.t, settings, registry)
	l.client.OnTrack(l.read)
	f.t.Cleanup(l.close)
	return l
}

func newConnection(t testing.TB, settings webrtc.SettingEngine, registry *interceptor.Registry) *webrtc.PeerConnection {
	t.Helper()
	pc, err := rtctest.New(rtctest.Options{Settings: &settings, Interceptors: registry})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

// watch tells the Transport what happens to the connection, as a server has to.
func (l *leg) watch() {
	path := l.server.SCTP().Transport().ICETransport()
	path.OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		_ = l.Moved(pair)
		l.pairs.Add(1)
	})
	l.server.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state != webrtc.PeerConnectionStateConnected {
			return
		}
		select {
		case l.serves <- l.Serve():
		default: // connected again
		}
	})
}

// read keeps what the client gets.
func (l *leg) read(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	l.reads.Go(func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	})
	l.reads.Go(func() {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.received = append(l.received, *p)
			l.mu.Unlock()
		}
	})
}

// got returns the counters of all packets that have come, sorted, each once.
func (l *leg) got() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	counters := make([]uint32, 0, len(l.received))
	for _, p := range l.received {
		counters = append(counters, binary.BigEndian.Uint32(p.Payload))
	}
	slices.Sort(counters)
	return slices.Compact(counters)
}

func (l *leg) close() {
	_ = l.client.GracefulClose()
	_ = l.server.GracefulClose()
	l.Transport.Close()
	l.reads.Wait()
}

// negotiate is one offer and its answer, with all candidates in them.
func negotiate(t testing.TB, from, to *webrtc.PeerConnection, options *webrtc.OfferOptions) {
	t.Helper()
	if err := rtctest.Negotiate(from, to, options); err != nil {
		t.Fatal(err)
	}
}

// A sender publishes one track from its client.
type sender struct {
	*leg
	track  *webrtc.TrackLocalStaticRTP
	packet rtp.Packet
	n      uint32
}

// publish makes a participant whose track the forwarder takes.
func (f *sfu) publish() *sender {
	f.t.Helper()
	s := &sender{leg: f.newLeg(legOptions{}), packet: rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 65000}}}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "publisher")
	if err != nil {
		f.t.Fatal(err)
	}
	s.track = track
	if _, err := s.client.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		f.t.Fatal(err)
	}
	s.server.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		up := &upTrack{sfu: f, packets: map[uint16][]byte{}}
		s.Claim(uint32(remote.SSRC()), up)
		f.track.Store(up)
	})
	negotiate(f.t, s.client, s.server, nil)
	if !<-s.serves {
		f.t.Fatal("the publisher is not served")
	}
	eventually(f.t, "the forwarder has the track", func() bool {
		s.send(1)
		return f.track.Load() != nil
	})
	return s
}

// send sends packets of 1.1 kB with a counter in front.
func (s *sender) send(count int) {
	for range count {
		s.packet.Payload = make([]byte, 1100)
		binary.BigEndian.PutUint32(s.packet.Payload, s.n)
		s.n++
		s.packet.SequenceNumber++
		s.packet.Timestamp += 3000
		_ = s.track.WriteRTP(&s.packet)
	}
}

// subscribe makes a participant who gets the track.
func (f *sfu) subscribe(opts legOptions) (l *leg, served bool) {
	f.t.Helper()
	l = f.newLeg(opts)
	init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
	if _, err := l.server.AddTransceiverFromTrack(l.down, init); err != nil {
		f.t.Fatal(err)
	}
	negotiate(f.t, l.server, l.client, nil)
	served = <-l.serves
	f.shard.Do(func(*Writer) {
		l.down.up = f.track.Load()
		l.down.up.viewers = append(l.down.up.viewers, l.down)
	})
	return l, served
}

// sendUntilAllHave sends a frame and waits until all viewers have all of it. Meanwhile a packet follows now and then, by
// which a client notices what was lost last, but few: it asks only for the newest.
func (s *sender) sendUntilAllHave(t testing.TB, viewers ...*leg) {
	t.Helper()
	const gap = 50 * time.Millisecond
	from := s.n
	s.send(20)
	to := s.n
	last := time.Now()
	for i, v := range viewers {
		eventually(t, fmt.Sprintf("viewer %d has packets %d to %d", i, from, to), func() bool {
			if now := time.Now(); now.Sub(last) >= gap {
				last = now
				s.send(1)
			}
			got := v.got()
			first, found := slices.BinarySearch(got, from)
			return found && len(got)-first >= int(to-from) && got[first+int(to-from)-1] == to-1
		})
	}
}

// TestCall is a call of a publisher and two viewers, all pion clients that decrypt with their own keys, through loss
// and repair, a renegotiation, an ICE restart that moves a viewer to another port, and pion trying to send itself.
func TestCall(t *testing.T) {
	f := newSFU(t)
	publisher := f.publish()
	first, ok := f.subscribe(legOptions{})
	second, ok2 := f.subscribe(legOptions{profiles: []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_256_GCM}})
	if !ok || !ok2 {
		t.Fatalf("the viewers are not served: %v, %v", ok, ok2)
	}
	publisher.sendUntilAllHave(t, first, second)

	t.Run("loss and resends", func(t *testing.T) {
		f.shard.Do(func(*Writer) { f.track.Load().lose = 7 })
		for range 10 {
			publisher.sendUntilAllHave(t, first, second)
		}
		f.shard.Do(func(*Writer) {
			up := f.track.Load()
			if up.lost == 0 || first.down.resent == 0 || second.down.resent == 0 {
				t.Errorf("%d lost, %d and %d resent", up.lost, first.down.resent, second.down.resent)
			}
			up.lose = 0
		})
	})
	t.Run("reports", func(t *testing.T) { testReports(t, f, first) })
	t.Run("renegotiation", func(t *testing.T) {
		if _, err := first.server.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
		negotiate(t, first.server, first.client, nil)
		publisher.sendUntilAllHave(t, first, second)
	})
	t.Run("ICE restart", func(t *testing.T) { testRestart(t, publisher, first, second) })
	t.Run("pion may not send", func(t *testing.T) { testPionIsRefused(t, f, publisher, first, second) })

	stats := f.plane.Stats()
	if rtp := f.sent.count(isRTP); uint64(rtp+f.sent.count(isRTCP)) != stats.Sent+stats.Dropped {
		t.Errorf("%d nonces of RTP and %d of RTCP, %+v", rtp, f.sent.count(isRTCP), stats)
	}
	f.shard.Do(func(*Writer) {
		if first.down.refused+second.down.refused != 0 {
			t.Errorf("%d and %d packets could not be written", first.down.refused, second.down.refused)
		}
	})
}

// testReports sends sender reports beside the media, from another goroutine than the reader.
func testReports(t *testing.T, f *sfu, viewer *leg) {
	for i := range 50 {
		raw, err := (&rtcp.SenderReport{SSRC: viewer.down.ssrc, NTPTime: uint64(i), PacketCount: uint32(i)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		f.shard.Do(func(w *Writer) {
			if err := w.RTCP(viewer.Transport, raw); err != nil {
				t.Error(err)
			}
		})
	}
	if n := f.sent.count(isRTCP); n != 50 {
		t.Errorf("%d reports sent", n)
	}
}

// testRestart has a viewer and the publisher come back from other ports.
func testRestart(t *testing.T, publisher *sender, viewers ...*leg) {
	for _, l := range []*leg{viewers[0], publisher.leg} {
		before, pairs := remotePort(t, l), l.pairs.Load()
		negotiate(t, l.server, l.client, &webrtc.OfferOptions{ICERestart: true})
		eventually(t, "another pair", func() bool { return l.pairs.Load() > pairs && remotePort(t, l) != before })
		publisher.sendUntilAllHave(t, viewers...)
		if !l.Serve() {
			t.Error("the plane has let go")
		}
	}
}

func remotePort(t *testing.T, l *leg) uint16 {
	pair, err := l.server.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatalf("no pair: %v", err)
	}
	return pair.Remote.Port
}

// testPionIsRefused writes through pion where the plane serves: nothing of it may leave.
func testPionIsRefused(t *testing.T, f *sfu, publisher *sender, first, second *leg) {
	before := f.plane.Stats()
	writer := (*first.down.bound.Load()).WriteStream()
	for seq := range uint16(20) {
		header := &rtp.Header{Version: 2, SequenceNumber: seq, SSRC: first.down.ssrc, PayloadType: first.down.pt}
		// ICE logs what its socket says and returns no error.
		_, _ = writer.WriteRTP(header, []byte{0xff, 0xff, 0xff, 0xff})
		_ = first.server.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 1}})
	}
	if after := f.plane.Stats(); after.Refused-before.Refused != 40 {
		t.Errorf("%d of 40 refused", after.Refused-before.Refused)
	}
	publisher.sendUntilAllHave(t, first, second)
	if slices.Contains(first.got(), 0xffffffff) {
		t.Error("what pion has sent has come")
	}
}

// TestWhoIsLeftToPion has clients whose media the plane cannot move: pion does, on the same socket, and it is not refused.
func TestWhoIsLeftToPion(t *testing.T) {
	for name, opts := range map[string]legOptions{
		"another profile":        {profiles: []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80}},
		"the client's handshake": {clientRole: webrtc.DTLSRoleServer},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSFU(t)
			publisher := f.publish()
			viewer, served := f.subscribe(opts)
			if served {
				t.Fatal("the plane says that it serves")
			}
			writer := (*viewer.down.bound.Load()).WriteStream()
			seq := uint16(0)
			eventually(t, "a packet of pion's", func() bool {
				seq++
				header := &rtp.Header{Version: 2, SequenceNumber: seq, SSRC: viewer.down.ssrc, PayloadType: viewer.down.pt}
				if _, err := writer.WriteRTP(header, []byte{1, 2, 3, 4}); err != nil {
					t.Error(err)
				}
				return len(viewer.got()) > 0
			})
			publisher.send(10)
			eventually(t, "the forwarder is told", func() bool {
				refused := 0
				f.shard.Do(func(*Writer) { refused = viewer.down.refused })
				return refused > 0
			})
			if n := f.sent.count(isRTP); n != 0 {
				t.Errorf("the plane has sent %d packets", n)
			}
		})
	}
}

// TestGarbageChangesNothing throws what anybody can send at the port while a call goes on: from a socket of no peer,
// and with a peer's own address as far as the loopback allows.
func TestGarbageChangesNothing(t *testing.T) {
	f := newSFU(t)
	publisher := f.publish()
	viewer, _ := f.subscribe(legOptions{})
	stranger, err := net.DialUDP("udp4", nil, f.conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	garbage := [][]byte{
		{}, {0}, {0x80}, {0x80, 96}, {0xff, 0xff, 0xff}, make([]byte, maxDatagram), make([]byte, 9000),
		{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0, 200, 1, 2, 3, 4},
		{0, 1, 0xff, 0xff, 0x21, 0x12, 0xa4, 0x42},
		{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1},
		append([]byte{0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff}, make([]byte, 100)...),
		append([]byte{0x81, 205, 0xff, 0xff, 0, 0, 0, 1}, make([]byte, 40)...),
		append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 1200)...),
	}
	remote := publisher.server.SCTP().Transport().ICETransport()
	pair, err := remote.GetSelectedCandidatePair()
	if err != nil {
		t.Fatal(err)
	}
	_, known, _ := f.plane.pathOf(pair)
	for round := range 20 {
		for _, g := range garbage {
			if _, err := stranger.Write(g); err != nil {
				t.Fatal(err)
			}
			if len(g) <= maxDatagram { // from the publisher's own address: as if it had been received
				f.plane.take([]datagram{{data: slices.Clone(g), from: known}})
			}
		}
		if round%5 == 0 {
			publisher.sendUntilAllHave(t, viewer)
		}
	}
	publisher.sendUntilAllHave(t, viewer)
	if stats := f.plane.Stats(); stats.Rejected != 60 {
		t.Errorf("%+v", stats)
	}
}
