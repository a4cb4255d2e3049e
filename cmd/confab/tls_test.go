package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// startTLS runs a server and waits until it has said where it is.
func startTLS(t *testing.T, args ...string) *confab {
	t.Helper()
	c := &confab{err: &lockedBuffer{}, done: make(chan error, 1)}
	c.cmd = confabCommand(t, args...)
	c.cmd.Stderr = c.err
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	said := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if at, _, ok := strings.Cut(strings.TrimSpace(lines.Text()), "/r/"); ok && strings.HasPrefix(at, "https://") && len(said) == 0 {
				said <- at
			}
		}
		c.done <- c.cmd.Wait()
	}()
	select {
	case c.url = <-said:
	case err := <-c.done:
		t.Fatalf("it ended: %v\n%s", err, c.err)
	case <-time.After(patience):
		t.Fatalf("it said nothing\n%s", c.err)
	}
	return c
}

func TestTLSFromFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile, roots := writeCertificate(t, folder, 1)
	plain := "127.0.0.1:" + freePort(t)
	listen := "127.0.0.1:" + freePort(t)
	files := []string{"--tls-cert", certFile, "--tls-key", keyFile}
	c := startTLS(t, append(files, "--listen", listen, "--data", t.TempDir(), "--http-listen", plain, "--turn", "on", "--turn-port", "0",
		"--turn-tls-port", freePort(t))...) // TURN takes the certificate of the server
	if c.url != "https://"+listen {
		t.Fatalf("it is at %s", c.url)
	}
	trusting := &tls.Config{RootCAs: roots}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting.Clone(), ForceAttemptHTTP2: true, DisableKeepAlives: true}}

	response, err := client.Get(c.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 || !strings.Contains(string(page), "<html") ||
		!strings.HasPrefix(response.Header.Get("Strict-Transport-Security"), "max-age=") {
		t.Errorf("%s %s %v", response.Status, response.Proto, response.Header)
	}
	if code := run([]string{"healthcheck", "--listen", listen, files[0], files[1], files[2], files[3]}, func(string) (string, bool) { return "", false }, io.Discard, os.Stderr); code != exitOK {
		t.Errorf("healthcheck: %d", code)
	}

	// Renewed, and read on SIGHUP: who is connected stays so.
	socket, _, err := (&websocket.Dialer{TLSClientConfig: trusting}).Dial("wss://"+listen+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, _, renewed := writeCertificate(t, folder, 2)
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	within(t, "the new certificate is shown", func() bool {
		conn, err := tls.Dial("tcp", listen, &tls.Config{RootCAs: renewed})
		if err != nil {
			return false
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == 2
	})
	if err := socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat","id":"1"}`)); err != nil {
		t.Fatal(err)
	}
	if _, said, err := socket.ReadMessage(); err != nil || !strings.Contains(string(said), "unauthorized") {
		t.Errorf("on the connection of before: %s, %v", said, err)
	}
	// What cannot be used changes nothing.
	if err := os.WriteFile(keyFile, []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	within(t, "it says so", func() bool { return strings.Contains(c.err.String(), "the old one stays") })
	client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: renewed}, DisableKeepAlives: true}
	response, err = client.Get(c.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if !strings.Contains(string(metrics), `confab_certificate_expiry_timestamp_seconds{use="https"}`) {
		t.Error("no metric of when the certificate expires")
	}

	status, location := redirected(t, "http://"+plain+"/r/daily")
	if status != http.StatusPermanentRedirect || location != c.url+"/r/daily" {
		t.Errorf("without TLS: %d %s", status, location)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, c.err)
	}
}

func redirected(t *testing.T, url string) (status int, location string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, response.Header.Get("Location")
}

func TestRedirectToTLS(t *testing.T) {
	for _, test := range []struct {
		method, host, target string
		header               http.Header
		status               int
		location             string
	}{
		{"GET", "meet.example.org", "/r/daily", nil, 308, "https://meet.example.org/r/daily"},
		{"HEAD", "meet.example.org:80", "/", nil, 308, "https://meet.example.org/"},
		{"GET", "[2001:db8::7]:80", "/", nil, 308, "https://[2001:db8::7]/"},
		{"GET", "meet.example.org", "//evil.example/", nil, 308, "https://meet.example.org//evil.example/"},
		{"GET", "evil.example/x", "/", nil, 400, ""},
		{"GET", "", "/", nil, 400, ""},
		{"GET", "meet.example.org", "/ws?token=secret-token", nil, 403, ""},
		{"GET", "meet.example.org", "/ws", http.Header{"Upgrade": {"websocket"}}, 403, ""},
		{"GET", "meet.example.org", "/events", http.Header{"Authorization": {"Bearer secret-token"}}, 403, ""},
		{"POST", "meet.example.org", "/api/v1/guest", nil, 403, ""},
	} {
		r := httptest.NewRequest(test.method, "http://placeholder"+test.target, nil)
		r.Host = test.host
		for name, value := range test.header {
			r.Header[name] = value
		}
		w := httptest.NewRecorder()
		(&transport{}).toTLS(w, r)
		if w.Code != test.status || w.Header().Get("Location") != test.location {
			t.Errorf("%s %s%s: %d %q, want %d %q", test.method, test.host, test.target, w.Code, w.Header().Get("Location"), test.status, test.location)
		}
		if said := w.Body.String() + w.Header().Get("Location"); strings.Contains(said, "secret-token") {
			t.Errorf("the answer repeats a token: %s", said)
		}
	}
}

// authority is an ACME server that asks for real proofs, and a name server that knows one name.
type authority struct {
	directory string
	rootFile  string // of the one that speaks for the directory
	issued    *x509.CertPool
}

const acmeDomain = "meet.confab.test"

func newAuthority(t *testing.T, httpPort, tlsPort string) authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		if q := question.Question[0]; q.Name == acmeDomain+"." && q.Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown() })

	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "the only one"}})
	front := wfe.New(quiet, store, va.New(quiet, portNumber(t, httpPort), portNumber(t, tlsPort), true, listener.Addr().String(), store), issuer, []string{"confab.test"}, true, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	a := authority{
		directory: server.URL + wfe.DirectoryPath, rootFile: filepath.Join(t.TempDir(), "root.pem"), issued: x509.NewCertPool(),
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(a.rootFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	if !a.issued.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		t.Fatal("the authority has no root")
	}
	return a
}

func portNumber(t *testing.T, port string) int {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestACME has a server get its certificate by each of the proofs, and use it again after a restart.
func TestACME(t *testing.T) {
	for _, proof := range []string{"tls-alpn-01", "http-01"} {
		t.Run(proof, func(t *testing.T) {
			tlsPort, httpPort, closed := freePort(t), freePort(t), freePort(t)
			data := t.TempDir()
			listen := "127.0.0.1:" + tlsPort
			args := []string{"--listen", listen, "--data", data, "--tls-domain", acmeDomain, "--turn", "off", "--sfu", "off", "--bots", "off"}
			var a authority
			if proof == "http-01" {
				a = newAuthority(t, httpPort, closed)
				args = append(args, "--http-listen", "127.0.0.1:"+httpPort)
			} else {
				a = newAuthority(t, closed, tlsPort)
			}
			args = append(args, "--acme-directory", a.directory, "--acme-root", a.rootFile)
			c := startTLS(t, args...)
			if c.url != "https://"+acmeDomain {
				t.Errorf("it is at %s", c.url)
			}
			serial := shown(t, c, listen, a)
			storedSafely(t, filepath.Join(data, "tls"))
			if err := c.terminate(t, syscall.SIGTERM); err != nil {
				t.Errorf("%v\n%s", err, c.err)
			}
			if proof == "http-01" {
				return
			}
			c = startTLS(t, args...)
			if again := shown(t, c, listen, a); again.Cmp(serial) != 0 {
				t.Errorf("after a restart it has got another certificate")
			}
			if err := c.terminate(t, syscall.SIGTERM); err != nil {
				t.Errorf("%v\n%s", err, c.err)
			}
		})
	}
}

// shown waits for the certificate of the server and returns its serial number.
func shown(t *testing.T, c *confab, listen string, a authority) (serial *big.Int) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for {
		conn, err := tls.Dial("tcp", listen, &tls.Config{RootCAs: a.issued, ServerName: acmeDomain})
		if err == nil {
			state := conn.ConnectionState()
			_ = conn.Close()
			if !slices.Contains(state.PeerCertificates[0].DNSNames, acmeDomain) {
				t.Errorf("a certificate for %v", state.PeerCertificates[0].DNSNames)
			}
			return state.PeerCertificates[0].SerialNumber
		}
		if time.Now().After(deadline) {
			t.Fatalf("no certificate: %v\n%s", err, c.err)
		}
		time.Sleep(100 * time.Millisecond) // each failure is a line in its log
	}
}

// storedSafely looks at what is kept: keys are for the server's user alone.
func storedSafely(t *testing.T, folder string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return nil
	})
	if err != nil || keys < 2 { // of the account and of the certificate
		t.Errorf("%d keys are kept, %v", keys, err)
	}
}
