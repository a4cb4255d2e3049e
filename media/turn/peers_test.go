package turn

import (
	"net"
	"net/netip"
	"testing"
)

func testPeers(host []string, opts Options) *peers {
	if opts.PublicIPs == nil {
		opts.PublicIPs = func() []netip.Addr { return nil }
	}
	if opts.SFU == nil {
		opts.SFU = func() []netip.AddrPort { return nil }
	}
	p := newPeers(opts)
	p.host = func() []net.Addr {
		var addrs []net.Addr
		for _, text := range host {
			prefix := netip.MustParsePrefix(text)
			addrs = append(addrs, &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())})
		}
		return addrs
	}
	return p
}

func TestPermits(t *testing.T) {
	p := testPeers([]string{"127.0.0.1/8", "::1/128", "9.9.8.7/24", "10.1.2.3/16", "2a00:1::5/64"}, Options{
		AllowPeers: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd12::/16")},
	})
	for text, want := range map[string]bool{
		"8.8.4.4": true, "1.0.0.1": true, "2a00:1450::1": true, "::ffff:8.8.4.4": true,
		"64:ff9b::808:404": true, "2002:808:404::1": true, // they carry 8.8.4.4

		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "::": false, "::1": false, "::127.0.0.1": false,
		"10.0.0.1": false, "172.16.5.5": false, "172.31.0.1": false, "172.32.0.1": true, "192.168.0.1": false,
		"100.64.0.1": false, "100.127.255.255": false, "100.128.0.1": true, "169.254.169.254": false,
		"192.0.0.8": false, "192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false, "192.88.99.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"fc00::1": false, "fd00::1": false, "fe80::1": false, "fec0::1": false, "ff02::1": false, "2001:db8::1": false, "3fff::1": false,
		"100::1": false, "2001::1": false, "2001:20::1": false, "5f00::1": false, "64:ff9b:1::1": false,

		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0.0.0.0": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b::a9fe:a9fe": false,
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:c0a8:1::1": false,

		"10.1.9.9": true, "::ffff:10.1.9.9": true, "fd12::9": true, // allowed by the settings
		"64:ff9b::a01:909": true,                                                                   // the same by a translator
		"9.9.8.7":          false, "10.1.2.3": false, "2a00:1::5": false, "2002:909:807::1": false, // this host
		"9.9.8.255": false, "10.1.255.255": false, // everybody in its networks
		"9.9.8.8":   true,
		"fe80::1%1": false,
	} {
		if got := p.permits(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if p.permits(netip.Addr{}) {
		t.Error("no address is permitted")
	}
}

// What is in this host is found by each of its names, and is heard by the name that it is spoken to by.
func TestRoute(t *testing.T) {
	public := netip.MustParseAddr("9.9.8.1")
	sfu := netip.MustParseAddrPort("10.1.2.3:7000")
	p := testPeers([]string{"127.0.0.1/8", "10.1.2.3/16", "172.17.0.1/16"}, Options{
		PublicIPs: func() []netip.Addr { return []netip.Addr{public} },
		SFU:       func() []netip.AddrPort { return []netip.AddrPort{sfu, netip.MustParseAddrPort("[2a00:1::5]:7000")} },
	})
	told := netip.AddrPortFrom(public, 50000)
	p.add(told, netip.MustParseAddrPort("0.0.0.0:50000"))
	for ip, want := range map[string]bool{"9.9.8.1": true, "10.1.2.3": true, "2a00:1::5": true, "127.0.0.1": false, "172.17.0.1": false} {
		if got := p.permits(netip.MustParseAddr(ip)); got != want {
			t.Errorf("permits %s: %v", ip, got)
		}
	}
	for to, want := range map[string]string{
		"9.9.8.1:50000": "127.0.0.1:50000", "9.9.8.1:7000": "10.1.2.3:7000", "10.1.2.3:7000": "10.1.2.3:7000", "[::ffff:10.1.2.3]:7000": "10.1.2.3:7000",
		"[2a00:1::5]:7000": "[2a00:1::5]:7000", "8.8.4.4:53": "8.8.4.4:53",
		"9.9.8.1:22": "", "9.9.8.1:50001": "", "10.1.2.3:22": "", "10.1.2.3:50000": "", "127.0.0.1:7000": "", "172.17.0.1:7000": "", "127.0.0.1:50000": "",
	} {
		at, ok := p.route(netip.MustParseAddrPort(to))
		if ok != (want != "") || ok && at.String() != want {
			t.Errorf("to %s: %v %v, want %q", to, at, ok, want)
		}
	}
	for from, want := range map[string]string{
		"127.0.0.1:50000": "9.9.8.1:50000", "9.9.8.1:50000": "9.9.8.1:50000", "10.1.2.3:7000": "10.1.2.3:7000", "9.9.8.1:7000": "9.9.8.1:7000",
		"8.8.4.4:53": "8.8.4.4:53", "10.1.2.3:22": "", "127.0.0.1:22": "",
	} {
		name, ok := p.source(netip.MustParseAddrPort(from), nil)
		if ok != (want != "") || ok && name.String() != want {
			t.Errorf("from %s: %v %v, want %q", from, name, ok, want)
		}
	}
	hint := map[netip.AddrPort]netip.AddrPort{sfu: netip.AddrPortFrom(public, 7000)}
	if name, ok := p.source(sfu, hint); !ok || name != hint[sfu] {
		t.Errorf("spoken to as %v, heard as %v", hint[sfu], name)
	}
	p.remove(told)
	if _, ok := p.route(told); ok {
		t.Error("a relay that has gone is reached")
	}
}
