package signaling

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxSpill bounds what a rawConn holds back: one frame of maxFlush bytes, and the control frames that come while the
// client takes nothing.
const maxSpill = 3 * maxFlush

var errSpillFull = errors.New("signaling: the client takes nothing and asks for more")

// Listener makes connections to which a frame can be written without waiting. A Server whose connections come from
// such a listener writes for all clients from a few goroutines; with any other it needs one for each write. Where
// the system cannot do that, and for connections other than TCP, nothing changes.
//
// handOver takes the connections that begin with a STUN message in a frame (ICE-TCP, RFC 6544), so that media and
// HTTP have one port; see beginsWithSTUN. It owns what it is given and must not block. nil = the HTTP server answers
// them as it answers every bad request.
func Listener(l net.Listener, handOver func(net.Conn)) net.Listener {
	if !canTryWrite && handOver == nil {
		return l
	}
	return listener{l, handOver}
}

type listener struct {
	net.Listener
	handOver func(net.Conn)
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	tcp, ok := c.(*net.TCPConn)
	if err != nil || !ok {
		return c, err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c, nil
	}
	return &rawConn{Conn: tcp, raw: raw, handOver: l.handOver}, nil
}

// A rawConn is a TCP connection that can be told not to wait (try): what the socket does not take at once is then
// held back here (the spill), and Write reports success. From that moment until the spill has been written (drain)
// everything that is written goes behind it, control frames too, so that nothing cuts into a frame.
//
// Between try and done no Write waits, whoever calls it, so that nobody waits for gorilla's lock either.
type rawConn struct {
	net.Conn // a *net.TCPConn; not embedded as such, or net.Buffers would write past Write
	raw      syscall.RawConn

	handOver func(net.Conn) // owned by the reader: until the first Read, and nil when there is nobody to hand over to
	gone     atomic.Bool    // handed over: from the outside it has ended

	mu       sync.Mutex
	trying   bool   // Write must not wait; guarded by mu
	waiting  int    // calls of Write that may be waiting; guarded by mu
	spilling bool   // there is a spill, or drain is writing it; guarded by mu
	timed    bool   // there may be a write deadline; guarded by mu
	spill    []byte // guarded by mu
}

// try makes Write not wait until done. It reports false when it cannot: somebody waits already. There must not be
// two that try.
func (c *rawConn) try() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trying = c.waiting == 0 && !c.spilling
	return c.trying
}

// done ends what try began. It reports true when there is a spill, for which the caller must see to drain.
func (c *rawConn) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trying = false
	return c.spilling
}

// Write implements net.Conn.
func (c *rawConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone.Load():
		return 0, net.ErrClosed
	case c.spilling:
		return c.holdBack(p)
	case !c.trying:
		c.waiting++
		c.mu.Unlock()
		n, err := c.Conn.Write(p)
		c.mu.Lock()
		c.waiting--
		return n, err
	}
	n, err := tryWrite(c.raw, p)
	if err != nil || n == len(p) {
		return n, err
	}
	c.spilling = true
	rest, err := c.holdBack(p[n:])
	return n + rest, err
}

// holdBack adds to the spill. mu is held.
func (c *rawConn) holdBack(p []byte) (int, error) {
	if len(c.spill)+len(p) > maxSpill {
		return 0, errSpillFull
	}
	c.spill = append(c.spill, p...)
	return len(p), nil
}

// drain writes the spill, however long that takes. After an error the connection is good for nothing but Close.
func (c *rawConn) drain() error {
	if err := c.Conn.SetWriteDeadline(time.Time{}); err != nil { // a control frame's may be left
		return err
	}
	for {
		c.mu.Lock()
		p := c.spill
		c.spill = nil
		c.spilling = len(p) > 0
		c.mu.Unlock()
		if len(p) == 0 {
			return nil
		}
		if _, err := c.Conn.Write(p); err != nil {
			return err
		}
	}
}

// SetWriteDeadline implements net.Conn. While there is a spill it does nothing: gorilla sets a deadline for each
// control frame, which must not end the frames before it. To remove what is not there, which it does for every frame,
// costs nothing.
func (c *rawConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spilling || t.IsZero() && !c.timed || c.gone.Load() {
		return nil
	}
	c.timed = !t.IsZero()
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn. It always does what it says: conn.abort relies on it.
func (c *rawConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone.Load() {
		return nil
	}
	c.timed = true
	return c.Conn.SetDeadline(t)
}

// SetLinger is what conn.abort calls.
func (c *rawConn) SetLinger(sec int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok && !c.gone.Load() {
		return tcp.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// CloseWrite is what net/http calls when it ends a connection on which the client may still be writing.
func (c *rawConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && !c.gone.Load() {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// An attempt is a write that does not wait, with the function that makes it: a closure for each would be garbage.
type attempt struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.do = func(fd uintptr) bool {
		a.n, a.err = writeNow(fd, a.p)
		return true // whatever came of it: false would wait
	}
	return a
}}

// tryWrite writes what the socket takes at once and returns how much that was, 0 when it takes nothing.
func tryWrite(raw syscall.RawConn, p []byte) (int, error) {
	a := attempts.Get().(*attempt)
	a.p = p
	err := raw.Write(a.do)
	n, failed := a.n, a.err
	a.p, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	switch {
	case err != nil: // closed, or its deadline is over
		return 0, err
	case failed != nil:
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", failed)}
	}
	return n, nil
}
