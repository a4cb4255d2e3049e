package media

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
)

// ICE-TCP (RFC 6544): for clients whose network lets no UDP through. The server is passive: it offers the address of
// a TCP port, the client connects, and each packet goes in a frame (RFC 4571).
const (
	// A connection ends when it has sent no binding request within this, or one with a name that no peer answers to.
	tcpFirstRequest = 5 * time.Second
	tcpReadQueue    = 32        // packets that wait for a peer; then its client waits
	tcpWriteQueue   = 256 << 10 // bytes that wait for a client; then packets are dropped, as a full UDP path would
	tcpAcceptQueue  = 64        // connections that wait to be looked at; more are refused
	tcpAcceptPause  = 100 * time.Millisecond
)

// A tcpPort is a TCP port as pion's mux wants it: a listener, here of connections that somebody else has accepted.
// It bounds their number. Its methods may be called concurrently.
type tcpPort struct {
	// Set by newTCPPort, then constant.
	addr   net.Addr
	limits Limits
	queue  chan net.Conn // never closed
	done   chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool                  // guarded by mu
	open   map[*tcpConn]struct{} // guarded by mu
	from   map[netip.Prefix]int  // connections by source; guarded by mu
}

func newTCPPort(addr net.Addr, limits Limits) *tcpPort {
	return &tcpPort{
		addr: addr, limits: limits, queue: make(chan net.Conn, tcpAcceptQueue), done: make(chan struct{}),
		open: map[*tcpConn]struct{}{}, from: map[netip.Prefix]int{},
	}
}

// take takes a connection, or closes it when there are too many, in all or from its source. It does not block.
func (p *tcpPort) take(conn net.Conn) {
	c := &tcpConn{Conn: conn, port: p, from: sourceOf(conn.RemoteAddr())}
	if !p.admit(c) {
		_ = conn.Close()
		return
	}
	select {
	case p.queue <- c:
	default:
		_ = c.Close()
	}
}

func (p *tcpPort) admit(c *tcpConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.open) >= p.limits.TCPConns || p.from[c.from] >= p.limits.TCPConnsPerAddress {
		return false
	}
	p.open[c] = struct{}{}
	p.from[c.from]++
	return true
}

func (p *tcpPort) forget(c *tcpConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.open[c]; !ok {
		return
	}
	delete(p.open, c)
	if p.from[c.from]--; p.from[c.from] == 0 {
		delete(p.from, c.from)
	}
}

// Accept implements net.Listener.
func (p *tcpPort) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (p *tcpPort) Addr() net.Addr { return p.addr }

// Close implements net.Listener. It ends the connections too, since pion's mux waits for those that have said
// nothing yet.
func (p *tcpPort) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	open := p.open
	p.open = nil
	p.mu.Unlock()
	if first {
		close(p.done)
	}
	for c := range open {
		_ = c.Conn.Close() // the client may have closed it
	}
	return nil
}

// serve accepts connections until the listener is closed.
func (p *tcpPort) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			p.take(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as no descriptor left
			select {
			case <-time.After(tcpAcceptPause):
			case <-p.done:
				return
			}
		}
	}
}

// A tcpConn is counted until it is closed.
type tcpConn struct {
	net.Conn
	port *tcpPort
	from netip.Prefix
}

// Close implements net.Conn.
func (c *tcpConn) Close() error {
	c.port.forget(c)
	return c.Conn.Close()
}

// sourceOf is what counts as one source of connections: an IPv4 address, or the /64 that a network gives one
// household (RFC 6177).
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// tcpMuxes are the muxes of all TCP ports. pion asks them for each local address, in turn.
type tcpMuxes []*ice.TCPMuxDefault

func newTCPMux(port *tcpPort, logs logFactory) *ice.TCPMuxDefault {
	return ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: port, Logger: logs.NewLogger("ice-tcp"), ReadBufferSize: tcpReadQueue, WriteBufferSize: tcpWriteQueue,
		FirstStunBindTimeout: tcpFirstRequest, AliveDurationForConnFromStun: tcpFirstRequest,
	})
}

var errNoTCPPort = errors.New("media: no TCP port at this address")

// GetConnByUfrag implements ice.TCPMux.
func (m tcpMuxes) GetConnByUfrag(ufrag string, isIPv6 bool, local net.IP) (net.PacketConn, error) {
	conns, err := m.GetAllConns(ufrag, isIPv6, local)
	if err != nil {
		return nil, err
	}
	for _, other := range conns[1:] {
		_ = other.Close() // a share of it
	}
	return conns[0], nil
}

// GetAllConns implements ice.AllConnsGetter: what a peer may have on the ports that listen at a local address.
func (m tcpMuxes) GetAllConns(ufrag string, isIPv6 bool, local net.IP) ([]net.PacketConn, error) {
	var conns []net.PacketConn
	for _, mux := range m {
		if at := mux.LocalAddr().(*net.TCPAddr).IP; at != nil && !at.IsUnspecified() && !at.Equal(local) {
			continue
		}
		conn, err := mux.GetConnByUfrag(ufrag, isIPv6, local)
		if err != nil {
			return nil, errors.Join(err, closeAll(conns))
		}
		conns = append(conns, conn)
	}
	if len(conns) == 0 {
		return nil, errNoTCPPort
	}
	return conns, nil
}

func closeAll(conns []net.PacketConn) error {
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// RemoveConnByUfrag implements ice.TCPMux.
func (m tcpMuxes) RemoveConnByUfrag(ufrag string) {
	for _, mux := range m {
		mux.RemoveConnByUfrag(ufrag)
	}
}

// Close implements ice.TCPMux.
func (m tcpMuxes) Close() error {
	var errs []error
	for _, mux := range m {
		errs = append(errs, mux.Close())
	}
	return errors.Join(errs...)
}

// tcpSide is the TCP side of a server.
type tcpSide struct {
	handed    *tcpPort     // for TakeTCP; nil = none
	own       *tcpPort     // for listener
	listener  net.Listener // the server's own; nil = none
	muxes     tcpMuxes
	accepting sync.WaitGroup // the goroutine that accepts for listener
}

func openTCP(opts Options, limits Limits) (*tcpSide, error) {
	t, logs := &tcpSide{}, logFactory{opts.Log}
	if opts.ListenTCP.IsValid() {
		l, err := net.Listen("tcp", opts.ListenTCP.String())
		if err != nil {
			return nil, err
		}
		t.listener, t.own = l, newTCPPort(l.Addr(), limits)
		t.muxes = append(t.muxes, newTCPMux(t.own, logs))
		t.accepting.Go(func() { t.own.serve(l) })
	}
	if opts.TCP != nil {
		t.handed = newTCPPort(opts.TCP, limits)
		t.muxes = append(t.muxes, newTCPMux(t.handed, logs))
	}
	return t, nil
}

func (t *tcpSide) close() error {
	var err error
	if t.listener != nil {
		err = t.listener.Close()
		t.accepting.Wait()
	}
	return errors.Join(err, t.muxes.Close())
}

// TakeTCP takes a connection to the port Options.TCP that begins with a STUN message in a frame, and owns it. It does
// not block.
func (s *Server) TakeTCP(conn net.Conn) {
	if s.tcp.handed == nil {
		_ = conn.Close()
		return
	}
	s.tcp.handed.take(conn)
}

// TCPAddr is the address of the server's own TCP port (Options.ListenTCP), nil when there is none.
func (s *Server) TCPAddr() net.Addr {
	if s.tcp.listener == nil {
		return nil
	}
	return s.tcp.listener.Addr()
}
