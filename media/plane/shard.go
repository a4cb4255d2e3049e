package plane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// Options are what a Shard needs. The zero value is what a server wants.
type Options struct {
	// Plain makes one system call for each datagram, as on systems that know no other way.
	Plain bool
	// Sent is told of each packet that leaves encrypted, with the shard locked. It is for tests: see Nonce.
	Sent func(Nonce)
}

// A Nonce is what must never be used twice: with AES-GCM, two packets of one nonce give away what both say and let
// others forge more (RFC 7714 section 9.1, RFC 5116 section 5.1.1).
type Nonce struct {
	Transport *Transport // which stands for the key
	RTCP      bool       // RTCP has a key of its own
	SSRC      uint32
	Index     uint64 // of 48 bits for RTP, of 31 for RTCP
}

// Stats count since the start, in packets unless said otherwise.
type Stats struct {
	Received  uint64 // media that was decrypted
	Rejected  uint64 // media from known addresses that could not be, was a repeat, or was one stream too many
	Sent      uint64 // media handed to the system
	SendCalls uint64 // system calls for it
	Dropped   uint64 // media that the system would not take
	Refused   uint64 // media that may not be sent: a number that was used, a packet too large, or pion's own
}

// A Shard is the media of a set of peers that forward to each other: some sockets, the transports that use them, and
// one lock for all of it. Its methods may be called concurrently.
type Shard struct {
	opts Options // constant

	mu      sync.Mutex
	conns   []*Conn                       // guarded by mu
	known   map[netip.AddrPort]*Transport // guarded by mu; by remote address, canonical
	writer  Writer                        // guarded by mu
	stats   Stats                         // guarded by mu
	scratch []byte                        // guarded by mu; the packet that is being received, decrypted
	header  rtp.Header                    // guarded by mu; of that
	rtcp    rtcp.Header                   // guarded by mu; of that
}

// NewShard makes a Shard without sockets.
func NewShard(opts Options) *Shard {
	s := &Shard{opts: opts, known: map[netip.AddrPort]*Transport{}, scratch: make([]byte, maxDatagram)}
	s.writer = Writer{shard: s, arena: make([]byte, arenaSize)}
	return s
}

// socketBuffer is what a socket may have waiting in each direction, in bytes, as far as the system allows.
const socketBuffer = 4 << 20

// Listen opens a UDP socket of the shard. Best, addr is of one interface: from an unspecified one, answers may leave
// by another address than the one that was asked. The error is that of opening it.
func (s *Shard) Listen(addr netip.AddrPort) (*Conn, error) {
	network := "udp"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("plane: %w", err)
	}
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	system, err := newSystem(conn, s.opts.Plain)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("plane: %w", err), conn.Close())
	}
	c := &Conn{UDPConn: conn, shard: s, system: system, local: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

// Do calls f with the shard locked and sends what it has written. f must not block and not call the Shard or a
// Transport.
func (s *Shard) Do(f func(w *Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.writer)
	s.writer.finish()
}

// Stats returns the counts so far.
func (s *Shard) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// forget takes an address from t, if it still has it. mu is held.
func (s *Shard) forget(addr netip.AddrPort, t *Transport) {
	if s.known[addr] == t {
		delete(s.known, addr)
	}
}

// take handles the media of a batch, notes on each datagram whether pion is to have it, and sends what came of it.
func (s *Shard) take(batch []datagram) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		d := &batch[i]
		d.pion = true
		what := classify(d.data)
		if what == other {
			continue
		}
		if t := s.known[d.from]; t != nil {
			d.pion = t.receive(&s.writer, what, d.data, now)
		}
	}
	s.writer.finish()
}

// refuses reports whether pion may not send b to an address: media, and it is for us to send.
func (s *Shard) refuses(b []byte, to netip.AddrPort) bool {
	if !isMedia(b) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.known[canonical(to)]
	if t == nil || t.state == released {
		return false
	}
	s.stats.Refused++
	return true
}

// canonical is the one form of an address that a socket may name in two ways.
func canonical(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
