package turn

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/admission"
	"confab/media/pionlog"

	"github.com/pion/turn/v5"
)

// Options are what a Server needs. Key is required.
type Options struct {
	Listen     netip.AddrPort // UDP and TCP. An unspecified or zero address means every interface; port 0 any that is free
	ListenTLS  netip.AddrPort // TLS over TCP; zero = none
	TLS        *tls.Config    // with a certificate; required for ListenTLS
	Host       string         // what clients are told to connect to; empty = the first public address, else the one listened at
	Key        []byte         // signs credentials; at least 32 bytes, the same for all servers that clients may mix
	TTL        time.Duration  // how long credentials are good for, in whole seconds; 0 = an hour
	AllowPeers []netip.Prefix // networks that relays may send to although they are not public

	// PublicIPs are the addresses by which others reach this host, when they are not those of its interfaces; nil =
	// none. SFU are those of the media ports, which relays may send to; nil = none. Both are called often, and may
	// answer otherwise each time.
	PublicIPs func() []netip.Addr
	SFU       func() []netip.AddrPort

	Limits Limits
	Log    *slog.Logger // nil = slog.Default()

	now func() time.Time // nil = time.Now; for tests
}

// A Server is a TURN server. Its methods may be called concurrently; it implements turn.RelayAddressGenerator for
// pion.
type Server struct {
	// Set by New, then constant.
	opts        Options
	limits      Limits
	credentials credentials
	peers       *peers
	book        *book
	udp         *datagrams
	tcp, tls    *listener // tls is nil without Options.ListenTLS
	pion        *turn.Server

	stats   stats
	ports   sync.WaitGroup // the ports that pion reads from, with their connections
	closing sync.Once
	ended   error // set by the first Close
}

// stats are counters of a Server; see Stats.
type stats struct {
	allocated, refused, unauthorized, denied, forbidden, dropped, sent, received atomic.Uint64
}

// Stats are counters since the start, but for Open.
type Stats struct {
	Open         int    // allocations now
	Allocated    uint64 // allocations made
	Refused      uint64 // refused because a quota was reached
	Unauthorized uint64 // requests with credentials that are malformed or expired
	Denied       uint64 // permissions refused
	Forbidden    uint64 // packets dropped because they were for or from another port of this host
	Dropped      uint64 // packets dropped because an allocation had used up its rate
	Sent         uint64 // bytes relayed to peers
	Received     uint64 // bytes relayed from peers
}

// New opens the ports and serves. The error is of the options or of opening a port; the latter can be asked with
// errors.Is for what net.Listen fails with.
func New(opts Options) (*Server, error) {
	if len(opts.Key) < minKey {
		return nil, fmt.Errorf("turn: the key has %d bytes; at least %d are needed", len(opts.Key), minKey)
	}
	if opts.ListenTLS.IsValid() && opts.TLS == nil {
		return nil, errors.New("turn: TLS needs a certificate")
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.PublicIPs == nil {
		opts.PublicIPs = func() []netip.Addr { return nil }
	}
	if opts.SFU == nil {
		opts.SFU = func() []netip.AddrPort { return nil }
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	opts.TTL = cmp.Or(opts.TTL, defaultTTL)
	limits := opts.Limits.withDefaults()
	limits.Idle = min(limits.Idle, opts.TTL)
	s := &Server{
		opts: opts, limits: limits, credentials: credentials{key: opts.Key, ttl: opts.TTL, now: opts.now}, peers: newPeers(opts), book: newBook(limits),
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.closePorts())
	}
	if err := s.serve(); err != nil {
		return nil, errors.Join(err, s.closePorts())
	}
	return s, nil
}

// samePort is how often a port that is free for UDP is looked for that is free for TCP too.
const samePort = 10

func (s *Server) listen() error {
	var udp *net.UDPConn
	var tcp net.Listener
	var err error
	for range samePort {
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.opts.Listen)); err != nil {
			return fmt.Errorf("turn: listening on UDP %v: %w", s.opts.Listen, err)
		}
		at := netip.AddrPortFrom(s.opts.Listen.Addr(), udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		if tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err == nil {
			break
		}
		_ = udp.Close() // nothing was sent on it
		if s.opts.Listen.Port() != 0 {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("turn: listening on TCP %v: %w", s.opts.Listen, err)
	}
	s.udp = &datagrams{UDPConn: udp, server: s}
	s.tcp = s.newListener(tcp, nil)
	if s.opts.ListenTLS.IsValid() {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(s.opts.ListenTLS))
		if err != nil {
			return fmt.Errorf("turn: listening on TCP %v: %w", s.opts.ListenTLS, err)
		}
		s.tls = s.newListener(l, s.opts.TLS)
	}
	return nil
}

func (s *Server) newListener(l net.Listener, config *tls.Config) *listener {
	return &listener{Listener: l, server: s, tls: config, door: admission.NewDoor(s.limits.Conns, s.limits.ConnsPerSource)}
}

func (s *Server) listeners() []*listener {
	var all []*listener
	for _, l := range []*listener{s.tcp, s.tls} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// serve has pion read from the ports.
func (s *Server) serve() error {
	config := turn.ServerConfig{
		Realm: realm, AuthHandler: s.authenticate, QuotaHandler: s.hasRoom, EventHandler: s.events(),
		LoggerFactory:      pionlog.New(s.opts.Log, slog.LevelDebug),
		AllocationLifetime: min(allocationLifetime, s.opts.TTL), // clients refresh by it, and have to before Limits.Idle
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: s.udp, RelayAddressGenerator: s, PermissionHandler: s.permit(s.udp.LocalAddr())},
		},
	}
	s.ports.Add(1)
	for _, l := range s.listeners() {
		s.ports.Add(1)
		config.ListenerConfigs = append(config.ListenerConfigs, turn.ListenerConfig{
			Listener: l, RelayAddressGenerator: s, PermissionHandler: s.permit(l.Addr()),
		})
	}
	var err error
	if s.pion, err = turn.NewServer(config); err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	return nil
}

func (s *Server) hasRoom(participant, _ string, _ net.Addr) bool {
	ok := s.book.room(participant)
	if !ok {
		s.stats.refused.Add(1)
	}
	return ok
}

func (s *Server) events() turn.EventHandler {
	events := s.book.events()
	created := events.OnAllocationCreated
	events.OnAllocationCreated = func(src, dst net.Addr, protocol, user, realm string, relay net.Addr, port int) {
		s.stats.allocated.Add(1)
		created(src, dst, protocol, user, realm, relay, port)
	}
	return events
}

// permit decides for the clients of one port whether a relay may send to an address.
func (s *Server) permit(port net.Addr) turn.PermissionHandler {
	return func(client net.Addr, peer net.IP) bool {
		ip, _ := netip.AddrFromSlice(peer)
		ok := s.peers.permits(ip) && s.book.mayAdd(keyOf(client, port), ip.Unmap())
		if !ok {
			s.stats.denied.Add(1)
		}
		return ok
	}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	return Stats{
		Open: s.book.size(), Allocated: s.stats.allocated.Load(), Refused: s.stats.refused.Load(),
		Unauthorized: s.stats.unauthorized.Load(), Denied: s.stats.denied.Load(), Forbidden: s.stats.forbidden.Load(),
		Dropped: s.stats.dropped.Load(), Sent: s.stats.sent.Load(), Received: s.stats.received.Load(),
	}
}

// Addr is the address of the UDP and the TCP port.
func (s *Server) Addr() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// TLSAddr is the address of the TLS port, zero when there is none.
func (s *Server) TLSAddr() netip.AddrPort {
	if s.tls == nil {
		return netip.AddrPort{}
	}
	return s.tls.Addr().(*net.TCPAddr).AddrPort()
}

// Close ends all allocations and connections, closes the ports and waits for everything that has read from them. It
// may be called more than once.
func (s *Server) Close() error {
	s.closing.Do(func() {
		err := s.closePorts()
		s.ports.Wait()
		s.ended = errors.Join(err, s.book.close())
	})
	return s.ended
}

func (s *Server) closePorts() error {
	var errs []error
	if s.udp != nil {
		errs = append(errs, s.udp.Close())
	}
	for _, l := range s.listeners() {
		l.door.Close()
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// urls are what clients are told (RFC 7065).
func (s *Server) urls() []string {
	host := s.host()
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	port := strconv.Itoa(int(s.Addr().Port()))
	urls := []string{"turn:" + host + ":" + port + "?transport=udp", "turn:" + host + ":" + port + "?transport=tcp"}
	if s.tls != nil {
		urls = append(urls, "turns:"+host+":"+strconv.Itoa(int(s.TLSAddr().Port()))+"?transport=tcp")
	}
	return urls
}

func (s *Server) host() string {
	if s.opts.Host != "" {
		return s.opts.Host
	}
	for _, v4 := range []bool{true, false} {
		if ip, ok := s.relayIP(v4); ok {
			return ip.String()
		}
	}
	return "localhost" // no network at all
}

// relayIP is the address of a family that relays are told to have: a public one, the one listened at, or the one from
// which packets leave this host.
func (s *Server) relayIP(v4 bool) (netip.Addr, bool) {
	for _, ip := range s.opts.PublicIPs() {
		if ip = ip.Unmap(); ip.Is4() == v4 {
			return ip, true
		}
	}
	if at := s.opts.Listen.Addr().Unmap(); at.IsValid() && !at.IsUnspecified() {
		return at, at.Is4() == v4
	}
	return leavingFrom(v4)
}

// bindIP is the address of a family that relays listen at.
func (s *Server) bindIP(v4 bool) netip.Addr {
	if at := s.opts.Listen.Addr().Unmap(); at.IsValid() && !at.IsUnspecified() && at.Is4() == v4 {
		return at
	}
	if v4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// leavingFrom returns the address from which packets for the Internet leave. It sends nothing.
func leavingFrom(v4 bool) (netip.Addr, bool) {
	to := "[2001:503:ba3e::2:30]:9" // any public address will do; these are of a root name server
	if v4 {
		to = "198.41.0.4:9"
	}
	conn, err := net.Dial("udp", to)
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), true
}
