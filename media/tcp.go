package media

import (
	"errors"
	"net"
	"sync"
	"time"

	"confab/media/admission"

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
)

// A tcpPort is a TCP port as pion's mux wants it: a listener, here of connections that somebody else has accepted.
// Its methods may be called concurrently.
type tcpPort struct {
	// Set by newTCPPort, then constant.
	addr  net.Addr
	door  *admission.Door
	queue chan net.Conn // never closed
	done  chan struct{} // closed by Close

	closing sync.Once
}

func newTCPPort(addr net.Addr, limits Limits) *tcpPort {
	return &tcpPort{
		addr: addr, door: admission.NewDoor(limits.TCPConns, limits.TCPConnsPerAddress),
		queue: make(chan net.Conn, tcpAcceptQueue), done: make(chan struct{}),
	}
}

// take takes a connection, or closes it when there are too many. It does not block.
func (p *tcpPort) take(c net.Conn) {
	if c = p.door.Admit(c); c == nil {
		return
	}
	select {
	case p.queue <- c:
	default:
		_ = c.Close()
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
	p.closing.Do(func() { close(p.done) })
	p.door.Close()
	return nil
}

// An ownPort is a TCP port as pion's mux wants it, which the server listens on by itself.
type ownPort struct {
	net.Listener
	door *admission.Door
}

// Accept implements net.Listener.
func (p ownPort) Accept() (net.Conn, error) { return p.door.Accept(p.Listener) }

// Close implements net.Listener. As for a tcpPort, it ends the connections too.
func (p ownPort) Close() error {
	p.door.Close()
	return p.Listener.Close()
}

// tcpMuxes are the muxes of all TCP ports. pion asks them for each local address, in turn.
type tcpMuxes []*ice.TCPMuxDefault

func newTCPMux(port net.Listener, logs logFactory) *ice.TCPMuxDefault {
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
	handed *tcpPort // for TakeTCP; nil = none
	own    *ownPort // nil = none
	muxes  tcpMuxes
}

func openTCP(opts Options, limits Limits) (*tcpSide, error) {
	t, logs := &tcpSide{}, logFactory{opts.Log}
	if opts.ListenTCP.IsValid() {
		l, err := net.Listen("tcp", opts.ListenTCP.String())
		if err != nil {
			return nil, err
		}
		t.own = &ownPort{l, admission.NewDoor(limits.TCPConns, limits.TCPConnsPerAddress)}
		t.muxes = append(t.muxes, newTCPMux(t.own, logs))
	}
	if opts.TCP != nil {
		t.handed = newTCPPort(opts.TCP, limits)
		t.muxes = append(t.muxes, newTCPMux(t.handed, logs))
	}
	return t, nil
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
	if s.tcp.own == nil {
		return nil
	}
	return s.tcp.own.Addr()
}
