package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeNATS says hello to everybody who connects and nothing else.
func fakeNATS(t *testing.T, hello string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(hello))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	return "nats://me:secret@" + listener.Addr().String()
}

// fakeSTUN answers whoever asks that it is seen at an address of IPv4 (RFC 8489 section 14.2).
func fakeSTUN(t *testing.T, seen netip.Addr) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		request := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(request)
			if err != nil {
				return
			}
			if n < 20 {
				continue
			}
			answer := append([]byte{0x01, 0x01, 0, 12}, request[4:20]...) // Binding success, of 12 bytes
			answer = append(answer, 0, 0x20, 0, 8, 0, 1, 0x21^0x30, 0x12^0x39)
			for i, b := range seen.AsSlice() {
				answer = append(answer, b^request[4+i])
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return conn.LocalAddr().String()
}

// takenUDP is a UDP port of every address that is in use.
func takenUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	return port
}

func TestDoctor(t *testing.T) {
	closed := fakeNATS(t, "")
	file := writeFile(t, "no folder")
	short := writeFile(t, "short")
	open := writeFile(t, strings.Repeat("s", 32))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	future := t.TempDir()
	if err := os.WriteFile(filepath.Join(future, "later"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(future, "later"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, _ := writeCertificate(t, t.TempDir(), 1)
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"all is well", nil, exitOK, []string{"can listen", "is made at the first start", "only this machine", "open files"}},
		{"a folder that is a file", []string{"--data", file}, exitFailed, []string{"problem", "is no folder", "--data"}},
		{"a folder in no folder", []string{"--data", filepath.Join(t.TempDir(), "a", "b")}, exitFailed, []string{"cannot be made"}},
		{"an address of another machine", []string{"--listen", "192.0.2.1:80"}, exitFailed, []string{"does not have that address", "--listen"}},
		{"recordings in a file", []string{"--record-dir", file}, exitFailed, []string{"problem", "is no folder", "--record-dir"}},
		{"recordings in folders to be made", []string{"--record-dir", filepath.Join(t.TempDir(), "a", "b")}, exitOK, []string{"of recordings in"}},
		{"recordings below a file", []string{"--record-dir", filepath.Join(file, "a")}, exitFailed, []string{"not a directory"}},
		{"no recordings", []string{"--record", "off", "--record-dir", file}, exitOK, []string{"can listen"}},
		{"behind a proxy", []string{"--trusted-proxies", "127.0.0.1", "--turn", "off"}, exitOK, []string{"warning", "--ice-tcp"}},
		{"media for others alone", []string{"--stun", "nowhere.invalid:3478", "--turn", "off"}, exitOK, []string{"only this machine the server", "--trusted-proxies"}},
		{"a short secret", []string{"--auth-secret-file", short}, exitFailed, []string{"5 bytes", "openssl"}},
		{"a secret for all to read", []string{"--auth-secret-file", open}, exitOK, []string{"warning", "chmod 600"}},
		{"others can come", []string{"--listen", ":0"}, exitOK, []string{"warning", "https"}},
		{"clock behind", []string{"--data", future}, exitOK, []string{"warning", "clock", "later"}},
		{"NATS of today", []string{"--nats", fakeNATS(t, "INFO {\"version\":\"2.12.1\",\"jetstream\":true}\r\n")}, exitOK, []string{"2.12.1 with JetStream"}},
		{"NATS of yesterday", []string{"--nats", fakeNATS(t, "INFO {\"version\":\"2.10.9\",\"jetstream\":true}\r\n")}, exitFailed, []string{"2.10.9", "2.11 or newer"}},
		{"NATS without JetStream", []string{"--nats", fakeNATS(t, "INFO {\"version\":\"2.12.1\"}\r\n")}, exitFailed, []string{"no JetStream", "-js"}},
		{"not NATS", []string{"--nats", fakeNATS(t, "220 mail ready\r\n")}, exitFailed, []string{"something else"}},
		{"NATS that says nothing", []string{"--nats", closed}, exitFailed, []string{"does not say"}},
		{"media ports", []string{"--ice-tcp", "127.0.0.1:0", "--turn", "on", "--turn-port", "0"}, exitOK, []string{"can use UDP port", "for media by TCP", "for TURN"}},
		{"a UDP port of another", []string{"--udp-port", takenUDP(t)}, exitFailed, []string{"problem", "for media: another program", "--udp-port"}},
		{"no media", []string{"--sfu", "off", "--udp-port", takenUDP(t)}, exitOK, []string{"can listen"}},
		{"TURN on a port of another", []string{"--turn", "on", "--turn-port", takenUDP(t)}, exitFailed, []string{"for TURN: another program", "--turn-port"}},
		{"TURN where nobody asked for it", []string{"--listen", ":0", "--turn-port", takenUDP(t)}, exitOK, []string{"warning", "for TURN: another program"}},
		{"TURN with a certificate", []string{"--turn", "on", "--turn-port", "0", "--turn-tls-port", freePort(t), "--turn-cert", certFile, "--turn-key", keyFile}, exitOK, []string{"is good until"}},
		{"TURN with one for another name", []string{"--turn", "on", "--turn-port", "0", "--turn-tls-port", freePort(t), "--turn-cert", certFile, "--turn-key", keyFile, "--turn-host", "turn.example"},
			exitFailed, []string{"is not for turn.example"}},
		{"TURN without its certificate", []string{"--turn", "on", "--turn-port", "0", "--turn-tls-port", freePort(t), "--turn-cert", file, "--turn-key", file}, exitFailed, []string{"--turn-cert"}},
		{"TLS", []string{"--listen", ":0", "--tls-cert", certFile, "--tls-key", keyFile, "--http-listen", ":0", "--turn", "on", "--turn-port", "0", "--turn-tls-port", freePort(t)},
			exitOK, []string{"others can reach the server, by https", "warning  the certificate of the server is good until", "Renew it", "without TLS"}},
		{"TLS without a key", []string{"--tls-cert", certFile, "--tls-key", file}, exitFailed, []string{"--tls-cert and --tls-key"}},
		{"TLS for a name that is nowhere", []string{"--tls-domain", "meet.nowhere.invalid"}, exitFailed, []string{"meet.nowhere.invalid has no address"}},
		{"no port for those without TLS", []string{"--tls-cert", certFile, "--tls-key", keyFile, "--http-listen", "192.0.2.1:80"}, exitFailed, []string{"--http-listen"}},
		{"a STUN server of no name", []string{"--stun", "nowhere.invalid:3478"}, exitOK, []string{"warning", "nowhere.invalid", "--public-ip"}},
		{"a STUN server beyond a router", []string{"--stun", fakeSTUN(t, netip.MustParseAddr("203.0.113.7")), "--udp-port", freePort(t), "--turn", "off"}, exitOK,
			[]string{"sees this machine as 203.0.113.7, which a router has", "pass UDP port"}},
		{"a STUN server beside this machine", []string{"--stun", fakeSTUN(t, netip.MustParseAddr("127.0.0.1")), "--turn", "off"}, exitOK, []string{"sees this machine as 127.0.0.1\n"}},
		{"one of two NATS servers is old", []string{"--nats", fakeNATS(t, "INFO {\"version\":\"2.12.1\",\"jetstream\":true}\r\n") + "," + fakeNATS(t, "INFO {\"version\":\"2.9.0\",\"jetstream\":true}\r\n")},
			exitFailed, []string{"2.12.1 with JetStream", "2.9.0"}},
		{"bots in no YAML", []string{"--bots", file}, exitFailed, []string{"the file of bots", "--bots off"}},
		{"room on the disk", nil, exitOK, []string{"left for the log in"}},
		{"no JWK set", []string{"--auth-jwks", file}, exitFailed, []string{"not a JWK set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"doctor", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data")}, c.args...)
			code, out, problems := command(t, nil, args...)
			if code != c.code || problems != "" {
				t.Errorf("exit %d %q\n%s", code, problems, out)
			}
			for _, text := range c.says {
				if !strings.Contains(out, text) {
					t.Errorf("does not say %q:\n%s", text, out)
				}
			}
			if strings.Contains(out, "me:secret") {
				t.Error("a password is printed")
			}
		})
	}
}

func TestClockOfLongAgo(t *testing.T) {
	if f := checkClock(time.Unix(0, 0), t.TempDir()); f.level != failure || f.remedy == "" {
		t.Errorf("%+v", f)
	}
}
