package plane

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
)

// ErrRefused is what pion gets when it tries to send media on a transport that is not left to it.
var ErrRefused = errors.New("plane: media of this transport is not sent by pion")

// A Conn is one socket of a shard, for pion's UDP multiplexer: an ice.AddrPortReaderWriter and a net.PacketConn. One
// goroutine reads, the multiplexer's; in it all media of the socket is received and forwarded. What is read are STUN,
// DTLS, and media that nobody here knows. Closing it, which the multiplexer does, takes it off the shard.
type Conn struct {
	*net.UDPConn
	shard  *Shard
	system system
	local  netip.AddrPort

	// Owned by the reader.
	batch []datagram // what was received and not yet looked at for pion

	runs []run // guarded by shard.mu
}

// A datagram is one that was received. Its data is good until the next batch.
type datagram struct {
	data []byte
	from netip.AddrPort // canonical
	pion bool           // pion is to have it
}

// A system is a socket as an operating system has it. receive is for one goroutine, the others need shard.mu.
type system interface {
	// receive waits for at least one datagram.
	receive() ([]datagram, error)
	// segments reports whether a run may have more than one packet.
	segments() bool
	// send sends all runs, as far as the system takes them, and counts them. It does not wait.
	send(arena []byte, runs []run, stats *Stats)
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		for len(c.batch) > 0 {
			d := c.batch[0]
			c.batch = c.batch[1:]
			if !d.pion {
				continue
			}
			if len(b) < len(d.data) {
				return 0, d.from, io.ErrShortBuffer
			}
			return copy(b, d.data), d.from, nil
		}
		batch, err := c.system.receive()
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		c.shard.take(batch)
		c.batch = batch
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
	if c.shard.refuses(b, to) {
		return 0, ErrRefused
	}
	return c.WriteToUDPAddrPort(b, to)
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	return c.WriteToAddrPort(b, addr.AddrPort())
}

// Close takes the socket off the shard and closes it.
func (c *Conn) Close() error {
	c.shard.mu.Lock()
	c.shard.conns = slices.DeleteFunc(c.shard.conns, func(other *Conn) bool { return other == c })
	c.shard.mu.Unlock()
	return c.UDPConn.Close()
}
