package turn

import (
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A prober is a client that sends what it likes and looks whether the server still answers.
type prober struct {
	t    testing.TB
	conn net.Conn
}

func newProber(t testing.TB, s *Server) *prober {
	t.Helper()
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &prober{t, conn}
}

// ask sends a message and returns the answer to it, nil when there is none in time.
func (p *prober) ask(m *stun.Message, within time.Duration) *stun.Message {
	p.t.Helper()
	if _, err := p.conn.Write(m.Raw); err != nil {
		p.t.Fatal(err)
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 2000)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			return nil
		}
		answer := &stun.Message{Raw: slices.Clone(b[:n])}
		if answer.Decode() == nil && answer.TransactionID == m.TransactionID {
			return answer
		}
	}
}

// alive asks until the server answers, as a client does: what comes at once with much else may be dropped by the system.
func (p *prober) alive() {
	p.t.Helper()
	for range 10 {
		if p.ask(stun.MustBuild(stun.TransactionID, stun.BindingRequest), patience/10) != nil {
			return
		}
	}
	p.t.Fatal("the server does not answer any more")
}

// Whatever strangers send to the UDP port, the server goes on.
func TestGarbage(t *testing.T) {
	s := start(t, nil)
	p := newProber(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	allocate := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), requestedTransport(17), stun.Fingerprint).Raw
	for i := range 2000 {
		b := slices.Clone(allocate)
		if i%2 == 0 {
			b = make([]byte, random.IntN(200))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
		}
		for range random.IntN(4) {
			if len(b) > 0 {
				b[random.IntN(len(b))] = byte(random.Uint32())
			}
		}
		if _, err := p.conn.Write(b[:random.IntN(len(b)+1)]); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			p.alive()
		}
	}
	p.alive()
	if n := s.Stats().Open; n != 0 {
		t.Errorf("%d allocations", n)
	}
}

// An attribute of a fuzzed request.
type rawAttribute struct {
	kind  stun.AttrType
	value []byte
}

func (a rawAttribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

// readAttributes takes two bytes of type, one of length, and the value, again and again.
func readAttributes(b []byte) []stun.Setter {
	var list []stun.Setter
	for len(b) >= 3 && len(list) < 8 {
		size := min(int(b[2]), len(b)-3)
		list = append(list, rawAttribute{stun.AttrType(uint16(b[0])<<8 | uint16(b[1])), b[3 : 3+size]})
		b = b[3+size:]
	}
	return list
}

// A participant with good credentials may put into requests and indications whatever they like: the server goes on,
// and no permission is given for what is denied.
func FuzzRequests(f *testing.F) {
	f.Add(byte(3), []byte("\x00\x19\x04\x11\x00\x00\x00"))                                                                 // Allocate
	f.Add(byte(4), []byte("\x00\x0d\x04\x00\x00\x02\x58"))                                                                 // Refresh
	f.Add(byte(8), []byte("\x00\x12\x08\x00\x01\x21\x12\x2b\x1b\xad\x43"))                                                 // CreatePermission
	f.Add(byte(9), []byte("\x00\x0c\x04\x40\x01\x00\x00\x00\x12\x08\x00\x01\x21\x12\x28\x1b\xad\x4b"))                     // ChannelBind
	f.Add(byte(0x16), []byte("\x00\x12\x08\x00\x01\x21\x12\x28\x1b\xad\x4b\x00\x13\x04data"))                              // Send
	f.Add(byte(3), []byte("\x00\x19\x04\x11\x00\x00\x00\x00\x18\x01\x80\x00\x17\x04\x01\x00\x00\x00\x00\x22\x08abcdefgh")) // with all else
	f.Add(byte(0x0a), []byte("\x00\x12\x08\x00\x01\x21\x12\x28\x1b\xad\x4b"))                                              // Connect
	f.Add(byte(0x0b), []byte("\x00\x2a\x04\x00\x00\x00\x01"))                                                              // ConnectionBind
	s := start(f, func(o *Options) { o.Limits = Limits{PerParticipant: 1 << 20, Allocations: 64, Idle: time.Second} })
	p := newProber(f, s)
	challenge := p.ask(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest)), patience)
	if challenge == nil {
		f.Fatal("no answer")
	}
	var nonce stun.Nonce
	if err := nonce.GetFrom(challenge); err != nil {
		f.Fatal(err)
	}
	credentials := s.Credentials("ann")
	f.Fuzz(func(t *testing.T, method byte, attributes []byte) {
		class := stun.ClassRequest
		if method&0x10 != 0 {
			class = stun.ClassIndication
		}
		setters := append([]stun.Setter{
			stun.TransactionID, stun.NewType(stun.Method(method&0x0f), class),
			stun.NewUsername(credentials.Username), stun.NewRealm(realm), nonce,
		}, readAttributes(attributes)...)
		m, err := stun.Build(append(setters, stun.NewLongTermIntegrity(credentials.Username, realm, credentials.Credential))...)
		if err != nil {
			return
		}
		if _, err := p.conn.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		(&prober{t, p.conn}).alive()
	})
}
