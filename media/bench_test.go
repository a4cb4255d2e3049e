//go:build unix

package media

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"confab/media/rtctest"
	"confab/signaling/wire"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// A sinkNet is the system's network, but for media that is sent: that is counted and goes nowhere.
type sinkNet struct {
	transport.Net
	count *atomic.Int64
}

func newSinkNet(b *testing.B) sinkNet {
	b.Helper()
	network, err := stdnet.NewNet()
	if err != nil {
		b.Fatal(err)
	}
	return sinkNet{network, new(atomic.Int64)}
}

func (n sinkNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := net.ListenUDP(network, addr)
	return &sinkConn{conn, n.count}, err
}

type sinkConn struct {
	*net.UDPConn
	count *atomic.Int64
}

// media reports whether b is RTP, not RTCP (RFC 5761 section 4), DTLS or STUN.
func (c *sinkConn) media(b []byte) bool {
	if len(b) < 2 || b[0]>>6 != 2 || b[1] >= 192 && b[1] <= 223 {
		return false
	}
	c.count.Add(1)
	return true
}

func (c *sinkConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.media(b) {
		return len(b), nil
	}
	return c.UDPConn.WriteTo(b, addr)
}

func (c *sinkConn) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if c.media(b) {
		return len(b), nil
	}
	return c.UDPConn.WriteToUDPAddrPort(b, addr)
}

func (c *sinkConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return c.UDPConn.ReadFromUDPAddrPort(b)
}

// benchPacket is 1.1 kB of video.
func benchPacket(b *testing.B, in *stream) []byte {
	b.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: in.payloadType}, Payload: make([]byte, 1100)}
	copy(p.Payload, testPayload(true, true, 0)[:6])
	raw, err := p.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// BenchmarkSend measures one packet up to the socket, encryption included: through this package, with its writers,
// and as a plain forwarder on pion with its default interceptors does it.
func BenchmarkSend(b *testing.B) {
	for _, viewers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("own/%d", viewers), func(b *testing.B) { benchmarkOwn(b, viewers) })
		b.Run(fmt.Sprintf("naive/%d", viewers), func(b *testing.B) { benchmarkNaive(b, viewers) })
	}
}

func benchmarkOwn(b *testing.B, viewers int) {
	network := newSinkNet(b)
	s, err := New(Options{Listen: loopback, Log: slog.New(slog.DiscardHandler), network: network, Limits: Limits{PeersPerRoom: viewers}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	in := bareStream(webrtc.MimeTypeVP8)
	raw := benchPacket(b, in)
	var clients []*client
	for i := range viewers {
		c := join(b, s, "room", wire.ParticipantID(fmt.Sprint(i)), allGrants())
		clients = append(clients, c)
	}
	s.rooms["room"].publish(in.in)
	for _, c := range clients {
		eventually(b, "a connection", func() bool {
			list := *c.peer.sending.Load()
			return c.peer.connected.Load() && len(list) == 1 && list[0].bound.Load() != nil && list[0].want.Load().live
		})
	}
	n := uint16(0)
	next := func() {
		n++
		raw[2], raw[3] = byte(n>>8), byte(n)
		in.receive(raw, time.Now())
	}
	measure(b, network, viewers, next)
	for _, c := range clients {
		c.close()
	}
}

// measure sends b.N packets, no more than a part of the ring ahead of what has reached the socket.
func measure(b *testing.B, network sinkNet, viewers int, next func()) {
	b.Helper()
	const ahead, warm = 64, 2 * videoSlots
	start, sent := network.count.Load(), 0
	send := func() {
		next()
		sent++
		for network.count.Load()-start < int64(sent-ahead)*int64(viewers) {
			time.Sleep(20 * time.Microsecond)
		}
	}
	for range warm {
		send()
	}
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		send()
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N*viewers), "cpu-ns/forwarded")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*viewers), "ns/forwarded")
}

// processorTime is what all cores have spent on this process: the writers of the viewers run beside each other.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func benchmarkNaive(b *testing.B, viewers int) {
	network := newSinkNet(b)
	conn, err := network.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		b.Fatal(err)
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Net: network})
	defer mux.Close()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "naive")
	if err != nil {
		b.Fatal(err)
	}
	for range viewers {
		forwarder, viewer := naivePeer(b, mux), naivePeer(b, nil)
		defer forwarder.GracefulClose()
		defer viewer.GracefulClose()
		sender, err := forwarder.AddTrack(track)
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for buf := make([]byte, maxPacket); ; {
				if _, _, err := sender.Read(buf); err != nil {
					return
				}
			}
		}()
		connectNaive(b, forwarder, viewer)
	}
	p := rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 1100)}
	measure(b, network, viewers, func() {
		p.SequenceNumber++
		if err := track.WriteRTP(&p); err != nil {
			b.Fatal(err)
		}
	})
}

func naivePeer(b *testing.B, mux ice.UDPMux) *webrtc.PeerConnection {
	b.Helper()
	settings := rtctest.Loopback()
	if mux != nil {
		settings.SetICEUDPMux(mux)
	}
	pc, err := rtctest.New(rtctest.Options{Settings: &settings})
	if err != nil {
		b.Fatal(err)
	}
	return pc
}

func connectNaive(b *testing.B, from, to *webrtc.PeerConnection) {
	b.Helper()
	if err := rtctest.Negotiate(from, to, nil); err != nil {
		b.Fatal(err)
	}
	eventually(b, "a connection", func() bool { return from.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

// benchLayers makes a track of simulcast layers with subscribers that have one each; every second one has half of the
// pictures. What it returns sends picture n in all layers, and on to all.
func benchLayers(t testing.TB, layers, subscribers int) (func(n uint32), []*egress) {
	t.Helper()
	first := bareStream(webrtc.MimeTypeVP8)
	streams := []*stream{first}
	for i := 1; i < layers; i++ {
		streams = append(streams, addBare(first.in, i))
	}
	first.in.rids = []string{"q", "h", "f"}[:layers]
	raw := make([][]byte, layers)
	picture := func(n uint32, key bool, now time.Time) {
		for i, s := range streams {
			if raw[i] == nil || key {
				p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, Marker: true}, Payload: simulcastPayload(i, i, n, key)}
				raw[i], _ = p.Marshal()
			}
			b, ts := raw[i], 3000*n
			b[2], b[3] = byte(n>>8), byte(n)
			b[4], b[5], b[6], b[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
			b[14], b[15] = 0x80|byte(n>>8)&0x7f, byte(n) // picture id
			if b[17] = 0; n%2 == 1 {
				b[17] = 0x60
			}
			s.receive(b, now)
		}
	}
	var list []*egress
	for i := range subscribers {
		e := subscriber(t.Context(), t, first, &sink{forget: true})
		want := target{stream: uint8(i % layers), layer: layer{temporal: maxTemporal - 1}}
		if i%2 == 1 {
			want.layer.temporal = 0
		}
		e.target.Store(&want)
		e.notify()
		e.pump(nil, time.Now())
		list = append(list, e)
	}
	send := func(n uint32) {
		now := time.Now()
		picture(n, n == 1, now)
		if n == 1 {
			raw = make([][]byte, layers)
		}
		for _, e := range list {
			e.pump(nil, now)
		}
	}
	return send, list
}

// BenchmarkSelect measures one picture of each of three simulcast layers, from the publisher's bytes to the transports
// of subscribers that have one layer each, every second one with half of the pictures.
func BenchmarkSelect(b *testing.B) {
	const subscribers = 99
	send, _ := benchLayers(b, 3, subscribers)
	n := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		send(n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/subscriber")
}

// BenchmarkChoose measures what one client's control does a few times a second in a call of a hundred cameras.
func BenchmarkChoose(b *testing.B) {
	p := &Peer{due: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	var list []*egress
	var tracks []*ingress
	for i := range 100 {
		s := bareStream(webrtc.MimeTypeVP8)
		s.in.rids, s.in.key.participant = []string{"q", "h", "f"}, wire.ParticipantID(fmt.Sprint(i))
		e := newEgress(p, webrtc.RTPCodecTypeVideo, "s0")
		e.assign(&feed{in: s.in, live: true, sub: subscription{width: 300 + 20*i, height: 150 + 10*i}})
		list, tracks = append(list, e), append(tracks, s.in)
	}
	p.sending.Store(&list)
	now := time.Unix(1000, 0)
	b.ReportAllocs()
	for b.Loop() {
		for _, in := range tracks {
			measured := simulcastQualities()
			in.qualities.Store(&measured)
		}
		now = now.Add(measureInterval)
		p.choose(now)
	}
}
