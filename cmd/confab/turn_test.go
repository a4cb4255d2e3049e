package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"confab/signaling/wire"
)

// writeCertificate writes a certificate for 127.0.0.1 and its key, and returns what trusts it.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool = x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pool.AppendCertsFromPEM(text)
	err = errors.Join(os.WriteFile(certFile, text, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pool
}

func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, _ := writeCertificate(t, dir, 1)
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.Int64()
	}
	later := time.Now().Add(time.Hour) // the file system's clock may be coarse
	writeCertificate(t, dir, 2)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 1 {
		t.Errorf("number %d at once", got)
	}
	c.looked = time.Now().Add(-2 * certificateLook)
	if got := serial(); got != 2 {
		t.Errorf("number %d after a while", got)
	}
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.looked = time.Now().Add(-2 * certificateLook)
	if got := serial(); got != 2 {
		t.Errorf("number %d while a new one is written", got)
	}
	if _, err := loadCertificate(filepath.Join(dir, "nothing"), keyFile, slog.Default()); err == nil {
		t.Error("no file and no error")
	}
}

// A participant is told of the server's relay with credentials of their own, beside the servers of the settings, and
// the relay takes them, over each transport.
func TestServerRelays(t *testing.T) {
	certFile, keyFile, pool := writeCertificate(t, t.TempDir(), 1)
	tlsPort := freePort(t)
	c := start(t, t.TempDir(), "--turn", "on", "--turn-port", "0", "--turn-tls-port", tlsPort, "--turn-cert", certFile, "--turn-key", keyFile,
		"--ice-servers", "stun:stun.example:3478")
	conn, _ := connect(t, c.url, guestToken(t, c.url, c.room))
	defer conn.Close()
	body, err := json.Marshal(wire.Join{})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(1, wire.AppendEnvelope(nil, wire.Envelope{ID: "2", Room: wire.RoomID(c.room)}, wire.KindJoin, body)); err != nil {
		t.Fatal(err)
	}
	var joined wire.Joined
	if err := json.Unmarshal(next(t, conn).Data, &joined); err != nil {
		t.Fatal(err)
	}
	ice := joined.Media.ICEServers
	if len(ice) != 2 || ice[0].URLs[0] != "stun:stun.example:3478" || len(ice[1].URLs) != 3 || joined.Media.TTL != 3600 {
		t.Fatalf("told of %+v", joined.Media)
	}
	if !strings.HasSuffix(ice[1].Username, ":"+string(joined.Self.ID)) {
		t.Errorf("the credentials of %s are for %s", joined.Self.ID, ice[1].Username)
	}
	for _, url := range ice[1].URLs {
		if err := relayBy(t, url, ice[1], pool); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, metrics := c.get(t, "/metrics"); !strings.Contains(metrics, `confab_turn_allocations_total{outcome="made"} 3`) {
		t.Error("the metrics do not tell of three allocations")
	}
	if err := c.terminate(t, os.Interrupt); err != nil {
		t.Errorf("%v\n%s", err, c.err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// relayBy makes an allocation as url says, and ends it.
func relayBy(t *testing.T, url string, credentials wire.ICEServer, pool *x509.CertPool) error {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, ":")
	at, transport, _ := strings.Cut(rest, "?transport=")
	var conn net.PacketConn
	var stream net.Conn
	var err error
	switch {
	case scheme == "turns":
		stream, err = tls.Dial("tcp", at, &tls.Config{RootCAs: pool})
	case transport == "tcp":
		stream, err = net.Dial("tcp", at)
	default:
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	if stream != nil {
		conn = turn.NewSTUNConn(stream)
	}
	defer conn.Close()
	client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: at, Conn: conn, Username: credentials.Username, Password: credentials.Credential})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		return err
	}
	relayed, err := client.Allocate()
	if err != nil {
		return err
	}
	return relayed.Close()
}

// Media by TCP comes by the port of HTTP: what begins with STUN is answered by nothing of HTTP's, whether there is
// somebody of that name or not.
func TestServerTakesMediaByHTTPPort(t *testing.T) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("nobody:here"))
	if err != nil {
		t.Fatal(err)
	}
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(request.Raw))), request.Raw...)
	for sfu, wantHTTP := range map[string]bool{"on": false, "off": true} {
		c := start(t, t.TempDir(), "--sfu", sfu)
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(append(framed, "\r\n\r\n\r\n\r\n"...)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) || strings.HasPrefix(string(answer), "HTTP/") != wantHTTP {
			t.Errorf("--sfu %s: %q, %v", sfu, answer, err)
		}
		if status, _ := c.get(t, "/healthz"); status != 200 {
			t.Errorf("--sfu %s: HTTP answers %d", sfu, status)
		}
		if err := c.terminate(t, os.Interrupt); err != nil {
			t.Errorf("%v\n%s", err, c.err)
		}
	}
}

// A port that is taken is told by its setting. Where nobody has asked for TURN, a port that is taken is no reason not to serve; else it is.
func TestMediaPortsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	fails(t, "--ice-tcp", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--ice-tcp", ":"+port)
	fails(t, "--turn-port", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--turn", "on", "--turn-port", port)
	auto := &Settings{TURN: "auto", Listen: "0.0.0.0:0"}
	if auto.TURNPort, err = net.LookupPort("udp", port); err != nil {
		t.Fatal(err)
	}
	r, err := openTURN(auto, make([]byte, 32), taken.Addr(), sfu{}, &transport{}, slog.New(slog.DiscardHandler))
	if err != nil || r.server != nil {
		t.Errorf("%v, %v", r, err)
	}
}
