package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/turn/v5"
	"golang.org/x/time/rate"
)

var (
	errClosed   = errors.New("turn: server closed")
	errQuota    = errors.New("turn: the quota of allocations is reached")
	errReserved = errors.New("turn: no ports are reserved")
	errOnlyUDP  = errors.New("turn: relays are UDP")
	errNoRelay  = errors.New("turn: no address of that family to relay from")
)

// A relay is the socket of an allocation, as pion uses it. It is written to by one goroutine at a time, that of the
// client, and read by one.
type relay struct {
	*net.UDPConn

	// Set by Server.AllocatePacketConn, then constant.
	server *Server
	owner  string         // the participant
	told   netip.AddrPort // its address as clients and peers know it
	up     *rate.Limiter  // from the client, in bytes
	down   *rate.Limiter  // to the client

	mu     sync.Mutex
	hint   map[netip.AddrPort]netip.AddrPort // by where in this host something is: as what this client knows it; guarded by mu
	closed bool                              // guarded by mu
	read   bool                              // pion has begun to read; guarded by mu
	ended  bool                              // nobody reads any more; guarded by mu
}

// Validate implements turn.RelayAddressGenerator.
func (s *Server) Validate() error { return nil }

// AllocateListener implements turn.RelayAddressGenerator; browsers need no TCP between relay and peer (RFC 6062).
func (s *Server) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errOnlyUDP
}

// AllocateConn implements turn.RelayAddressGenerator.
func (s *Server) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errOnlyUDP }

// AllocatePacketConn implements turn.RelayAddressGenerator: it opens a relay.
func (s *Server) AllocatePacketConn(config turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if config.UserID == "" || config.RequestedPort != 0 { // EVEN-PORT and RESERVATION-TOKEN (RFC 8656 section 7.2)
		return nil, nil, errReserved
	}
	ip, ok := s.relayIP(config.Network == "udp4")
	if !ok {
		return nil, nil, errNoRelay
	}
	if err := s.book.reserve(config.UserID); err != nil {
		return nil, nil, err
	}
	conn, err := net.ListenUDP(config.Network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.bindIP(config.Network == "udp4"), 0)))
	if err != nil {
		s.book.release(config.UserID)
		return nil, nil, fmt.Errorf("turn: opening a relay: %w", err)
	}
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	bound = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	r := &relay{
		UDPConn: conn, server: s, owner: config.UserID, told: netip.AddrPortFrom(ip, bound.Port()),
		up: s.limiter(), down: s.limiter(), hint: map[netip.AddrPort]netip.AddrPort{},
	}
	s.peers.add(r.told, bound)
	if !s.book.open(r) { // the server has been closed meanwhile
		s.peers.remove(r.told)
		s.book.release(r.owner)
		return nil, nil, errors.Join(errClosed, conn.Close())
	}
	return r, net.UDPAddrFromAddrPort(r.told), nil
}

func (s *Server) limiter() *rate.Limiter {
	bytes := float64(s.limits.BitsPerSecond) / 8
	return rate.NewLimiter(rate.Limit(bytes), max(int(bytes*burst.Seconds()), maxMessage))
}

// WriteTo implements net.PacketConn: it sends what the client has for a peer. What may not be sent, or is too much,
// is dropped, as the network would.
func (r *relay) WriteTo(p []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("turn: no UDP address")
	}
	peer := udp.AddrPort()
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	to, ok := r.server.peers.route(peer)
	switch {
	case !ok:
		r.server.stats.forbidden.Add(1)
		return len(p), nil
	case !r.up.AllowN(time.Now(), len(p)):
		r.server.stats.dropped.Add(1)
		return len(p), nil
	case to != peer:
		r.remember(to, peer)
	}
	n, err := r.WriteToUDPAddrPort(p, to)
	r.server.stats.sent.Add(uint64(n))
	return n, err
}

// remember notes as what the client knows something in this host. Relays and addresses of the SFU bound it.
func (r *relay) remember(at, told netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hint[at] = told
}

// ReadFrom implements net.PacketConn: it reads what a peer has for the client.
func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	r.begin()
	for {
		n, from, err := r.ReadFromUDPAddrPort(p)
		if err != nil {
			r.end()
			return 0, nil, err
		}
		told, ok := r.name(from)
		switch {
		case !ok:
			r.server.stats.forbidden.Add(1)
		case !r.down.AllowN(time.Now(), n):
			r.server.stats.dropped.Add(1)
		default:
			r.server.stats.received.Add(uint64(n))
			return n, net.UDPAddrFromAddrPort(told), nil
		}
	}
}

func (r *relay) name(from netip.AddrPort) (netip.AddrPort, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server.peers.source(from, r.hint)
}

// Close implements net.PacketConn.
func (r *relay) Close() error {
	r.mu.Lock()
	first, unread := !r.closed, !r.read
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.server.peers.remove(r.told)
	r.server.book.release(r.owner)
	err := r.UDPConn.Close()
	if unread {
		r.end()
	}
	return err
}

func (r *relay) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = true
}

// end tells the server that nobody reads from the relay any more.
func (r *relay) end() {
	r.mu.Lock()
	first := !r.ended
	r.ended = true
	r.mu.Unlock()
	if first {
		r.server.book.end(r)
	}
}
