// Package admission bounds how many TCP connections a port has open, in all and from one source.
package admission

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const acceptPause = 100 * time.Millisecond // after an error that may pass, such as no descriptor left

// A Door counts connections. Its methods may be called concurrently.
type Door struct {
	// Set by NewDoor, then constant.
	total, perSource int
	closing          chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool                 // guarded by mu
	open   map[*conn]struct{}   // guarded by mu
	from   map[netip.Prefix]int // connections by source; guarded by mu
}

// NewDoor lets total connections in, and perSource of them from one IPv4 address or IPv6 /64.
func NewDoor(total, perSource int) *Door {
	return &Door{
		total: total, perSource: perSource, closing: make(chan struct{}),
		open: map[*conn]struct{}{}, from: map[netip.Prefix]int{},
	}
}

// Admit returns c, counted until it is closed; or closes it and returns nil, when there are too many or the door is
// closed.
func (d *Door) Admit(c net.Conn) net.Conn {
	counted := &conn{Conn: c, door: d, from: sourceOf(c.RemoteAddr())}
	if !d.enter(counted) {
		_ = c.Close() // nothing was said on it
		return nil
	}
	return counted
}

func (d *Door) enter(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.open) >= d.total || d.from[c.from] >= d.perSource {
		return false
	}
	d.open[c] = struct{}{}
	d.from[c.from]++
	return true
}

func (d *Door) leave(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, in := d.open[c]; !in {
		return
	}
	delete(d.open, c)
	if d.from[c.from]--; d.from[c.from] == 0 {
		delete(d.from, c.from)
	}
}

// Accept accepts the next connection that is admitted. Errors that may pass are waited out; the one it returns is
// net.ErrClosed, when l or the door is closed.
func (d *Door) Accept(l net.Listener) (net.Conn, error) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			if c = d.Admit(c); c != nil {
				return c, nil
			}
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		default:
			select {
			case <-time.After(acceptPause):
			case <-d.closing:
				return nil, net.ErrClosed
			}
		}
	}
}

// Open returns how many connections are open.
func (d *Door) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// Close ends all connections and admits no more. It may be called more than once.
func (d *Door) Close() {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	open := d.open
	d.open = nil
	d.mu.Unlock()
	if first {
		close(d.closing)
	}
	for c := range open {
		_ = c.Conn.Close() // the other side may have closed it
	}
}

// A conn is counted until it is closed.
type conn struct {
	net.Conn
	door *Door
	from netip.Prefix
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.door.leave(c)
	return c.Conn.Close()
}

// sourceOf is what counts as one source: an IPv4 address, or the /64 that a network gives one household (RFC 6177).
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
