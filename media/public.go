package media

import (
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// A publicFace is what clients are told instead of the addresses of the interfaces. Each public address stands for
// the one local address from which it would be reached, and the other local addresses are not told at all: if two
// stood for one public address, pion would keep the first, also where the client's packets arrive at the other.
//
// The zero value tells the addresses as they are.
type publicFace struct {
	external map[netip.Addr][]string // by local address; the zero Addr stands for any
}

func newPublicFace(public []netip.Addr, listen netip.Addr) publicFace {
	var f publicFace
	for _, ip := range public {
		local := listen.Unmap()
		if !local.IsValid() || local.IsUnspecified() {
			local = routeTo(ip).WithZone("") // the zero Addr as long as there is no route
		}
		if f.external == nil {
			f.external = map[netip.Addr][]string{}
		}
		f.external[local] = append(f.external[local], ip.String())
	}
	return f
}

// locals are the local addresses by the public ones that stand for them.
func (f publicFace) locals() map[netip.Addr]netip.Addr {
	locals := map[netip.Addr]netip.Addr{}
	for local, external := range f.external {
		for _, text := range external {
			if ip, err := netip.ParseAddr(text); err == nil && local.IsValid() {
				locals[ip.Unmap()] = local
			}
		}
	}
	return locals
}

// stands reports whether clients hear of a local address, by whatever name. Link-local ones are of no use to them
// (RFC 8445 section 5.1.1.1), and for TCP each address costs every peer a goroutine and a buffer.
func (f publicFace) stands(local net.IP) bool {
	if local.IsLinkLocalUnicast() {
		return false
	}
	addr, _ := netip.AddrFromSlice(local)
	return f.external == nil || f.external[addr.Unmap()] != nil || f.external[netip.Addr{}] != nil
}

// apply has the connections of an engine show the face, and use mux.
func (f publicFace) apply(settings *webrtc.SettingEngine, mux ice.UDPMux) error {
	settings.SetICEUDPMux(mux)
	settings.SetIPFilter(f.stands) // which counts for TCP
	if f.external == nil {
		return nil
	}
	settings.SetICEUDPMux(publicMux{mux, f})
	var rules []webrtc.ICEAddressRewriteRule
	for local, external := range f.external {
		rule := webrtc.ICEAddressRewriteRule{
			External: external, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteReplace,
		}
		if local.IsValid() {
			rule.Local = local.String()
		}
		rules = append(rules, rule)
	}
	return settings.SetICEAddressRewriteRules(rules...)
}

// A publicMux has pion offer only the addresses that have a public one.
type publicMux struct {
	ice.UDPMux
	face publicFace
}

// GetListenAddresses implements ice.UDPMux.
func (m publicMux) GetListenAddresses() []net.Addr {
	var addrs []net.Addr
	for _, addr := range m.UDPMux.GetListenAddresses() {
		if udp, ok := addr.(*net.UDPAddr); ok && m.face.stands(udp.IP) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// routeTo returns the local address from which packets to ip go, the zero Addr when there is no route. It sends
// nothing.
func routeTo(ip netip.Addr) netip.Addr {
	const discard = 9 // RFC 863; any port will do
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, discard)))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
