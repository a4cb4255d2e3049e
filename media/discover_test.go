package media

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

// A router, with a STUN server behind it, that sees the world by another address.
type fakeSTUN struct {
	conn   net.PacketConn
	seen   atomic.Pointer[stun.XORMappedAddress] // what it answers; nil = nothing
	asked  atomic.Int32
	source atomic.Pointer[string] // of the last request
	ended  chan struct{}
}

func serveSTUN(conn net.PacketConn) *fakeSTUN {
	f := &fakeSTUN{conn: conn, ended: make(chan struct{})}
	go f.run()
	return f
}

func (f *fakeSTUN) run() {
	defer close(f.ended)
	b := make([]byte, 1500)
	for {
		n, from, err := f.conn.ReadFrom(b)
		if err != nil {
			return
		}
		request := &stun.Message{Raw: slices.Clone(b[:n])}
		source := from.String()
		f.source.Store(&source)
		f.asked.Add(1)
		seen := f.seen.Load()
		if seen == nil || request.Decode() != nil || request.Type != stun.BindingRequest {
			continue
		}
		stranger := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(6, 6, 6, 6), Port: 6})
		answer := stun.MustBuild(request, stun.BindingSuccess, seen)
		for _, m := range []*stun.Message{stranger, answer} {
			_, _ = f.conn.WriteTo(m.Raw, from)
		}
	}
}

func (f *fakeSTUN) close() {
	_ = f.conn.Close()
	<-f.ended
}

// The server learns by what address its media port is seen, and tells clients.
func TestDiscovery(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outside := serveSTUN(conn)
	defer outside.close()
	outside.seen.Store(&stun.XORMappedAddress{IP: net.IPv4(198, 51, 100, 9), Port: 4321})
	s, err := New(Options{Listen: loopback, STUN: []string{"[::1]:9", conn.LocalAddr().String()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "the public address is known", func() bool { return fmt.Sprint(s.PublicIPs()) == "[198.51.100.9]" })
	if got := *outside.source.Load(); got != s.Addrs()[0].String() {
		t.Errorf("asked from %s, the media port is %s", got, s.Addrs()[0])
	}
	if got, err := AskSTUN(t.Context(), conn.LocalAddr().String()); err != nil || got.String() != "198.51.100.9:4321" {
		t.Errorf("AskSTUN: %v, %v", got, err)
	}
	if got := strings.Join(candidatesOf(t, s), ", "); got != "udp 127.0.0.1 host, udp 198.51.100.9 srflx" {
		t.Errorf("clients hear of %s", got)
	}
}

// A router that keeps port numbers is taken for one that lets TCP in, too.
func TestDiscoveryOfTCP(t *testing.T) {
	s := newTCPServer(t, Limits{})
	base := s.UDPAddrs()[0]
	for _, port := range []uint16{base.Port(), base.Port() + 1} {
		s.reflexive.Store(&[]reflexive{{base: base, seen: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.9"), port)}})
		want := []string{"udp 198.51.100.9 srflx", "tcp 198.51.100.9 host"}[:1]
		if port == base.Port() {
			want = want[:2]
		}
		var got []string
		for _, c := range candidatesOf(t, s) {
			if strings.Contains(c, "198.51.100.9") {
				got = append(got, c)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("clients hear of %v, want %v", got, want)
		}
	}
}

// It asks again when there is no answer, takes the next server when there is none at all, and asks anew after a while.
func TestDiscoveryGoesOn(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		listen := func(address string) *fakeSTUN {
			conn, err := l.network(address).ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(address), Port: 3478})
			if err != nil {
				t.Fatal(err)
			}
			return serveSTUN(conn)
		}
		silent, outside := listen("10.0.0.7"), listen("10.0.0.8")
		defer silent.close()
		defer outside.close()
		began := time.Now()
		s, err := New(Options{
			Listen: netip.MustParseAddrPort("10.0.0.9:5000"), network: l.network("10.0.0.9"), Log: slog.New(slog.DiscardHandler),
			STUN: []string{"10.0.0.7:3478", "10.0.0.8:3478"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if a, b := silent.asked.Load(), outside.asked.Load(); s.PublicIPs() != nil || a < 2*stunAttempts || a != b {
			t.Errorf("asked %d and %d times, and found %v", a, b, s.PublicIPs())
		}
		for i, ip := range []string{"198.51.100.1", "198.51.100.2"} {
			outside.seen.Store(&stun.XORMappedAddress{IP: net.ParseIP(ip), Port: 5000})
			time.Sleep(discoverEvery + time.Minute)
			synctest.Wait()
			if got := fmt.Sprint(s.PublicIPs()); got != "["+ip+"]" {
				t.Errorf("round %d, after %v: %s", i, time.Since(began), got)
			}
		}
		outside.seen.Store(nil) // what is known is better than nothing
		time.Sleep(discoverEvery)
		if s.PublicIPs() == nil {
			t.Error("forgotten")
		}
	})
}

func TestResolve(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		server string
		local  netip.Addr
		want   string
	}{
		{"198.51.100.1:3478", v4, "198.51.100.1:3478"}, {"198.51.100.1:3478", v6, ""}, {"[2001:db8::2]:3478", v6, "[2001:db8::2]:3478"},
		{"localhost:3478", netip.MustParseAddr("127.0.0.1"), "127.0.0.1:3478"}, {"127.0.0.1:3478", v4, ""},
		{"[2001:db8::2]:3478", netip.MustParseAddr("fe80::1"), ""}, {"no port", v4, ""},
	} {
		at, err := resolve(t.Context(), c.server, c.local)
		if (err == nil) != (c.want != "") || err == nil && at.String() != c.want {
			t.Errorf("%s from %v: %v, %v", c.server, c.local, at, err)
		}
	}
}
