package signaling

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// pair makes a connection from Listener and the client's end of it, whose sockets hold little.
func pair(t *testing.T) (*rawConn, net.Conn) {
	t.Helper()
	if !canTryWrite {
		t.Skip("this system cannot try a write")
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := Listener(inner, nil).Accept()
	if err != nil {
		t.Fatal(err)
	}
	server := accepted.(*rawConn)
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	if err := errors.Join(client.(*net.TCPConn).SetReadBuffer(64<<10), server.Conn.(*net.TCPConn).SetWriteBuffer(16<<10)); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// fill writes without waiting until there is a spill, and returns what it wrote.
func fill(t *testing.T, c *rawConn, write func(i int) []byte) []byte {
	t.Helper()
	var all []byte
	for i := range 10_000 {
		if !c.try() {
			t.Fatal("somebody waits")
		}
		all = append(all, write(i)...)
		if c.done() {
			return all
		}
	}
	t.Fatal("the socket takes whatever comes")
	return nil
}

func chunk(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1000+i) }

// writeChunk is what most tests fill with.
func writeChunk(t *testing.T, c *rawConn) func(int) []byte {
	return func(i int) []byte {
		p := chunk(i)
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		return p
	}
}

func TestSpillKeepsOrder(t *testing.T) {
	server, client := pair(t)
	got := make(chan []byte, 1)
	start := make(chan struct{})
	go func() { // reads nothing at first, then in steps of any size
		<-start
		var all []byte
		buf := make([]byte, 3000)
		for {
			n, err := client.Read(buf[:1+len(all)%len(buf)])
			all = append(all, buf[:n]...)
			if err != nil {
				got <- all
				return
			}
		}
	}()
	var want []byte
	for round := range 5 {
		want = append(want, fill(t, server, writeChunk(t, server))...)
		for i := range 5 { // as control frames do, from elsewhere
			if n, err := server.Write([]byte("control")); n != 7 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			want = append(want, "control"...)
			if server.try() {
				t.Fatalf("try with a spill, round %d, %d", round, i)
			}
		}
		if round == 0 {
			close(start)
		}
		if err := server.drain(); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Write([]byte("waits if it must")); n != 16 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		want = append(want, "waits if it must"...)
	}
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("%d bytes arrived, want %d, or in another order", len(all), len(want))
	}
}

func TestSpillIsBounded(t *testing.T) {
	server, _ := pair(t)
	fill(t, server, writeChunk(t, server))
	for range maxSpill {
		if _, err := server.Write([]byte("0123456789")); err != nil {
			if !errors.Is(err, errSpillFull) {
				t.Errorf("err = %v, want %v", err, errSpillFull)
			}
			if len(server.spill) > maxSpill {
				t.Errorf("the spill holds %d bytes, at most %d allowed", len(server.spill), maxSpill)
			}
			return
		}
	}
	t.Error("the spill takes whatever comes")
}

func TestSpillIgnoresDeadlinesOfControlFrames(t *testing.T) {
	server, client := pair(t)
	if err := server.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := fill(t, server, writeChunk(t, server))
	if err := server.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- server.drain() }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes than were written, or %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, trying := range []bool{false, true} {
		if trying && !server.try() {
			t.Fatal("somebody waits")
		}
		if _, err := server.Write([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("trying %v: err = %v, want that the deadline is over", trying, err)
		}
	}
}

func TestDrainEndsWithItsConnection(t *testing.T) {
	for name, end := range map[string]func(*rawConn, net.Conn) error{
		"server closes": func(s *rawConn, _ net.Conn) error { return s.Close() },
		"client closes": func(_ *rawConn, c net.Conn) error { return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := pair(t)
			fill(t, server, writeChunk(t, server))
			if _, err := server.Write(make([]byte, maxFlush)); err != nil { // more than the sockets may still take
				t.Fatal(err)
			}
			drained := make(chan error, 1)
			go func() { drained <- server.drain() }()
			if err := end(server, client); err != nil {
				t.Fatal(err)
			}
			if err := <-drained; err == nil {
				t.Error("drain says that all is written")
			}
		})
	}
}

// sockets makes a gorilla connection over a rawConn and the client's end of it.
func sockets(t *testing.T) (*websocket.Conn, *rawConn, *websocket.Conn) {
	t.Helper()
	if !canTryWrite {
		t.Skip("this system cannot try a write")
	}
	up := make(chan *websocket.Conn, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := (&websocket.Upgrader{WriteBufferSize: writeBufferSize, WriteBufferPool: &sync.Pool{}}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
		}
		up <- ws
	}))
	server.Listener = Listener(server.Listener, nil)
	server.Start()
	t.Cleanup(server.Close)
	client, resp, err := narrowDialer(64<<10).Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	ws := <-up
	t.Cleanup(func() { _, _ = client.Close(), ws.Close() })
	raw := ws.NetConn().(*rawConn)
	if err := raw.Conn.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	return ws, raw, client
}

// readInSteps reads chunks until "end" comes, 200 for each value of more, and returns how many they were.
func readInSteps(client *websocket.Conn, more <-chan struct{}) (int, error) {
	for n := 0; ; n++ {
		if n%200 == 0 {
			<-more
		}
		_, p, err := client.ReadMessage()
		if err != nil || string(p) == "end" {
			return n, err
		}
		if !bytes.Equal(p, chunk(n)) {
			return n, fmt.Errorf("frame %d is not what was written", n)
		}
	}
}

// TestSpillThroughGorilla has data frames spill while control frames are written from elsewhere, to a client that
// stops reading again and again.
func TestSpillThroughGorilla(t *testing.T) {
	ws, raw, client := sockets(t)
	pongs := 0
	client.SetPongHandler(func(string) error { pongs++; return nil })
	more, frames, failed := make(chan struct{}, 1), make(chan int, 1), make(chan error, 1)
	go func() {
		n, err := readInSteps(client, more)
		frames <- n
		failed <- err
	}()
	control, controls := make(chan struct{}, 1), make(chan int, 1)
	go func() {
		n := 0
		for range control {
			if err := ws.WriteControl(websocket.PongMessage, []byte("control"), time.Now().Add(patience)); err != nil {
				t.Error(err)
			}
			n++
		}
		controls <- n
	}()
	const total = 1000
	spills := 0
	for i := range total {
		poke(control)
		for !raw.try() { // a control frame waits
			poke(more)
			runtime.Gosched()
		}
		if err := ws.WriteMessage(websocket.TextMessage, chunk(i)); err != nil {
			t.Fatal(err)
		}
		if raw.done() {
			spills++
			poke(more)
			poke(control)
			if err := raw.drain(); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(control)
	close(more)
	sent := <-controls
	if err := ws.WriteMessage(websocket.TextMessage, []byte("end")); err != nil {
		t.Fatal(err)
	}
	if n, err := <-frames, <-failed; err != nil || n != total || pongs != sent {
		t.Errorf("%d of %d frames, %d of %d pongs, %v", n, total, pongs, sent, err)
	}
	if spills == 0 {
		t.Error("nothing spilled")
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
