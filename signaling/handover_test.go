package signaling

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// framedSTUN is a binding request with nothing in it, in a frame.
func framedSTUN() []byte {
	b := binary.BigEndian.AppendUint16(nil, stunHeader)
	b = append(b, 0, 1, 0, 0)
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	return append(b, "transaction1"...)
}

// serveBoth serves HTTP on a port and returns it, and what is handed over there.
func serveBoth(t *testing.T, headerTimeout time.Duration) (port string, handed chan net.Conn, server *http.Server) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed = make(chan net.Conn, 1)
	server = &http.Server{
		ReadHeaderTimeout: headerTimeout,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(Listener(inner, func(c net.Conn) { handed <- c })) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return inner.Addr().String(), handed, server
}

func dialRaw(t *testing.T, port string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What begins with STUN is handed over with all its bytes, also when they come one by one, and the end of the HTTP
// server does not touch it.
func TestHandOver(t *testing.T) {
	for name, size := range map[string]int{"at once": 1000, "in pieces": 1} {
		port, handed, server := serveBoth(t, patience)
		client := dialRaw(t, port)
		message := append(framedSTUN(), "and more"...)
		for rest := message; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if _, err := client.Write(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		var c net.Conn
		select {
		case c = <-handed:
		case <-time.After(patience):
			t.Fatalf("%s: nothing was handed over", name)
		}
		defer c.Close()
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := server.Close(); err != nil { // which closes every connection that it knows
			t.Error(err)
		}
		if _, err := c.Write([]byte("answer")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		answer := make([]byte, 6)
		if _, err := io.ReadFull(client, answer); err != nil || string(answer) != "answer" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
}

// Under TLS the port is shared all the same: what begins with STUN never gets to the handshake.
func TestHandOverUnderTLS(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed := make(chan net.Conn, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	_ = server.Listener.Close()
	server.Listener = Listener(inner, func(c net.Conn) { handed <- c })
	server.StartTLS() // puts TLS around the listener
	defer server.Close()
	for name, size := range map[string]int{"at once": 1000, "in pieces": 1} {
		client := dialRaw(t, inner.Addr().String())
		message := append(framedSTUN(), "and more"...)
		for rest := message; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if _, err := client.Write(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case c := <-handed:
			got := make([]byte, len(message))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, message) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			_ = c.Close()
		case <-time.After(patience):
			t.Fatalf("%s: nothing was handed over", name)
		}
	}
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if said, err := io.ReadAll(response.Body); string(said) != "hello" {
		t.Errorf("by TLS: %q, %v", said, err)
	}
}

// Who held the connection before can do nothing to it any more, and no deadline of theirs is left.
func TestHandedOverIsLeftAlone(t *testing.T) {
	server, client := pair(t)
	handed := make(chan net.Conn, 1)
	server.handOver = func(c net.Conn) { handed <- c }
	if err := server.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(framedSTUN()); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 4096)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("Read = %d, %v", n, err)
	}
	c := <-handed
	defer c.Close()
	past := time.Unix(1, 0)
	for name, err := range map[string]error{
		"SetDeadline": server.SetDeadline(past), "SetReadDeadline": server.SetReadDeadline(past),
		"SetWriteDeadline": server.SetWriteDeadline(past), "Close": server.Close(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := server.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	time.AfterFunc(400*time.Millisecond, func() { _, _ = client.Write([]byte("more")) }) // beyond the first deadline
	got := make([]byte, stunHeader+2+4)
	if _, err := io.ReadFull(c, got); err != nil || string(got[stunHeader+2:]) != "more" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Error(err)
	}
}

// What looks like it and is not stays with the HTTP server, which refuses it; and so does STUN where nobody takes it.
func TestNotHandedOver(t *testing.T) {
	port, handed, _ := serveBoth(t, time.Second)
	length, cookie, kind := framedSTUN(), framedSTUN(), framedSTUN()
	length[1]++
	cookie[6]++
	kind[2] = 0x40
	for name, begin := range map[string][]byte{
		"another length": length, "another cookie": cookie, "another type": kind, "zeros": make([]byte, 100), "TLS": {22, 3, 1, 0, 100},
	} {
		client := dialRaw(t, port)
		if _, err := client.Write(append(begin, "\r\n\r\n"...)); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(client) // a reset is an answer too
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("%s: %q", name, answer)
		}
		select {
		case c := <-handed:
			_ = c.Close()
			t.Errorf("%s was handed over", name)
		default:
		}
	}
	resp, err := http.Get("http://" + port)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
	_ = resp.Body.Close()
}

// A client that begins like STUN and says no more is cut by the timeout for headers.
func TestHandOverInPiecesEnds(t *testing.T) {
	port, _, _ := serveBoth(t, 100*time.Millisecond)
	client := dialRaw(t, port)
	if _, err := client.Write(framedSTUN()[:3]); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(client); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the connection stays open")
	}
}
