package turn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// Two clients, each with a relay, reach each other by their relays, whatever way each has to the server.
func TestRelayToRelay(t *testing.T) {
	config, pool := selfSigned(t)
	s := start(t, func(o *Options) { o.ListenTLS, o.TLS = loopback, config })
	for _, ways := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tls", "tcp"}, {"tls", "tls"}} {
		t.Run(fmt.Sprint(ways), func(t *testing.T) {
			before := s.Stats()
			var ends [2]net.PacketConn
			for i, way := range ways {
				var err error
				if ends[i], err = dial(t, s, way, s.Credentials("ann"), pool).Allocate(); err != nil {
					t.Fatal(err)
				}
				if got := ends[i].LocalAddr().(*net.UDPAddr).IP.String(); got != "127.0.0.1" {
					t.Errorf("relayed at %s", got)
				}
			}
			for i := range ends { // what each sends first only opens its own side for the other
				if _, err := ends[i].WriteTo([]byte("open"), ends[1-i].LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 20 {
				if !passes(t, ends[i%2], ends[1-i%2], ends[1-i%2].LocalAddr(), patience) {
					t.Fatalf("packet %d is lost", i)
				}
			}
			for _, end := range ends {
				if err := end.Close(); err != nil {
					t.Error(err)
				}
			}
			eventually(t, "no allocation is left", func() bool { return s.Stats().Open == 0 })
			after := s.Stats()
			if after.Allocated-before.Allocated != 2 || after.Sent-before.Sent < 20*6 || after.Received-before.Received < 20*6 {
				t.Errorf("counted %+v, before %+v", after, before)
			}
		})
	}
}

// A relay to what is no public address is refused by name, whether the address is written plainly or in another form.
func TestPeersRefused(t *testing.T) {
	s := start(t, nil)
	client, _ := allocate(t, s, "udp", "ann")
	for _, ip := range []string{
		"127.0.0.2", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.169.254",
		"224.0.0.251", "239.255.255.250", "255.255.255.255", "198.51.100.1", "203.0.113.1", "240.0.0.1", "::ffff:10.0.0.1",
	} {
		err := client.CreatePermission(&net.UDPAddr{IP: net.ParseIP(ip), Port: 80})
		wantCode(t, ip, err, stun.CodeForbidden)
	}
	if err := client.CreatePermission(&net.UDPAddr{IP: net.IPv4(9, 9, 9, 9), Port: 53}); err != nil {
		t.Errorf("a public address: %v", err)
	}
	if s.Stats().Denied == 0 {
		t.Error("not counted")
	}
}

// The same by IPv6, where an address may also carry one of IPv4.
func TestPeersRefusedByIPv6(t *testing.T) {
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	defer conn.Close()
	s := start(t, func(o *Options) { o.Listen = netip.MustParseAddrPort("[::1]:0") })
	credentials := s.Credentials("ann")
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.Addr().String(), Conn: conn, Username: credentials.Username, Password: credentials.Credential,
		RequestedAddressFamily: turn.RequestedAddressFamilyIPv6,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	for _, ip := range []string{
		"::", "::2", "fe80::1", "fd00::1", "ff02::fb", "2001:db8::1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::1", "2002:c0a8:101::1",
	} {
		wantCode(t, ip, client.CreatePermission(&net.UDPAddr{IP: net.ParseIP(ip), Port: 80}), stun.CodeForbidden)
	}
	if err := client.CreatePermission(&net.UDPAddr{IP: net.ParseIP("2a00:1::1"), Port: 80}); err != nil {
		t.Errorf("a public address: %v", err)
	}
}

// A channel is no way around.
func TestChannelsRefused(t *testing.T) {
	s := start(t, nil)
	client, _ := allocate(t, s, "udp", "ann")
	for ip, want := range map[string]bool{"10.0.0.1": false, "127.0.0.2": false, "9.9.9.9": true} {
		err := ask(t, s, client, s.Credentials("ann"), stun.MethodChannelBind,
			channelNumber(0x4000+len(ip)), peerAddress(ip))
		if (err == nil) != want {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

// peerAddress is an XOR-PEER-ADDRESS (RFC 8656 section 18.3).
type peerAddress string

func (ip peerAddress) AddTo(m *stun.Message) error {
	return (&stun.XORMappedAddress{IP: net.ParseIP(string(ip)), Port: 80}).AddToAs(m, stun.AttrXORPeerAddress)
}

// channelNumber is a CHANNEL-NUMBER (RFC 8656 section 18.1).
type channelNumber int

func (n channelNumber) AddTo(m *stun.Message) error {
	m.Add(stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0})
	return nil
}

// On this host relays reach the relays and the SFU, and nothing else.
func TestOwnHost(t *testing.T) {
	listen := func() net.PacketConn {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	sfu, service := listen(), listen()
	s := start(t, func(o *Options) {
		o.SFU = func() []netip.AddrPort { return []netip.AddrPort{sfu.LocalAddr().(*net.UDPAddr).AddrPort()} }
		o.AllowPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} // which does not open this host
	})
	client, relay := allocate(t, s, "udp", "ann")
	if !passes(t, relay, sfu, sfu.LocalAddr(), patience) || !passes(t, sfu, relay, relay.LocalAddr(), patience) {
		t.Error("the SFU is out of reach")
	}
	for range 3 {
		if passes(t, relay, service, service.LocalAddr(), 50*time.Millisecond) {
			t.Error("a service of this host is reached")
		}
	}
	if passes(t, relay, service, &net.UDPAddr{IP: net.IPv4zero, Port: service.LocalAddr().(*net.UDPAddr).Port}, 50*time.Millisecond) {
		t.Error("a service of this host is reached by 0.0.0.0")
	}
	if passes(t, service, relay, relay.LocalAddr(), 50*time.Millisecond) {
		t.Error("a service of this host reaches the client")
	}
	if s.Stats().Forbidden < 4 {
		t.Errorf("counted %+v", s.Stats())
	}
	wantCode(t, "127.0.0.2", client.CreatePermission(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}), stun.CodeForbidden)
}

// Behind a router that has the public address, relays reach each other and the SFU by that address, without the help
// of the router, and hear each other by it.
func TestBehindRouter(t *testing.T) {
	sfu, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sfu.Close()
	public := netip.MustParseAddr("198.51.100.7")
	for name, listen := range map[string]string{"one address": "127.0.0.1:0", "every address": "0.0.0.0:0"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) {
				o.Listen = netip.MustParseAddrPort(listen)
				o.PublicIPs = func() []netip.Addr { return []netip.Addr{public} }
				o.SFU = func() []netip.AddrPort { return []netip.AddrPort{sfu.LocalAddr().(*net.UDPAddr).AddrPort()} }
			})
			if want := fmt.Sprintf("turn:198.51.100.7:%d?transport=udp", s.Addr().Port()); s.Credentials("ann").URLs[0] != want {
				t.Errorf("clients are told %v", s.Credentials("ann").URLs)
			}
			_, ann := allocateAt(t, s, "ann")
			_, ben := allocateAt(t, s, "ben")
			if got := ann.LocalAddr().(*net.UDPAddr).IP.String(); got != public.String() {
				t.Fatalf("relayed at %s", got)
			}
			passes(t, ann, ben, ben.LocalAddr(), time.Millisecond)
			if !passes(t, ben, ann, ann.LocalAddr(), patience) || !passes(t, ann, ben, ben.LocalAddr(), patience) {
				t.Error("relays do not reach each other")
			}
			at := &net.UDPAddr{IP: public.AsSlice(), Port: sfu.LocalAddr().(*net.UDPAddr).Port}
			if _, err := ann.WriteTo([]byte("packet"), at); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			_, from, err := sfu.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sfu.WriteTo([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			_ = ann.SetReadDeadline(time.Now().Add(patience))
			if _, from, err := ann.ReadFrom(b); err != nil || from.String() != at.String() {
				t.Errorf("the SFU answers from %v, %v", from, err)
			}
		})
	}
}

// allocateAt is allocate for a server whose address is another one to clients.
func allocateAt(t *testing.T, s *Server, who wire.ParticipantID) (*turn.Client, net.PacketConn) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	credentials := s.Credentials(who)
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: fmt.Sprintf("127.0.0.1:%d", s.Addr().Port()), Conn: conn, Username: credentials.Username, Password: credentials.Credential,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = relay.Close()
		client.Close()
		_ = conn.Close()
	})
	return client, relay
}

func TestCredentials(t *testing.T) {
	var later atomic.Int64
	s := start(t, func(o *Options) { o.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
	good, other := s.Credentials("ann"), s.Credentials("ben")
	ending, _, _ := strings.Cut(good.Username, ":")
	for name, bad := range map[string]wire.ICEServer{
		"another password":      {Username: good.Username, Credential: other.Credential},
		"another participant":   {Username: ending + ":ben", Credential: good.Credential},
		"a later end":           {Username: "9" + good.Username, Credential: good.Credential},
		"no participant":        {Username: ending, Credential: s.credentials.password(ending)},
		"an empty participant":  {Username: ending + ":", Credential: s.credentials.password(ending + ":")},
		"no end":                {Username: "ann", Credential: s.credentials.password("ann")},
		"expired a moment ago":  {Username: "1000000000:ann", Credential: s.credentials.password("1000000000:ann")},
		"an end beyond numbers": {Username: "99999999999999999999:ann", Credential: s.credentials.password("99999999999999999999:ann")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, s, "udp", bad, nil).Allocate()
			wantCode(t, "allocate", err, stun.CodeBadRequest) // as pion answers
		})
	}
	client, relay := allocate(t, s, "udp", "ann")
	if err := ask(t, s, client, good, stun.MethodRefresh); err != nil {
		t.Errorf("refresh: %v", err)
	}
	wantCode(t, "refresh with another's", ask(t, s, client, wire.ICEServer{Username: good.Username, Credential: other.Credential}, stun.MethodRefresh), stun.CodeBadRequest)
	later.Store(int64(s.opts.TTL + time.Second))
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodAllocate} {
		wantCode(t, "expired: "+method.String(), ask(t, s, client, good, method), stun.CodeBadRequest)
	}
	if err := ask(t, s, client, s.Credentials("ann"), stun.MethodRefresh); err != nil {
		t.Errorf("refresh with new ones: %v", err)
	}
	if s.Stats().Unauthorized == 0 {
		t.Error("not counted")
	}
	later.Store(0) // so that the client can end what it has
	_ = relay.Close()
}

func TestQuota(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{PerParticipant: 2, Allocations: 3} })
	_, first := allocate(t, s, "udp", "ann")
	allocate(t, s, "tcp", "ann")
	_, err := dial(t, s, "udp", s.Credentials("ann"), nil).Allocate()
	wantCode(t, "a third of one participant", err, stun.CodeAllocQuotaReached)
	allocate(t, s, "udp", "ben")
	_, err = dial(t, s, "udp", s.Credentials("cem"), nil).Allocate()
	wantCode(t, "a fourth in all", err, stun.CodeAllocQuotaReached)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "there is room again", func() bool { return s.Stats().Open == 2 })
	allocate(t, s, "udp", "ann")
	if got := s.Stats(); got.Refused != 2 || got.Allocated != 4 {
		t.Errorf("counted %+v", got)
	}
}

// The quota holds also when all ask at once, by several ports.
func TestQuotaAtOnce(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{PerParticipant: 3} })
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 12 {
		client := dial(t, s, []string{"udp", "tcp"}[i%2], s.Credentials("ann"), nil)
		all.Go(func() {
			if relay, err := client.Allocate(); err == nil {
				made.Add(1)
				t.Cleanup(func() { _ = relay.Close() })
			}
		})
	}
	all.Wait()
	if made.Load() != 3 || s.Stats().Open != 3 {
		t.Errorf("%d were made, %d are open", made.Load(), s.Stats().Open)
	}
}

// An allocation has so much a second, each way.
func TestRate(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{BitsPerSecond: 80_000} }) // 10 kB a second, 2.5 at once
	_, ann := allocate(t, s, "udp", "ann")
	_, ben := allocate(t, s, "udp", "ben")
	if _, err := ben.WriteTo([]byte("open"), ann.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 100 {
		if _, err := ann.WriteTo(make([]byte, 1000), ben.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they have been counted", func() bool { return s.Stats().Dropped+s.Stats().Sent/1000 >= 50 })
	most := uint64(2500 + 10_000*(time.Since(began).Seconds()+0.1))
	if got := s.Stats().Sent; got > most || got < 2000 {
		t.Errorf("%d bytes were sent, at most %d allowed", got, most)
	}
}

// An allocation ends when its client has not proved for a while who it is, however long it asked for.
func TestIdle(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{Idle: 400 * time.Millisecond} })
	client, _ := allocate(t, s, "udp", "ann")
	_, tcp := allocate(t, s, "tcp", "ben")
	_ = tcp
	until := time.Now().Add(time.Second)
	for time.Now().Before(until) {
		if err := ask(t, s, client, s.Credentials("ann"), stun.MethodRefresh, lifetime(59*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Open; got != 1 {
		t.Errorf("%d allocations, want that of the client that refreshes", got)
	}
	eventually(t, "it ends too", func() bool { return s.Stats().Open == 0 })
}

type lifetime time.Duration

func (l lifetime) AddTo(m *stun.Message) error {
	seconds := uint32(time.Duration(l).Seconds())
	m.Add(stun.AttrLifetime, []byte{byte(seconds >> 24), byte(seconds >> 16), byte(seconds >> 8), byte(seconds)})
	return nil
}

// What one allocation may hold is bounded.
func TestPermissionsBounded(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{Permissions: 3} })
	client, _ := allocate(t, s, "udp", "ann")
	permit := func(last byte) error {
		return client.CreatePermission(&net.UDPAddr{IP: net.IPv4(9, 9, 9, last), Port: 53})
	}
	for i := range byte(3) {
		if err := permit(i); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, "one too many", permit(3), stun.CodeForbidden)
	if err := permit(0); err != nil { // a refresh
		t.Error(err)
	}
}

// Ports are not reserved, and relays are UDP only.
func TestNoOtherRelays(t *testing.T) {
	s := start(t, nil)
	client := dial(t, s, "udp", s.Credentials("ann"), nil)
	for name, more := range map[string][]stun.Setter{
		"even port": {requestedTransport(17), evenPort{}}, "TCP": {requestedTransport(6)},
	} {
		err := ask(t, s, client, s.Credentials("ann"), stun.MethodAllocate, more...)
		wantCode(t, name, err, stun.CodeInsufficientCapacity)
	}
	if s.Stats().Open != 0 {
		t.Error("something is open")
	}
}

type requestedTransport byte

func (p requestedTransport) AddTo(m *stun.Message) error {
	m.Add(stun.AttrRequestedTransport, []byte{byte(p), 0, 0, 0})
	return nil
}

type evenPort struct{}

func (evenPort) AddTo(m *stun.Message) error {
	m.Add(stun.AttrEvenPort, []byte{0x80})
	return nil
}

// A connection that says nothing, nonsense, or no more once its allocation has ended, is closed.
func TestStreamsEnd(t *testing.T) {
	config, _ := selfSigned(t)
	s := start(t, func(o *Options) {
		o.ListenTLS, o.TLS, o.Limits = loopback, config, Limits{Silence: 200 * time.Millisecond, Idle: 500 * time.Millisecond}
	})
	for name, say := range map[string]string{
		"nothing": "", "half a message": "\x00\x01\x00\x10", "HTTP": "GET / HTTP/1.1\r\n\r\n", "too much": "\x00\x01\xff\xff", "another version": "\xc0\x00\x00\x00",
	} {
		for port, at := range map[string]netip.AddrPort{"TCP": s.Addr(), "TLS": s.TLSAddr()} {
			c, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, say); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, %s: open", port, name)
			}
		}
	}
	client, relay := allocate(t, s, "tcp", "ann")
	_, _ = client, relay
	eventually(t, "no connection is left", func() bool { return s.tcp.door.Open() == 0 && s.tls.door.Open() == 0 })
}

// Connections are bounded.
func TestStreamsBounded(t *testing.T) {
	s := start(t, func(o *Options) { o.Limits = Limits{ConnsPerSource: 2} })
	for i := range 3 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		if open := errors.Is(err, os.ErrDeadlineExceeded); open != (i < 2) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

// Close ends everything, also with clients that are connected, and what is asked meanwhile; and a second Close too.
func TestClose(t *testing.T) {
	s := start(t, nil)
	var clients sync.WaitGroup
	for i := range 6 {
		client := dial(t, s, []string{"udp", "tcp"}[i%2], s.Credentials(wire.ParticipantID(fmt.Sprint(i))), nil)
		clients.Go(func() {
			if relay, err := client.Allocate(); err == nil {
				_, _ = relay.WriteTo([]byte("packet"), relay.LocalAddr())
				t.Cleanup(func() { _ = relay.Close() })
			}
		})
	}
	eventually(t, "some are allocated", func() bool { return s.Stats().Open > 1 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := s.Stats().Open; n != 0 {
		t.Errorf("%d allocations are left", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	clients.Wait()
}

func TestOptions(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, opts := range map[string]Options{
		"no key":               {Listen: loopback},
		"TLS and no config":    {Listen: loopback, Key: testKey, ListenTLS: loopback},
		"a port that is taken": {Listen: taken.Addr().(*net.TCPAddr).AddrPort(), Key: testKey},
	} {
		if s, err := New(opts); err == nil {
			t.Errorf("%s: no error", name)
			_ = s.Close()
		}
	}
}

func TestURLs(t *testing.T) {
	config, _ := selfSigned(t)
	s := start(t, func(o *Options) { o.Host, o.ListenTLS, o.TLS = "turn.example.org", loopback, config })
	got := s.Credentials("ann").URLs
	want := []string{
		fmt.Sprintf("turn:turn.example.org:%d?transport=udp", s.Addr().Port()), fmt.Sprintf("turn:turn.example.org:%d?transport=tcp", s.Addr().Port()),
		fmt.Sprintf("turns:turn.example.org:%d?transport=tcp", s.TLSAddr().Port()),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	six := start(t, func(o *Options) { o.Host = "2001:db8::1" })
	if want := fmt.Sprintf("turn:[2001:db8::1]:%d?transport=udp", six.Addr().Port()); six.urls()[0] != want {
		t.Errorf("%s, want %s", six.urls()[0], want)
	}
}

// Whatever comes over TCP, a Read returns at most one whole message.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x04abcdefghijklmnopqrst"))
	f.Add([]byte("\x40\x00\x00\x05hello\x00\x00\x00\x40\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStream(&scripted{in: bytes.NewReader(b)}, nil)
		p := make([]byte, maxMessage+1)
		rest := len(b)
		for {
			n, err := s.Read(p)
			if err != nil {
				return
			}
			if n < 4 || n > maxMessage || n > rest || !bytes.Equal(p[:n], b[len(b)-rest:][:n]) {
				t.Fatalf("%d bytes of %d", n, rest)
			}
			rest -= n
		}
	})
}

// A scripted connection has been sent everything already.
type scripted struct {
	net.Conn
	in io.Reader
}

func (s *scripted) Read(p []byte) (int, error) { return s.in.Read(p) }
func (s *scripted) RemoteAddr() net.Addr       { return &net.TCPAddr{} }

// FuzzName reads user names, whose form anybody can know: one is good as long as it says, and only with its password.
func FuzzName(f *testing.F) {
	c := credentials{key: []byte("0123456789abcdef0123456789abcdef"), now: func() time.Time { return time.Unix(1000, 0) }}
	name, _ := c.issue("ann")
	f.Add(name)
	f.Add("1000:ann")
	f.Add(":")
	f.Add("99999999999999999999:ann:ben")
	f.Fuzz(func(t *testing.T, name string) {
		participant, ok := c.participant(name)
		if !ok {
			return
		}
		expires, rest, _ := strings.Cut(name, ":")
		if at, err := strconv.ParseInt(expires, 10, 64); err != nil || at <= 1000 || rest != participant || participant == "" {
			t.Errorf("%q is good for %q", name, participant)
		}
	})
}
