package media

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

// A lab is a virtual network, whose time is that of a bubble, with a server in it.
type lab struct {
	t      *testing.T
	router *vnet.Router
	server *Server
	cut    atomic.Bool // nothing gets through

	busy atomic.Int32  // percent of the CPU that the server seems to use
	used time.Duration // owned by cpu
}

// cpu is what the server has used of the CPU when it looks, which it does every second.
func (l *lab) cpu() time.Duration {
	l.used += time.Duration(l.busy.Load()) * time.Duration(runtime.GOMAXPROCS(0)) * loadInterval / 100
	return l.used
}

// inLab runs a test in a bubble.
func inLab(t *testing.T, test func(t *testing.T, l *lab)) {
	synctest.Test(t, func(t *testing.T) {
		router, err := vnet.NewRouter(&vnet.RouterConfig{
			CIDR: "10.0.0.0/24", LoggerFactory: logFactory{slog.New(slog.DiscardHandler)}, MinDelay: 20 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		l := &lab{t: t, router: router}
		router.AddChunkFilter(func(vnet.Chunk) bool { return !l.cut.Load() })
		network := l.network("10.0.0.1")
		if err := router.Start(); err != nil {
			t.Fatal(err)
		}
		l.server, err = New(Options{
			Listen: netip.MustParseAddrPort("10.0.0.1:5000"), Log: slog.New(slog.DiscardHandler), network: network, cpu: l.cpu,
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, l)
		if err := errors.Join(l.server.Close(), router.Stop()); err != nil {
			t.Error(err)
		}
	})
}

func (l *lab) network(address string) *vnet.Net {
	network, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{address}})
	if err == nil {
		err = l.router.AddNet(network)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return network
}

// join makes a client at an address, which publishes nothing yet.
func (l *lab) join(id wire.ParticipantID, address string) *client {
	return l.joinOver(id, l.network(address))
}

// joinOver is join over a network of its own.
func (l *lab) joinOver(id wire.ParticipantID, network transport.Net) *client {
	return joinFrom(l.t, l.server, "room", id, allGrants(), func(settings *webrtc.SettingEngine, media *webrtc.MediaEngine) {
		settings.SetNet(network)
		settings.SetIPFilter(func(net.IP) bool { return true })
		if err := media.RegisterDefaultCodecs(); err != nil {
			l.t.Fatal(err)
		}
	})
}

// A farNet is a client's network from which the server may be far: each datagram takes longer, both ways.
type farNet struct {
	transport.Net
	longer func() time.Duration // for the next datagram; may be less than for the one before, which it then overtakes
}

// ListenUDP implements transport.Net.
func (n *farNet) ListenUDP(network string, address *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, address)
	if err != nil {
		return nil, err
	}
	return &farConn{UDPConn: conn, longer: n.longer, came: make(chan datagram, 1024), closed: make(chan struct{})}, nil
}

// A farConn is a port of a farNet. One goroutine reads from it, as of any port of pion's.
type farConn struct {
	transport.UDPConn
	longer  func() time.Duration
	came    chan datagram
	closed  chan struct{}
	reading sync.Once
	closing sync.Once
}

type datagram struct {
	b    []byte
	addr net.Addr
}

// ReadFrom implements net.PacketConn.
func (c *farConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.reading.Do(func() { go c.read() })
	select {
	case d := <-c.came:
		return copy(b, d.b), d.addr, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// read takes what has come until the port is closed.
func (c *farConn) read() {
	for {
		b := make([]byte, 1600)
		n, addr, err := c.UDPConn.ReadFrom(b)
		if err != nil {
			return
		}
		time.AfterFunc(c.longer(), func() {
			select {
			case c.came <- datagram{b: b[:n], addr: addr}:
			default: // the reader is too slow
			}
		})
	}
}

// WriteTo implements net.PacketConn.
func (c *farConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	own := slices.Clone(b)
	time.AfterFunc(c.longer(), func() { _, _ = c.UDPConn.WriteTo(own, addr) })
	return len(b), nil
}

// Close implements net.PacketConn.
func (c *farConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.UDPConn.Close()
}

func (l *lab) start(id wire.ParticipantID, address string) (c *client, mic, cam *source) {
	c = l.join(id, address)
	mic, cam = c.publish(wire.Microphone, webrtc.MimeTypeOpus), c.publish(wire.Camera, webrtc.MimeTypeVP8)
	c.do(func() { c.offer(nil) })
	return c, mic, cam
}

// An offer that is never answered ends the peer.
func TestNoAnswer(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		p, err := l.server.Join("room", "ann", PeerOptions{Grants: allGrants(), Send: func(wire.ServerMessage) {}})
		if err != nil {
			t.Fatal(err)
		}
		p.room.publish(bareStream(webrtc.MimeTypeVP8).in)
		began := time.Now()
		<-p.Done()
		if after := time.Since(began); !errors.Is(p.Err(), ErrNoAnswer) || after < answerTimeout || after > answerTimeout+time.Second {
			t.Errorf("%v after %v", p.Err(), after)
		}
	})
}

// Changes that come together make one offer.
func TestOffersCoalesce(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		var offers atomic.Int32
		p, err := l.server.Join("room", "ann", PeerOptions{Grants: allGrants(), Send: signals(func(signal wire.Signal) {
			if signal.Description != nil {
				offers.Add(1)
			}
		})})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.room.publish(bareStream(webrtc.MimeTypeVP8).in)
			p.room.publish(bareStream(webrtc.MimeTypeOpus).in)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := offers.Load(); n != 1 || len(*p.sending.Load()) != 40 {
			t.Errorf("%d offers for %d tracks", n, len(*p.sending.Load()))
		}
	})
}

// A short outage is survived. A peer whose network is gone for good ends by itself, and the others see it go.
func TestOutage(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, _, _ := l.start("ann", "10.0.0.2")
		ben, _, _ := l.start("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		more(t, ben, "ann", wire.Camera, 50)
		more(t, ann, "ben", wire.Camera, 50)
		l.cut.Store(true)
		time.Sleep(3 * time.Second)
		l.cut.Store(false)
		more(t, ben, "ann", wire.Camera, 50)
		more(t, ann, "ben", wire.Microphone, 50)
		if ann.peer.Err() != nil || ben.peer.Err() != nil {
			t.Errorf("ended: %v, %v", ann.peer.Err(), ben.peer.Err())
		}
		l.cut.Store(true)
		began := time.Now()
		<-ann.peer.Done()
		if after := time.Since(began); !errors.Is(ann.peer.Err(), ErrLost) || after < failedGrace || after > 2*failedGrace+10*time.Second {
			t.Errorf("%v after %v", ann.peer.Err(), after)
		}
	})
}
