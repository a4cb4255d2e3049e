package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Where relays may not send: what is no public address (RFC 6890 and its registries). A relay would be a way around
// the firewall before these.
var denied = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
	"fe80::/10", "fec0::/10", "ff00::/8",
)

// hostOnly are addresses that always mean this host, so that no setting allows them.
var hostOnly = prefixes("0.0.0.0/8", "127.0.0.0/8", "::/127")

// IPv6 addresses that carry an IPv4 one: translators and tunnels take the packet there.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052 section 2.1: the last 4 bytes
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056 section 2: bytes 2 to 5
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, text := range list {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

func within(ip netip.Addr, list []netip.Prefix) bool {
	for _, prefix := range list {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// carried returns the IPv4 address that an IPv6 address stands for.
func carried(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// peers knows what relays may send to: the Internet; what AllowPeers names besides; and in this host other relays and
// the SFU, by address and port. Its methods may be called concurrently.
type peers struct {
	// Set by newPeers, then constant.
	allow  []netip.Prefix
	public func() []netip.Addr
	sfu    func() []netip.AddrPort
	host   func() []net.Addr // the addresses of the interfaces

	mu     sync.RWMutex
	relays map[netip.AddrPort]netip.AddrPort // where each relay really is, by what clients are told; guarded by mu
	names  map[netip.AddrPort]netip.AddrPort // the reverse; guarded by mu
	view   hostView                          // guarded by mu
}

// A hostView is what was known of this host at a time.
type hostView struct {
	at    time.Time
	own   map[netip.Addr]bool               // its addresses; true = something is there that relays may reach
	sfu   map[netip.AddrPort]netip.AddrPort // where the SFU really is, by what clients are told
	noise map[netip.Addr]bool               // the broadcast addresses of its networks
}

func newPeers(opts Options) *peers {
	return &peers{
		allow: opts.AllowPeers, public: opts.PublicIPs, sfu: opts.SFU,
		host:   func() []net.Addr { addrs, _ := net.InterfaceAddrs(); return addrs }, // none known: those of the relays are
		relays: map[netip.AddrPort]netip.AddrPort{}, names: map[netip.AddrPort]netip.AddrPort{},
	}
}

// add notes a relay that clients are told of as told and that is bound to bound.
func (p *peers) add(told, bound netip.AddrPort) {
	at := bound
	if at.Addr().IsUnspecified() {
		loopback := netip.IPv6Loopback()
		if at.Addr().Is4() {
			loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		at = netip.AddrPortFrom(loopback, bound.Port())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.relays[told], p.names[at] = at, told
	p.view.at = time.Time{}
}

func (p *peers) remove(told netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.names, p.relays[told])
	delete(p.relays, told)
}

// permits reports whether a relay may send to any port of an address. In this host only route says to which.
func (p *peers) permits(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	p.mu.Lock()
	if time.Since(p.view.at) > hostRefresh {
		p.look()
	}
	reachable, own := p.view.own[ip]
	noise := p.view.noise[ip]
	p.mu.Unlock()
	if own || noise {
		return reachable && !noise
	}
	if inner, ok := carried(ip); ok && !p.outside(inner) {
		return false
	}
	return p.outside(ip)
}

// outside is permits for an address that is not this host's.
func (p *peers) outside(ip netip.Addr) bool {
	p.mu.RLock()
	_, own := p.view.own[ip]
	p.mu.RUnlock()
	return !own && !within(ip, hostOnly) && (within(ip, p.allow) || !within(ip, denied))
}

// route returns where to send a packet for an address that permits has allowed: there, or in this host where the
// relay or the SFU of that address is, also when its public address is only known to a router outside.
func (p *peers) route(to netip.AddrPort) (netip.AddrPort, bool) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	p.mu.RLock()
	defer p.mu.RUnlock()
	if at, ok := p.relays[to]; ok {
		return at, true
	}
	if at, ok := p.view.sfu[to]; ok {
		return at, true
	}
	_, own := p.view.own[to.Addr()]
	return to, !own
}

// source is the reverse of route: it returns as what a packet from an address is told of. A relay has one name; the
// SFU may have several, so that hint says by which the client has spoken to it.
func (p *peers) source(from netip.AddrPort, hint map[netip.AddrPort]netip.AddrPort) (netip.AddrPort, bool) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if told, ok := hint[from]; ok {
		return told, true
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if _, own := p.view.own[from.Addr()]; !own {
		return from, true
	}
	if told, ok := p.names[from]; ok {
		return told, true
	}
	_, relay := p.relays[from] // it came by a router outside
	_, sfu := p.view.sfu[from]
	return from, relay || sfu
}

// look reads the addresses of this host. mu is held.
func (p *peers) look() {
	v := hostView{
		at: time.Now(), own: map[netip.Addr]bool{}, sfu: map[netip.AddrPort]netip.AddrPort{}, noise: map[netip.Addr]bool{},
	}
	for _, addr := range p.host() {
		network, ok := addr.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(network.IP)
		v.own[ip.Unmap()] = false
		if last, ok := broadcast(network); ok {
			v.noise[last] = true
		}
	}
	for told := range p.relays {
		v.own[told.Addr()] = true
	}
	v.addSFU(p.sfu(), p.public())
	p.view = v
}

// addSFU adds the SFU, by its addresses and by the public ones of the host.
func (v *hostView) addSFU(sfu []netip.AddrPort, public []netip.Addr) {
	for _, at := range sfu {
		at = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
		v.own[at.Addr()] = true
		v.sfu[at] = at
	}
	for _, ip := range public {
		ip = ip.Unmap()
		v.own[ip] = true
		for _, at := range sfu {
			told := netip.AddrPortFrom(ip, at.Port())
			if _, known := v.sfu[told]; !known && ip.Is4() == at.Addr().Unmap().Is4() {
				v.sfu[told] = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
			}
		}
	}
}

// broadcast returns the address that means everybody of an IPv4 network (RFC 919 section 7).
func broadcast(network *net.IPNet) (netip.Addr, bool) {
	ip := network.IP.To4()
	ones, bits := network.Mask.Size()
	if ip == nil || bits != 32 || ones > 30 {
		return netip.Addr{}, false
	}
	var last [4]byte
	for i := range last {
		last[i] = ip[i] | ^network.Mask[i]
	}
	return netip.AddrFrom4(last), true
}
