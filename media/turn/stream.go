package turn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"confab/media/admission"
)

var errFrame = errors.New("turn: neither a message nor a channel's data, or too long")

// A listener hands pion connections over TCP or TLS.
type listener struct {
	net.Listener
	server *Server
	door   *admission.Door
	tls    *tls.Config // nil = TCP alone
	ended  sync.Once

	streams sync.WaitGroup // Add by Accept
}

// Accept implements net.Listener. Its error means that the listener is closed, and its connections: after it pion ends
// all allocations, which it must not while it works on a request for one.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.door.Accept(l.Listener)
	if err != nil {
		l.streams.Wait()
		l.ended.Do(l.server.ports.Done)
		return nil, err
	}
	if l.tls != nil {
		c = tls.Server(c, l.tls) // it shakes hands at the first Read, within Limits.Silence
	}
	s := newStream(c, l.Addr())
	key := keyOf(c.RemoteAddr(), s.at)
	s.expect(l.server.limits.Silence)
	l.streams.Add(1)
	l.server.book.connected(key, s)
	s.end = func() {
		l.server.book.disconnected(key)
		l.streams.Done()
	}
	return s, nil
}

// A stream is a client's connection over TCP or TLS. Each Read returns one message or one channel's data with its
// padding (RFC 8656 section 12.5), so that pion has nothing to put together. A client without an allocation, or that takes
// nothing, has only so much time. pion closes it when a Read has failed.
type stream struct {
	net.Conn
	in     *bufio.Reader // owned by the reader
	at     net.Addr      // of the listener
	end    func()        // called once
	ending sync.Once
}

func newStream(c net.Conn, at net.Addr) *stream {
	return &stream{Conn: c, in: bufio.NewReader(c), at: at}
}

// Read implements net.Conn. p must have room for maxMessage bytes.
func (s *stream) Read(p []byte) (int, error) {
	head, err := s.in.Peek(4)
	if err != nil {
		return 0, err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	switch head[0] >> 6 { // RFC 7983 section 7, RFC 8656 section 12.4
	case 0:
		size += 20
	case 1:
		size = 4 + (size+3)&^3
	default:
		return 0, errFrame
	}
	if size > min(len(p), maxMessage) {
		return 0, errFrame
	}
	return io.ReadFull(s.in, p[:size])
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// LocalAddr implements net.Conn. It is the listener's address, so that all clients of a listener are told apart by
// their own.
func (s *stream) LocalAddr() net.Addr { return s.at }

// expect gives the client so long to say something more, 0 = as long as it likes.
func (s *stream) expect(within time.Duration) {
	deadline := time.Time{}
	if within > 0 {
		deadline = time.Now().Add(within)
	}
	_ = s.SetReadDeadline(deadline) // an error means that it is closed already
}

// Close implements net.Conn.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.ending.Do(s.end)
	return err
}

// A datagrams is the UDP port, as pion reads it.
type datagrams struct {
	*net.UDPConn
	server *Server
	ended  sync.Once
}

// ReadFrom implements net.PacketConn. Its error means that the port is closed: pion would take any other for that,
// too.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := d.UDPConn.ReadFrom(p)
		if err == nil || errors.Is(err, net.ErrClosed) {
			if err != nil {
				d.ended.Do(d.server.ports.Done)
			}
			return n, addr, err
		}
	}
}
