package plane

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

func TestClassify(t *testing.T) {
	long := func(first ...byte) []byte { return append(first, make([]byte, 20)...) }
	for name, c := range map[string]struct {
		b    []byte
		want kind
	}{
		"nothing":              {nil, other},
		"a STUN request":       {long(0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42), other},
		"a DTLS hello":         {long(22, 254, 253), other},
		"a TURN channel":       {long(0x40, 0x00), other},
		"RTP":                  {long(0x80, 96), kindRTP},
		"RTP with marker":      {long(0x90, 0x80|96), kindRTP},
		"RTP 63 with marker":   {long(0x80, 0x80|63), kindRTP},
		"a sender report":      {long(0x80, 200), kindRTCP},
		"feedback":             {long(0x81, 205), kindRTCP},
		"the ends of RTCP":     {long(0x80, 223), kindRTCP},
		"beyond RTCP":          {long(0x80, 224), kindRTP},
		"below RTCP":           {long(0x80, 191), kindRTP},
		"RTP without a header": {[]byte{0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0}, other},
		"RTCP without SSRC":    {[]byte{0x80, 200, 0, 1, 0, 0, 0}, other},
		"an old version":       {long(0x40, 200), other},
		"a later version":      {long(0xc0, 200), other},
	} {
		t.Run(name, func(t *testing.T) {
			if got := classify(c.b); got != c.want {
				t.Errorf("got %d; want %d", got, c.want)
			}
		})
	}
}

// taken counts what a Transport hands on.
type taken struct{ rtp, rtcp int }

func (c *taken) RTP(_ *Writer, header *rtp.Header, packet, payload []byte, _ time.Time) {
	if len(packet) < len(payload) || header.Version != 2 {
		panic("not a packet")
	}
	c.rtp++
}

func (c *taken) RTCP(*Writer, []byte, time.Time) { c.rtcp++ }

const claimedSSRC = 0x01020304

var knownAddr, strangeAddr = netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.2:5000")

// servedTransport is a Transport with keys and an address, and the context of its peer.
func servedTransport(t testing.TB) (*Transport, *taken, *srtp.Context) {
	t.Helper()
	key, salt := bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 12)
	peer, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	got := &taken{}
	transport := New(Options{Shards: 1}).Shard(0).NewTransport(got)
	if transport.out, err = newContext(key, salt); err != nil {
		t.Fatal(err)
	}
	if transport.in, err = newContext(key, salt); err != nil {
		t.Fatal(err)
	}
	transport.state = served
	transport.paths = []netip.AddrPort{knownAddr}
	transport.shard.plane.learn(knownAddr, transport)
	transport.Claim(claimedSSRC, got)
	return transport, got, peer
}

func encryptedRTP(t testing.TB, peer *srtp.Context, ssrc uint32, seq uint16) []byte {
	t.Helper()
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq}, Payload: []byte("payload")}
	if err := packet.Header.SetExtension(1, []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	plain, err := packet.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := peer.EncryptRTP(nil, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted
}

func encryptedRTCP(t testing.TB, peer *srtp.Context) []byte {
	t.Helper()
	encrypted, err := peer.EncryptRTCP(nil, []byte{0x81, 206, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return encrypted
}

func TestDatagramsGoWhereTheyBelong(t *testing.T) {
	transport, got, peer := servedTransport(t)
	good, report := encryptedRTP(t, peer, claimedSSRC, 1), encryptedRTCP(t, peer)
	forged := bytes.Clone(encryptedRTP(t, peer, claimedSSRC, 2))
	forged[len(forged)-1] ^= 1
	clear := bytes.Clone(encryptedRTCP(t, peer))
	clear[len(clear)-4] &^= 0x80
	for _, c := range []struct {
		name           string
		data           []byte
		from           netip.AddrPort
		pion           bool
		rtp, rtcp, bad int // more of each
	}{
		{"STUN", []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0}, knownAddr, true, 0, 0, 0},
		{"media of a stranger", good, strangeAddr, true, 0, 0, 0},
		{"media", good, knownAddr, false, 1, 0, 0},
		{"the same again", good, knownAddr, false, 0, 0, 1},
		{"forged media", forged, knownAddr, false, 0, 0, 1},
		{"media that nobody has claimed", encryptedRTP(t, peer, 99, 1), knownAddr, true, 0, 0, 0},
		{"feedback", report, knownAddr, false, 0, 1, 0},
		{"feedback again", report, knownAddr, false, 0, 0, 1},
		{"feedback cut short", report[:len(report)-1], knownAddr, false, 0, 0, 1},
		{"media of nothing", good[:12], knownAddr, false, 0, 0, 1},
		{"feedback of nothing", report[:8], knownAddr, false, 0, 0, 1},
		{"feedback in the clear", clear, knownAddr, false, 0, 0, 1},
	} {
		before, stats := *got, transport.shard.stats
		batch := []datagram{{data: bytes.Clone(c.data), from: c.from}}
		transport.shard.plane.take(batch)
		if batch[0].pion != c.pion || got.rtp-before.rtp != c.rtp || got.rtcp-before.rtcp != c.rtcp ||
			transport.shard.stats.Rejected-stats.Rejected != uint64(c.bad) {
			t.Errorf("%s: pion %v, %+v after %+v, %+v", c.name, batch[0].pion, *got, before, transport.shard.stats)
		}
		if !bytes.Equal(batch[0].data, c.data) {
			t.Errorf("%s: pion would get other bytes than came", c.name)
		}
	}
}

// TestTakingOverAcrossTheWrap has numbers begin anew while the media is still pion's: who takes over must know.
func TestTakingOverAcrossTheWrap(t *testing.T) {
	transport, got, peer := servedTransport(t)
	key, salt := bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 12)
	transport.state, transport.in, transport.out, transport.conn = pending, nil, nil, &Conn{}
	bring := func(seq uint16) (pion bool) {
		batch := []datagram{{data: encryptedRTP(t, peer, claimedSSRC, seq), from: knownAddr}}
		transport.shard.plane.take(batch)
		return batch[0].pion
	}
	if !bring(65533) {
		t.Fatal("kept from pion before there are keys")
	}
	transport.keys.profile = srtp.ProtectionProfileAeadAes128Gcm
	transport.keys.keys = &srtp.SessionKeys{LocalMasterKey: key, LocalMasterSalt: salt, RemoteMasterKey: key, RemoteMasterSalt: salt}
	for _, seq := range []uint16{65534, 65535, 0} {
		if !bring(seq) {
			t.Fatal("kept from pion before Serve")
		}
	}
	if !transport.Serve() {
		t.Fatal("not served")
	}
	if bring(1) || got.rtp != 1 {
		t.Errorf("%+v, %+v", *got, transport.shard.stats)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	transport, got, peer := servedTransport(t)
	for ssrc := range uint32(maxStreams + 50) {
		transport.shard.plane.take([]datagram{{data: encryptedRTP(t, peer, ssrc, 1), from: knownAddr}})
	}
	if len(transport.streams) != maxStreams+1 || transport.shard.stats.Rejected != 50 { // one has not come yet, but is claimed
		t.Errorf("%d streams kept, %+v", len(transport.streams), transport.shard.stats)
	}
	if transport.Claim(claimedSSRC, nil); len(transport.streams) != maxStreams {
		t.Error("a stream that nobody waits for is kept")
	}
	batch := []datagram{{data: encryptedRTP(t, peer, 5, 2), from: knownAddr}}
	transport.shard.plane.take(batch)
	if !batch[0].pion || got.rtp != 0 {
		t.Error("a stream that was there is shut out")
	}
}

// FuzzDatagrams feeds the receiving side what anybody can send to the port, from an address it knows and from one it
// doesn't. Nothing that was not encrypted by the peer may be handed on, and only media is kept from pion.
func FuzzDatagrams(f *testing.F) {
	transport, got, peer := servedTransport(f)
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10})
	f.Add([]byte{0x9f, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0xbe, 0xde, 0xff, 0xff})
	f.Add([]byte{0xb0, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0x10, 0, 0, 1, 1, 2, 3, 4})
	f.Add([]byte{0x81, 205, 0, 3, 1, 2, 3, 4, 1, 2, 3, 4, 0, 1, 0, 0, 0x80, 0, 0, 1})
	f.Add(encryptedRTP(f, peer, claimedSSRC, 1)[:30])
	f.Add(encryptedRTCP(f, peer)[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxDatagram {
			return // never received
		}
		batch := []datagram{{data: bytes.Clone(data), from: knownAddr}, {data: bytes.Clone(data), from: strangeAddr}}
		transport.shard.plane.take(batch)
		if got.rtp+got.rtcp != 0 {
			t.Errorf("handed on: %x", data)
		}
		if batch[0].pion != (classify(data) == other) || !batch[1].pion {
			t.Errorf("pion gets %v from a known address, %v from a strange one: %x", batch[0].pion, batch[1].pion, data)
		}
		if classify(data) != other && !isMedia(data) {
			t.Errorf("media that pion would take for something else: %x", data)
		}
	})
}

// TestTakeLetsGo: a socket keeps the datagrams of a large batch until another as large comes, and must not keep with
// them whose media they were.
func TestTakeLetsGo(t *testing.T) {
	p := New(Options{})
	from := netip.MustParseAddrPort("192.0.2.1:5000")
	transport := p.Shard(0).NewTransport(nil)
	p.learn(from, transport)
	media := append([]byte{0x80, 96}, make([]byte, 20)...)
	batch := []datagram{{data: media, from: from}, {data: media, from: netip.MustParseAddrPort("192.0.2.2:5000")}}
	p.take(batch)
	for i, d := range batch {
		if d.to != nil || !d.pion {
			t.Errorf("datagram %d: %+v; want it pion's, of no transport", i, d)
		}
	}
}
