package signaling

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

const (
	// stunLead is how many bytes say that a connection begins with a STUN message: the length of the frame (RFC 4571
	// section 2), the type, the length and the cookie of the message (RFC 8489 section 5).
	stunLead   = 10
	stunHeader = 20 // bytes
	stunCookie = 0x2112a442
	// An HTTP request begins with a letter, a TLS connection with 22. A frame of up to 2 KiB, and no first message is
	// longer, begins with less than this.
	leastHTTP = 8
)

// Read implements net.Conn. The first one looks at what the connection begins with, which costs other connections a
// comparison: they are known by their first byte.
func (c *rawConn) Read(p []byte) (int, error) {
	handOver := c.handOver
	switch {
	case c.gone.Load():
		return 0, io.EOF
	case handOver == nil || len(p) < stunLead:
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.handOver = nil
	if p[0] >= leastHTTP {
		return n, err
	}
	for n < stunLead && err == nil { // it comes in pieces; the deadline for headers holds
		var more int
		more, err = c.Conn.Read(p[n:])
		n += more
	}
	if err != nil || !beginsWithSTUN(p[:n]) {
		return n, err
	}
	c.leave(handOver, p[:n])
	return 0, io.EOF
}

// leave ends the connection for the HTTP server, and hands it over as it was before the first Read.
func (c *rawConn) leave(handOver func(net.Conn), begun []byte) {
	c.mu.Lock()
	c.gone.Store(true)
	c.mu.Unlock()
	_ = c.Conn.SetDeadline(time.Time{}) // an error means that it is closed, as its new owner will see
	handOver(&begunConn{Conn: c.Conn, begun: append([]byte(nil), begun...)})
}

// Close implements net.Conn.
func (c *rawConn) Close() error {
	if c.gone.Load() {
		return nil
	}
	return c.Conn.Close()
}

// SetReadDeadline implements net.Conn.
func (c *rawConn) SetReadDeadline(t time.Time) error {
	if c.gone.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// beginsWithSTUN reports whether b, of at least stunLead bytes, begins with a framed STUN message.
func beginsWithSTUN(b []byte) bool {
	frame, message := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[4:]))
	return b[2] < 4 && frame == stunHeader+message && message%4 == 0 && binary.BigEndian.Uint32(b[6:]) == stunCookie
}

// A begunConn is a connection of which something has been read.
type begunConn struct {
	net.Conn
	begun []byte // owned by the reader
}

// Read implements net.Conn.
func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.begun) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.begun)
	c.begun = c.begun[n:]
	return n, nil
}
