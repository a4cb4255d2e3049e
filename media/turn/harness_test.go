package turn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"confab/media/pionlog"
	"confab/signaling/wire"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

var (
	loopback = netip.MustParseAddrPort("127.0.0.1:0")
	testKey  = []byte("0123456789abcdef0123456789abcdef")
	quiet    = slog.New(slog.DiscardHandler)
)

// start makes a server on the loopback interface.
func start(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	opts := Options{Listen: loopback, Key: testKey, Log: quiet}
	if change != nil {
		change(&opts)
	}
	s, err := New(opts)
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

// selfSigned makes a certificate for a test, and the pool that trusts it.
func selfSigned(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}, pool
}

// dial makes a client with credentials, over udp, tcp or tls.
func dial(t testing.TB, s *Server, network string, credentials wire.ICEServer, pool *x509.CertPool) *turn.Client {
	t.Helper()
	at, conn := s.Addr().String(), net.PacketConn(nil)
	var stream net.Conn
	var err error
	switch network {
	case "udp":
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
	case "tcp":
		stream, err = net.Dial("tcp", at)
	case "tls":
		at = s.TLSAddr().String()
		stream, err = tls.Dial("tcp", at, &tls.Config{RootCAs: pool})
	}
	if err != nil {
		t.Fatal(err)
	}
	if stream != nil {
		conn = turn.NewSTUNConn(stream)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Conn: conn, Username: credentials.Username, Password: credentials.Credential,
		LoggerFactory: pionlog.New(quiet, slog.LevelDebug), RTO: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		_ = conn.Close()
	})
	return client
}

// allocate makes a client and its allocation.
func allocate(t testing.TB, s *Server, network string, who wire.ParticipantID) (*turn.Client, net.PacketConn) {
	t.Helper()
	client := dial(t, s, network, s.Credentials(who), nil)
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	return client, relay
}

// passes sends a packet from one socket to another and reports whether it comes within the time.
func passes(t testing.TB, from, to net.PacketConn, target net.Addr, within time.Duration) bool {
	t.Helper()
	if _, err := from.WriteTo([]byte("packet"), target); err != nil {
		t.Logf("to %v: %v", target, err)
		return false
	}
	if err := to.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	for {
		n, _, err := to.ReadFrom(b)
		if err != nil || string(b[:n]) == "packet" { // something else came before
			return err == nil
		}
	}
}

// wantCode fails unless err is an answer with that code.
func wantCode(t testing.TB, what string, err error, code stun.ErrorCode) {
	t.Helper()
	if answer, ok := errors.AsType[*stun.TurnError](err); !ok || answer.ErrorCodeAttr.Code != code {
		t.Errorf("%s: %v, want %d", what, err, code)
	}
}

// ask sends an authenticated request and returns the answer.
func ask(t testing.TB, s *Server, client *turn.Client, credentials wire.ICEServer, method stun.Method, more ...stun.Setter) error {
	t.Helper()
	to := net.UDPAddrFromAddrPort(s.Addr())
	kind := stun.NewType(method, stun.ClassRequest)
	bare, err := stun.Build(stun.TransactionID, kind)
	if err != nil {
		t.Fatal(err)
	}
	first, err := client.PerformTransaction(bare, to, false)
	if err != nil {
		t.Fatal(err)
	}
	var nonce stun.Nonce
	if err := nonce.GetFrom(first.Msg); err != nil {
		t.Fatal(err)
	}
	setters := append([]stun.Setter{stun.TransactionID, kind, stun.NewUsername(credentials.Username), stun.NewRealm(realm), nonce}, more...)
	signed, err := stun.Build(append(setters, stun.NewLongTermIntegrity(credentials.Username, realm, credentials.Credential))...)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.PerformTransaction(signed, to, false)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Msg.Type.Class == stun.ClassSuccessResponse {
		return nil
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(answer.Msg); err != nil {
		t.Fatal(err)
	}
	return &stun.TurnError{StunMessageType: answer.Msg.Type, ErrorCodeAttr: code}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
