package media

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// newTCPServer makes a server with a TCP port of its own.
func newTCPServer(t *testing.T, limits Limits) *Server {
	t.Helper()
	s, err := New(Options{Listen: loopback, ListenTCP: loopback, Limits: limits, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newHandedServer makes a server with a TCP port whose connections the test accepts for it.
func newHandedServer(t *testing.T) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Listen: loopback, TCP: l.Addr(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			s.TakeTCP(c)
		}
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = l.Close()
		accepting.Wait()
	})
	return s
}

// A call in which nobody has UDP.
func TestCallByTCP(t *testing.T) {
	for name, s := range map[string]*Server{"own port": newTCPServer(t, Limits{}), "handed over": newHandedServer(t)} {
		t.Run(name, func(t *testing.T) {
			var clients []*client
			for _, id := range []wire.ParticipantID{"ann", "ben"} {
				c := joinFrom(t, s, "room", id, allGrants(), func(settings *webrtc.SettingEngine, media *webrtc.MediaEngine) {
					settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
					if err := media.RegisterDefaultCodecs(); err != nil {
						t.Fatal(err)
					}
				})
				c.publish(wire.Microphone, webrtc.MimeTypeOpus)
				c.publish(wire.Camera, webrtc.MimeTypeVP8)
				c.do(func() { c.offer(nil) })
				clients = append(clients, c)
			}
			ann, ben := clients[0], clients[1]
			for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
				more(t, ann, "ben", source, 100)
				more(t, ben, "ann", source, 100)
				unbroken(t, ann, "ben", source)
				unbroken(t, ben, "ann", source)
			}
			for _, c := range clients {
				pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
				if err != nil || pair == nil {
					t.Fatal(pair, err)
				}
				if pair.Remote.Protocol != webrtc.ICEProtocolTCP || pair.Remote.TCPType != "passive" {
					t.Errorf("the pair of %s is %v", c.id, pair)
				}
				c.close()
			}
			eventually(t, "the connections are closed", func() bool { return openTCPConns(s) == 0 })
		})
	}
}

func openTCPConns(s *Server) int {
	n := 0
	if s.tcp.own != nil {
		n += s.tcp.own.door.Open()
	}
	if s.tcp.handed != nil {
		n += s.tcp.handed.door.Open()
	}
	return n
}

// A binding request with the name of a peer that there is not, in a frame.
func framedRequest(t *testing.T, username string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username))
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(m.Raw))), m.Raw...)
}

// ends waits for the server to end a connection, and returns how long that took.
func ends(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if err := c.SetReadDeadline(began.Add(2 * tcpFirstRequest)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("open after %v", time.Since(began))
	}
	return time.Since(began)
}

// Who says nothing, or names nobody, is sent away in the end; who speaks of something else, at once.
func TestTCPStrangers(t *testing.T) {
	s := newTCPServer(t, Limits{})
	for name, c := range map[string]struct {
		say   []byte
		least time.Duration
	}{
		"silent":         {nil, tcpFirstRequest - time.Second},
		"half a frame":   {framedRequest(t, "a:b")[:9], tcpFirstRequest - time.Second},
		"unknown name":   {framedRequest(t, "nobody:here"), tcpFirstRequest - time.Second},
		"no name":        {framedRequest(t, "")[:2+20], 0},
		"something else": {[]byte("\x00\x10hello, are you a mail server?"), 0},
		"a long frame":   {[]byte("\xff\xffhello"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.TCPAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(c.say); err != nil {
				t.Fatal(err)
			}
			if took := ends(t, conn); took < c.least {
				t.Errorf("ended after %v", took)
			}
		})
	}
}

// Connections are bounded, in all and from one address, and places become free again.
func TestTCPBounds(t *testing.T) {
	for name, limits := range map[string]Limits{"in all": {TCPConns: 2}, "from one address": {TCPConnsPerAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			s := newTCPServer(t, limits)
			dial := func() net.Conn {
				c, err := net.Dial("tcp", s.TCPAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
			first := dial()
			dial()
			eventually(t, "two are open", func() bool { return openTCPConns(s) == 2 })
			if took := ends(t, dial()); took > tcpFirstRequest/2 {
				t.Errorf("one too many lived %v", took)
			}
			_ = first.Close()
			eventually(t, "one is open", func() bool { return openTCPConns(s) == 1 })
			dial()
			eventually(t, "two are open again", func() bool { return openTCPConns(s) == 2 })
		})
	}
}

// A TCP side with no port handed over closes what it gets.
func TestTakeTCPWithoutPort(t *testing.T) {
	s := newTestServer(t, Limits{})
	server, client := net.Pipe()
	s.TakeTCP(server)
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("the connection is open")
	}
	if s.TCPAddr() != nil {
		t.Error("there is a TCP port")
	}
}
