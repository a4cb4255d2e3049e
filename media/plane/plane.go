package plane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Options are what a Plane needs. The zero value is what a server wants.
type Options struct {
	Shards int // 0 = one for each core; at most maxShards
	// Plain makes one system call for each datagram, as on systems that know no other way.
	Plain bool
	// Public are addresses that candidates of ours bear, each with that of the port that it stands for. Of one that is
	// not here the only port of its family is taken, if there is only one.
	Public map[netip.Addr]netip.Addr
	// Sent is told of each packet that leaves encrypted, with a shard locked. It is for tests: see Nonce.
	Sent func(Nonce)

	unsteered bool // as where a kernel does not let sockets be steered; for tests
}

// maxShards is how many cores can be kept busy.
const maxShards = 64

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

// A Plane is sockets, the shards that share them, and the addresses of all transports. Its methods may be called
// concurrently.
type Plane struct {
	// Set by New, then constant.
	opts   Options
	shards []*Shard

	mu    sync.RWMutex                  // taken with a shard locked, never the other way round
	conns []*Conn                       // guarded by mu
	known map[netip.AddrPort]*Transport // guarded by mu; by remote address, canonical
}

// New makes a Plane without sockets.
func New(opts Options) *Plane {
	if opts.Shards <= 0 {
		opts.Shards = runtime.GOMAXPROCS(0)
	}
	p := &Plane{opts: opts, known: map[netip.AddrPort]*Transport{}}
	for i := range min(opts.Shards, maxShards) {
		p.shards = append(p.shards, newShard(p, i))
	}
	return p
}

// Shard returns the shard that a number stands for, such as the hash of a room's name.
func (p *Plane) Shard(n uint32) *Shard { return p.shards[int(n%uint32(len(p.shards)))] }

// socketBuffer is what a socket may have waiting in each direction, in bytes, as far as the system allows.
const socketBuffer = 4 << 20

// Listen opens a UDP port; where the system can share it out, with a socket for each shard. Best, addr is of one
// interface: from an unspecified one, answers may leave by another address than the one that was asked. The error is
// that of opening it.
func (p *Plane) Listen(addr netip.AddrPort) (*Conn, error) {
	network := "udp"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("plane: %w", err)
	}
	c, err := p.open(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("plane: %w", err), conn.Close())
	}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	return c, nil
}

// open makes a Conn of a port's first socket and as many others as are needed.
func (p *Plane) open(conn *net.UDPConn) (*Conn, error) {
	if p.opts.Plain {
		return p.assemble([]*net.UDPConn{conn}, nil)
	}
	others, err := share(conn, len(p.shards)) // one of them for RTCP
	if err != nil {
		return nil, fmt.Errorf("sharing the port: %w", err)
	}
	sockets := append([]*net.UDPConn{conn}, others...)
	if len(others) == 0 {
		return p.assemble(sockets, nil)
	}
	var steering steering
	if !p.opts.unsteered {
		if steering, err = steer(sockets); err != nil {
			return nil, errors.Join(err, closeAll(others))
		}
	}
	last := len(sockets) - 1
	if err := sockets[last].Close(); err != nil { // the steering has it
		return nil, errors.Join(err, closeAll(sockets[1:last]))
	}
	return p.assemble(sockets[:last], steering)
}

// assemble makes a Conn of its parts, which it closes if it cannot, but for the first socket.
func (p *Plane) assemble(sockets []*net.UDPConn, steering steering) (*Conn, error) {
	systems := make([]system, len(sockets))
	for i, socket := range sockets {
		_ = socket.SetReadBuffer(socketBuffer)
		_ = socket.SetWriteBuffer(socketBuffer)
		system, err := newSystem(socket, p.opts.Plain)
		if err != nil {
			if steering != nil {
				err = errors.Join(err, steering.close())
			}
			return nil, errors.Join(err, closeAll(sockets[1:]))
		}
		systems[i] = system
	}
	return newConn(p, sockets[0], systems, steering), nil
}

func closeAll(sockets []*net.UDPConn) error {
	var errs []error
	for _, s := range sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Stats returns the counts so far, of all shards.
func (p *Plane) Stats() Stats {
	var sum Stats
	for _, s := range p.shards {
		s.mu.Lock()
		sum.add(s.stats)
		s.mu.Unlock()
	}
	return sum
}

func (s *Stats) add(other Stats) {
	s.Received += other.Received
	s.Rejected += other.Rejected
	s.Sent += other.Sent
	s.SendCalls += other.SendCalls
	s.Dropped += other.Dropped
	s.Refused += other.Refused
}

// take handles the media of a batch, in each shard what is the shard's, notes on each datagram whether pion is to have
// it, and sends what came of it.
func (p *Plane) take(batch []datagram) {
	now := time.Now()
	var shards uint64 // a bit for each that has something
	p.mu.RLock()
	for i := range batch {
		d := &batch[i]
		d.pion, d.to, d.what = true, nil, classify(d.data)
		if d.what == other {
			continue
		}
		if d.to = p.known[d.from]; d.to != nil {
			shards |= 1 << d.to.shard.index
		}
	}
	p.mu.RUnlock()
	for i := 0; shards != 0; i, shards = i+1, shards>>1 {
		if shards&1 != 0 {
			p.shards[i].take(batch, now)
		}
	}
}

// refuses reports whether pion may not send b to an address: media, and it is for us to send.
func (p *Plane) refuses(b []byte, to netip.AddrPort) bool {
	if !isMedia(b) {
		return false
	}
	p.mu.RLock()
	t := p.known[canonical(to)]
	p.mu.RUnlock()
	if t == nil {
		return false
	}
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.state == released {
		return false
	}
	t.shard.stats.Refused++
	return true
}

// learn gives an address to t.
func (p *Plane) learn(addr netip.AddrPort, t *Transport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[addr] = t
}

// forget takes an address from t, if it still has it.
func (p *Plane) forget(addr netip.AddrPort, t *Transport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[addr] == t {
		delete(p.known, addr)
	}
}

// remove takes a port off the plane.
func (p *Plane) remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(other *Conn) bool { return other == c })
}

// canonical is the one form of an address that a socket may name in two ways.
func canonical(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
