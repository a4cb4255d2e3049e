package media

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/plane"
	"confab/signaling/wire"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
)

// ErrClosed is what the methods of a closed Server return.
var ErrClosed = errors.New("media: server closed")

// ErrListenTCP is in an error of New that is about Options.ListenTCP.
var ErrListenTCP = errors.New("media: the TCP port cannot be opened")

// Options are what a Server needs. The zero value listens on a free port of every interface.
type Options struct {
	Listen    netip.AddrPort // UDP. An unspecified or zero address means every interface; port 0 any free one
	PublicIPs []netip.Addr   // what clients are told instead of the addresses of the interfaces
	TCP       net.Addr       // of a TCP port whose connections come by TakeTCP, for ICE-TCP; nil = none
	ListenTCP netip.AddrPort // a TCP port of the server's own, besides; zero = none
	STUN      []string       // host:port of servers that are asked for the public address, without PublicIPs; none = nobody
	Limits    Limits
	Log       *slog.Logger // nil = slog.Default()

	PionOnly bool // leave all media to pion, as on a network that is not the system's

	network transport.Net        // nil = the system's; tests put a virtual network here
	sent    func(plane.Nonce)    // nil = nobody; tests look here for what must not come twice
	cpu     func() time.Duration // what the process has used of the CPU; nil = as the system says; tests are under load as they like
}

// A Server is an SFU: rooms of peers behind one UDP port. Its methods may be called concurrently.
type Server struct {
	// Set by New, then constant.
	opts        Options
	limits      Limits
	log         *slog.Logger
	certificate webrtc.Certificate
	mux         ice.UDPMux
	plane       *plane.Plane // nil = pion moves all media
	tcp         *tcpSide
	face        publicFace // of Options.PublicIPs
	lifetime    context.Context
	end         context.CancelCauseFunc
	peers       sync.WaitGroup // the run goroutines of all peers
	discovering sync.WaitGroup // the goroutine that asks Options.STUN
	watching    sync.WaitGroup // the goroutine that watches load
	load        load
	interfaces  interfaces
	reflexive   atomic.Pointer[[]reflexive]

	mu     sync.Mutex
	closed bool                  // guarded by mu
	rooms  map[wire.RoomID]*room // guarded by mu; rooms without peers and Microphones are not in it
}

// New opens the ports. The error is of opening one or of the certificate.
func New(opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("media: making the DTLS key: %w", err)
	}
	certificate, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("media: making the DTLS certificate: %w", err)
	}
	face := newPublicFace(opts.PublicIPs, opts.Listen.Addr())
	var media *plane.Plane
	if opts.network == nil && !opts.PionOnly {
		media = plane.New(plane.Options{Sent: opts.sent, Public: face.locals()})
	}
	mux, err := listen(opts, media)
	if err != nil {
		return nil, fmt.Errorf("media: listening on %v: %w", opts.Listen, err)
	}
	limits := opts.Limits.withDefaults()
	tcp, err := openTCP(opts, limits)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrListenTCP, err), mux.Close())
	}
	s := &Server{
		opts: opts, limits: limits, log: opts.Log, certificate: *certificate, mux: mux, plane: media, tcp: tcp,
		face: face, rooms: map[wire.RoomID]*room{},
	}
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	if len(opts.STUN) > 0 && len(opts.PublicIPs) == 0 {
		s.discovering.Go(s.discover)
	}
	cpu := opts.cpu
	if cpu == nil {
		cpu = cpuTime
	}
	s.watching.Go(func() { s.load.watch(s.lifetime, cpu) })
	return s, nil
}

// listen opens one socket, or one an interface when the address is unspecified.
func listen(opts Options, media *plane.Plane) (ice.UDPMux, error) {
	logs := logFactory{opts.Log}.NewLogger("ice")
	addr := net.UDPAddrFromAddrPort(opts.Listen)
	switch {
	case opts.network != nil:
		conn, err := opts.network.ListenUDP("udp4", addr)
		if err != nil {
			return nil, err
		}
		return ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: logs, Net: opts.network}), nil
	case !opts.Listen.Addr().IsValid() || opts.Listen.Addr().IsUnspecified():
		network, err := systemNet(media)
		if err != nil {
			return nil, err
		}
		return ice.NewMultiUDPMuxFromPort(int(opts.Listen.Port()), ice.UDPMuxFromPortWithLogger(logs), ice.UDPMuxFromPortWithNet(network))
	default:
		network, err := systemNet(media)
		if err != nil {
			return nil, err
		}
		conn, err := network.ListenUDP("udp", addr)
		if err != nil {
			return nil, err
		}
		return ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: logs}), nil
	}
}

// Join makes a peer for a participant of a room and starts it. A peer of the same id in that room is closed first:
// a client that has opened a new RTCPeerConnection joins again. The error is ErrClosed, a *wire.Error with
// room-full, or that of making the connection.
func (s *Server) Join(roomID wire.RoomID, id wire.ParticipantID, opts PeerOptions) (*Peer, error) {
	for {
		if err := s.lifetime.Err(); err != nil {
			return nil, ErrClosed
		}
		p, old, err := s.enter(roomID, id, opts)
		if old == nil {
			return p, err
		}
		old.Close()
	}
}

// enter is one attempt to join. It returns the peer that holds the id, if there is one.
func (s *Server) enter(roomID wire.RoomID, id wire.ParticipantID, opts PeerOptions) (p, old *Peer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	r := s.rooms[roomID]
	if r == nil {
		r = newRoom(roomID)
		r.shard = s.shardOf(roomID)
	}
	if old := r.peer(id); old != nil {
		return nil, old, nil
	}
	if r.size() >= s.limits.PeersPerRoom {
		return nil, nil, wire.Errorf(wire.CodeRoomFull, "the call has %d participants; at most %d", r.size(), s.limits.PeersPerRoom)
	}
	p, err = newPeer(s, r, id, opts)
	if err != nil {
		return nil, nil, err
	}
	s.rooms[roomID] = r
	r.enter(p)
	s.peers.Go(p.run)
	return p, nil, nil
}

// leave takes an ended peer out of its room, and the room away when nothing keeps it.
func (s *Server) leave(p *Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.room.leave(p) == 0 && s.rooms[p.room.id] == p.room {
		delete(s.rooms, p.room.id)
	}
}

// CloseRoom ends all peers of a room and waits for them.
func (s *Server) CloseRoom(id wire.RoomID) {
	s.mu.Lock()
	r := s.rooms[id]
	s.mu.Unlock()
	if r == nil {
		return
	}
	peers := r.all()
	for _, p := range peers {
		p.end(errRoomClosed)
	}
	for _, p := range peers {
		<-p.done
	}
}

// Close ends all peers, waits for them and closes the ports. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.end(ErrClosed)
	s.peers.Wait()
	s.discovering.Wait()
	s.watching.Wait()
	if !first {
		return nil
	}
	if err := errors.Join(s.mux.Close(), s.tcp.muxes.Close()); err != nil {
		return fmt.Errorf("media: closing the ports: %w", err)
	}
	return nil
}

// Addrs are the addresses that the server listens on.
func (s *Server) Addrs() []net.Addr { return s.mux.GetListenAddresses() }

// UDPAddrs are the same, for a relay beside the server, which may send there.
func (s *Server) UDPAddrs() []netip.AddrPort {
	var all []netip.AddrPort
	for _, addr := range s.Addrs() {
		if udp, ok := addr.(*net.UDPAddr); ok {
			all = append(all, udp.AddrPort())
		}
	}
	return all
}
