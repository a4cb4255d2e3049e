package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Discovery asks STUN servers, from the media port, by which address that port is seen outside (RFC 8489). A router
// may change it at any time, and forgets it when nothing is sent.
const (
	discoverEvery = 5 * time.Minute
	discoverRetry = 15 * time.Second // when nobody has answered
	stunRTO       = 500 * time.Millisecond
	stunAttempts  = 4 // RFC 8489 section 6.2.1 has 7, with doubling times between; here the next server is asked
	resolveLimit  = 5 * time.Second
	maxReflexive  = 8 // candidates offered
)

var errNoSTUN = errors.New("media: no STUN server answered")

// A reflexive address is what a socket of ours is seen as outside.
type reflexive struct{ base, seen netip.AddrPort }

// discover asks again and again until the server ends.
func (s *Server) discover() {
	for {
		wait := discoverEvery
		found, err := s.askAll(s.lifetime)
		if err != nil {
			wait = discoverRetry
			s.log.Warn("the public address is not known", "stun", s.opts.STUN, "error", err)
		} else if old := s.reflexive.Load(); old == nil || !slices.Equal(*old, found) {
			s.log.Info("the media port is seen outside as", "addresses", fmt.Sprint(found))
			s.reflexive.Store(&found)
		}
		select {
		case <-time.After(wait):
		case <-s.lifetime.Done():
			return
		}
	}
}

// askAll asks for each local address until a server answers. An error means that none has answered for any.
func (s *Server) askAll(ctx context.Context) ([]reflexive, error) {
	var found []reflexive
	var errs []error
	for _, local := range s.Addrs() {
		udp, ok := local.(*net.UDPAddr)
		if !ok || len(found) == maxReflexive {
			continue
		}
		seen, err := s.askFor(ctx, udp)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, reflexive{base: udp.AddrPort(), seen: seen})
	}
	if len(found) == 0 {
		return nil, errors.Join(append(errs, errNoSTUN)...)
	}
	return found, nil
}

// askFor asks the servers in turn, by one local address.
func (s *Server) askFor(ctx context.Context, local *net.UDPAddr) (netip.AddrPort, error) {
	err := errNoSTUN
	for _, server := range s.opts.STUN {
		to, failed := resolve(ctx, server, local.AddrPort().Addr().Unmap())
		if failed != nil {
			err = failed
			continue
		}
		seen, failed := s.ask(ctx, local, to)
		if failed == nil {
			return seen, nil
		}
		err = fmt.Errorf("asking %v from %v: %w", to, local, failed)
	}
	return netip.AddrPort{}, err
}

// resolve finds an address of a host:port that can be reached by local.
func resolve(ctx context.Context, server string, local netip.Addr) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(server); err == nil {
		return at, sameFamily(at.Addr().Unmap(), local)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	host, service, err := net.SplitHostPort(server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for _, ip := range ips {
		if err = sameFamily(ip.Unmap(), local); err == nil {
			return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
		}
	}
	return netip.AddrPort{}, err
}

// sameFamily returns an error if a packet from local cannot go to ip.
func sameFamily(ip, local netip.Addr) error {
	loopback := ip.IsLoopback() != local.IsLoopback() && !local.IsUnspecified()
	if ip.Is4() != local.Is4() || loopback || local.IsLinkLocalUnicast() {
		return fmt.Errorf("%w: %v is out of reach of %v", errNoSTUN, ip, local)
	}
	return nil
}

// ask asks one server from a local address. pion's mux lends the socket: it brings whatever comes from an address to
// who has last sent there.
func (s *Server) ask(ctx context.Context, local *net.UDPAddr, server netip.AddrPort) (netip.AddrPort, error) {
	conn, err := s.mux.GetConn("stun-"+rand.Text(), local)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return exchange(ctx, conn, server)
}

// AskSTUN asks a STUN server, host:port, by which address this host is seen outside. The port is of no use to others.
func AskSTUN(ctx context.Context, server string) (netip.AddrPort, error) {
	err := errNoSTUN
	for _, local := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		to, failed := resolve(ctx, server, local)
		if failed != nil {
			err = failed
			continue
		}
		conn, failed := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
		if failed != nil {
			return netip.AddrPort{}, failed
		}
		return exchange(ctx, conn, to)
	}
	return netip.AddrPort{}, err
}

// exchange sends a server requests until it answers, and closes conn.
func exchange(ctx context.Context, conn net.PacketConn, server netip.AddrPort) (netip.AddrPort, error) {
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close() // ends the reader: the conn of a mux has no deadlines
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return netip.AddrPort{}, err
	}
	seen := make(chan netip.AddrPort, 1)
	reading.Go(func() { readMapped(conn, request.TransactionID, seen) })
	to, wait := net.UDPAddrFromAddrPort(server), stunRTO
	for range stunAttempts {
		if _, err := conn.WriteTo(request.Raw, to); err != nil {
			return netip.AddrPort{}, err
		}
		select {
		case at := <-seen:
			return at, nil
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return netip.AddrPort{}, context.Cause(ctx)
		}
	}
	return netip.AddrPort{}, errNoSTUN
}

// readMapped reads until the answer to a request comes or the conn is closed.
func readMapped(conn net.PacketConn, id [stun.TransactionIDSize]byte, seen chan<- netip.AddrPort) {
	b := make([]byte, 8<<10) // pion's mux wants room for what it has itself
	for {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		if at, ok := mappedAddress(b[:n], id); ok {
			seen <- at
			return
		}
	}
}

// mappedAddress is what an answer to a request says; false: it is none.
func mappedAddress(b []byte, id [stun.TransactionIDSize]byte) (netip.AddrPort, bool) {
	answer := &stun.Message{Raw: slices.Clone(b)}
	var mapped stun.XORMappedAddress
	if answer.Decode() != nil || answer.TransactionID != id || answer.Type != stun.BindingSuccess || mapped.GetFrom(answer) != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(mapped.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)), ok
}

// reflexiveCandidates are what clients are told besides pion's own candidates. pion need not know of them: their base
// is the socket of a host candidate, and checks are sent from the base (RFC 8445 section 6.1.2.4).
func (s *Server) reflexiveCandidates() []webrtc.ICECandidateInit {
	found := s.reflexive.Load()
	if found == nil {
		return nil
	}
	var list []webrtc.ICECandidateInit
	add := func(candidate ice.Candidate, err error) {
		if err != nil {
			s.log.Debug("server reflexive candidate", "error", err)
			return
		}
		first := uint16(0)
		list = append(list, webrtc.ICECandidateInit{Candidate: "candidate:" + candidate.Marshal(), SDPMLineIndex: &first})
	}
	for _, r := range *found {
		if r.seen == r.base {
			continue // the host candidate says so
		}
		add(ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{
			Network: "udp", Address: r.seen.Addr().String(), Port: int(r.seen.Port()), Component: ice.ComponentRTP,
			RelAddr: r.base.Addr().String(), RelPort: int(r.base.Port()),
		}))
		if r.seen.Port() != r.base.Port() {
			continue // the router chooses ports, and lets nobody in by TCP
		}
		for _, mux := range s.tcp.muxes {
			add(ice.NewCandidateHost(&ice.CandidateHostConfig{
				Network: "tcp", Address: r.seen.Addr().String(), Port: mux.LocalAddr().(*net.TCPAddr).Port, Component: ice.ComponentRTP,
				TCPType: ice.TCPTypePassive,
			}))
		}
	}
	return list
}

// PublicIPs are the addresses by which this host is reached: Options.PublicIPs, or what STUN servers have said last.
func (s *Server) PublicIPs() []netip.Addr {
	if len(s.opts.PublicIPs) > 0 {
		return s.opts.PublicIPs
	}
	found := s.reflexive.Load()
	if found == nil {
		return nil
	}
	var ips []netip.Addr
	for _, r := range *found {
		if !slices.Contains(ips, r.seen.Addr()) {
			ips = append(ips, r.seen.Addr())
		}
	}
	return ips
}
