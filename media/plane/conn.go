package plane

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRefused is what pion gets when it tries to send media on a transport that is not left to it.
var ErrRefused = errors.New("plane: media of this transport is not sent by pion")

// handOver is how many datagrams may wait for pion; more are dropped, as by a full socket.
const handOver = 512

// A Conn is one UDP port, for pion's multiplexer: an ice.AddrPortReaderWriter, a net.PacketConn and, so that pion can
// open it itself, a transport.UDPConn. What is read by the first two are STUN, DTLS, and media that nobody here knows.
// Each socket of the port has a goroutine that reads it and in which all media that comes there is received and
// forwarded; Listen starts them, Close waits for them. The other methods of *net.UDPConn are not for use: they pass the
// plane by.
type Conn struct {
	*net.UDPConn // the first socket

	// Set by newConn, then constant.
	plane    *Plane
	systems  []system // the sockets: one, or one for each shard
	steering steering // which of them gets what, and RTCP; nil = RTCP comes to them as everything does
	local    netip.AddrPort
	opened   time.Time

	queue   chan *handed  // for pion; never closed
	spare   sync.Pool     // of *handed
	ended   chan struct{} // closed when a socket can't be read any more
	end     sync.Once
	failure error // why; set before ended is closed
	readers sync.WaitGroup

	users   atomic.Int32   // transports whose selected pair is on the port
	used    chan struct{}  // the first of them has come; holds one
	drained atomic.Int64   // when RTCP was taken last, in nanoseconds since opened
	busy    []atomic.Int64 // by socket: nanoseconds that its reader has worked

	runs [][]run // by shard, each guarded by its mu
}

// A datagram is one that was received. Its data is good until the next batch.
type datagram struct {
	data []byte
	from netip.AddrPort // canonical
	what kind           // set by Plane.take, as the following
	to   *Transport     // whose media it is, until its shard has taken it; nil = nobody's that is known
	pion bool           // pion is to have it
}

// A handed is a datagram on its way to pion.
type handed struct {
	data [maxDatagram]byte
	size int
	from netip.AddrPort
}

// A system is a socket as an operating system has it. serve is for the socket's reader; the others are for the holder
// of the shard, or of any shard if they share the socket.
type system interface {
	// serve hands on what comes, in batches of at least one, until the socket is closed or fails.
	serve(take func(batch []datagram)) error
	// segments reports whether a run may have more than one packet.
	segments() bool
	// send sends all runs, as far as the system takes them, and counts them. It does not wait.
	send(arena []byte, runs []run, stats *Stats)
	// sendOne sends one datagram; any goroutine may call it. It may drop what the socket has no room for.
	sendOne(b []byte, to netip.AddrPort) (int, error)
	close() error
}

func newConn(p *Plane, first *net.UDPConn, systems []system, steering steering) *Conn {
	c := &Conn{
		UDPConn: first, plane: p, systems: systems, steering: steering, opened: time.Now(),
		local: first.LocalAddr().(*net.UDPAddr).AddrPort(),
		queue: make(chan *handed, handOver), ended: make(chan struct{}), used: make(chan struct{}, 1),
		busy: make([]atomic.Int64, len(systems)), runs: make([][]run, len(p.shards)),
	}
	c.spare.New = func() any { return new(handed) }
	for i := range systems {
		c.readers.Go(func() { c.read(i) })
	}
	if steering != nil {
		c.readers.Go(c.mind)
	}
	return c
}

// system returns the socket by which a shard sends.
func (c *Conn) system(s *Shard) system { return c.systems[s.index%len(c.systems)] }

// read takes what comes to a socket until it is closed.
func (c *Conn) read(socket int) {
	err := c.systems[socket].serve(func(batch []datagram) {
		now := time.Now()
		c.take(batch)
		if c.steering != nil {
			c.drain(now, controlGap)
			c.busy[socket].Add(int64(time.Since(now)))
		}
	})
	c.end.Do(func() {
		c.failure = err
		close(c.ended)
	})
}

// take handles a batch and leaves to pion what is pion's.
func (c *Conn) take(batch []datagram) {
	c.plane.take(batch)
	for i := range batch {
		if batch[i].pion {
			c.give(&batch[i])
		}
	}
}

// give leaves a datagram to pion.
func (c *Conn) give(d *datagram) {
	h := c.spare.Get().(*handed)
	h.size, h.from = copy(h.data[:], d.data), d.from
	select {
	case c.queue <- h:
	default:
		c.spare.Put(h)
	}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter. What does not fit into b is cut off.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case h := <-c.queue:
		n, from := copy(b, h.data[:h.size]), h.from
		c.spare.Put(h)
		return n, from, nil
	case <-c.ended:
		return 0, netip.AddrPort{}, c.failure
	}
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort implements ice.AddrPortReaderWriter. The error is ErrRefused, or that of the socket.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if c.plane.refuses(b, to) {
		return 0, ErrRefused
	}
	return c.systems[0].sendOne(b, to)
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	return c.WriteToAddrPort(b, addr.AddrPort())
}

// SetReadDeadline implements net.PacketConn: there is none, media goes on being read.
func (c *Conn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetDeadline implements net.PacketConn, as SetReadDeadline.
func (c *Conn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// Close takes the port off the plane, closes its sockets and waits for their readers. pion's multiplexer calls it.
func (c *Conn) Close() error {
	c.plane.remove(c)
	var errs []error
	for _, s := range c.systems {
		errs = append(errs, s.close())
	}
	c.readers.Wait()
	if c.steering != nil {
		errs = append(errs, c.steering.close())
	}
	return errors.Join(errs...)
}
