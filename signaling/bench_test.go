package signaling

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"confab/signaling/wire"
)

// The load of the benchmarks runs in a process of its own (this test binary again), so that what is measured is
// the server alone.
const loadEnv = "CONFAB_SIGNALING_LOAD"

// startLoad runs the load named what against url and returns its output, a line a step.
func startLoad(b *testing.B, what, url string, args ...string) (steps io.Reader, stop func()) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"-test.run=^$", url}, args...)...)
	cmd.Env = append(os.Environ(), loadEnv+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return out, func() {
		_ = in.Close() // the load ends with its input
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss is this process's resident memory in bytes.
func rss() int {
	raw, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// settle lets the collector shrink what can be shrunk.
func settle() runtime.MemStats {
	for range 4 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

// roomSize is how many members the rooms of BenchmarkIdleMemory have: what a room itself costs is spread over them.
var roomSize = envInt("ROOM_SIZE", 10)

func envInt(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkIdleMemory measures what an idle connection costs that is authenticated and in a room. CONNECTIONS and
// ROOM_SIZE in the environment change the defaults of 5,000 and 10; HEAP_PROFILE names a file for a profile.
func BenchmarkIdleMemory(b *testing.B) {
	connections := envInt("CONNECTIONS", 5000)
	b.Run("confab", func(b *testing.B) {
		w := newWorld(b)
		measureIdle(b, "idle", w.url("/ws"), connections)
	})
	b.Run("melody", func(b *testing.B) {
		m := melody.New()
		server := httptest.NewServer(plainHandler(m))
		defer server.Close()
		defer m.Close()
		measureIdle(b, "plain-idle", "ws"+strings.TrimPrefix(server.URL, "http"), connections)
	})
}

func measureIdle(b *testing.B, load, url string, connections int) {
	before, beforeRSS := settle(), rss()
	out, stop := startLoad(b, load, url, strconv.Itoa(connections))
	defer stop()
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
		b.Fatalf("load: %q, %v", line[:n], err)
	}
	raw := rss()
	after := settle()
	per := func(bytes int) float64 { return float64(bytes) / float64(connections) / 1024 }
	b.ReportMetric(per(raw-beforeRSS), "KiB-rss-at-once/conn")
	b.ReportMetric(per(rss()-beforeRSS), "KiB-rss/conn")
	b.ReportMetric(per(int(after.HeapAlloc)-int(before.HeapAlloc)), "KiB-heap/conn")
	b.ReportMetric(per(int(after.StackInuse)-int(before.StackInuse)), "KiB-stack/conn")
	b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/float64(connections), "objects/conn")
	b.ReportMetric(0, "ns/op")
	if path := os.Getenv("HEAP_PROFILE"); path != "" {
		f, err := os.Create(path + "-" + load)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := pprof.WriteHeapProfile(f); err != nil {
			b.Fatal(err)
		}
	}
}

// plainHandler is melody as its documentation shows it, with messages large enough.
func plainHandler(m *melody.Melody) http.Handler {
	m.Config.MaxMessageSize = wire.MaxFrameBytes
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) { _ = m.HandleRequest(c.Writer, c.Request) })
	return engine
}

// runLoad is the other process.
func runLoad(what string, args []string) error {
	url := args[len(args)-2]
	n, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return err
	}
	if what == "fanout" || what == "plain-fanout" {
		return loadFanout(what, url, n)
	}
	for i := range n {
		ws, resp, err := dialFrom(i).Dial(url, nil)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		_ = resp.Body.Close()
		if what == "idle" {
			if err := enterRoom(ws, i, fmt.Sprintf("idle%d", i/roomSize)); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		go drainAll(ws, nil)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// dialFrom spreads connections over loopback addresses, for their ports.
func dialFrom(i int) *websocket.Dialer {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/10_000))}
	return &websocket.Dialer{
		NetDialContext: (&net.Dialer{LocalAddr: local}).DialContext, ReadBufferSize: 512, WriteBufferSize: 512,
	}
}

func enterRoom(ws *websocket.Conn, i int, room string) error {
	auth := fmt.Sprintf(`{"type":"auth","data":{"token":"user%d"}}`, i)
	join := fmt.Sprintf(`{"type":"join","id":"j","room":%q}`, room)
	if err := ws.WriteMessage(websocket.TextMessage, []byte(auth+"\n"+join)); err != nil {
		return err
	}
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return err
		}
		if strings.Contains(string(frame), `"type":"joined"`) {
			return nil
		}
	}
}

// drainAll reads to the end and counts chat messages.
func drainAll(ws *websocket.Conn, chats *atomic.Int64) {
	for {
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if chats != nil {
			chats.Add(int64(strings.Count(string(frame), `"type":"chat"`)))
		}
	}
}

// BenchmarkFanout measures the server's CPU for each delivered message: 200 bytes of text, 100 messages a second to
// a room of 1,000.
func BenchmarkFanout(b *testing.B) {
	const members, rate, seconds = 1000, 100, 8
	text := strings.Repeat("x", 200)
	b.Run("confab", func(b *testing.B) {
		w := newWorld(b)
		measureFanout(b, "fanout", w.url("/ws"), members, rate*seconds, func() func(i int) {
			c, _ := w.login("writer")
			c.join("fanout")
			go drainAll(c.ws, nil)
			return func(i int) { c.send("chat", wire.RequestID(strconv.Itoa(i)), "fanout", wire.Chat{Text: text}) }
		})
	})
	b.Run("melody", func(b *testing.B) {
		m := melody.New()
		server := httptest.NewServer(plainHandler(m))
		defer server.Close()
		defer m.Close()
		measureFanout(b, "plain-fanout", "ws"+strings.TrimPrefix(server.URL, "http"), members, rate*seconds, func() func(i int) {
			sessions, _ := m.Sessions()
			return func(i int) {
				frame := wire.Encode(wire.Envelope{ID: "x", Room: "fanout", From: "aaaaaaaaaaaaaaaa", Seq: wire.Seq(i), TS: time.Now().UnixMilli(),
					Author: &wire.Author{User: "writer", Name: "writer", Kind: wire.Human}}, wire.ChatRecord{Text: text})
				_ = m.BroadcastMultiple(frame, sessions)
			}
		})
	})
}

func measureFanout(b *testing.B, load, url string, members, messages int, begin func() (send func(i int))) {
	out, stop := startLoad(b, load, url, strconv.Itoa(members))
	defer stop()
	line := make([]byte, 64)
	if n, err := out.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
		b.Fatalf("load: %q, %v", line[:n], err)
	}
	send := begin()
	runtime.GC()
	before := cpu()
	ticker := time.NewTicker(10 * time.Millisecond)
	for i := range messages {
		<-ticker.C
		send(i + 1)
	}
	ticker.Stop()
	time.Sleep(500 * time.Millisecond) // what is under way
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(members*messages), "cpu-µs/delivered")
	b.ReportMetric(0, "ns/op")
}

func loadFanout(what, url string, n int) error {
	var chats atomic.Int64
	for i := range n {
		ws, resp, err := dialFrom(i).Dial(url, nil)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if what == "fanout" {
			if err := enterRoom(ws, i, "fanout"); err != nil {
				return err
			}
		}
		go drainAll(ws, &chats)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Fprintln(os.Stderr, what, "chats delivered:", chats.Load())
	return nil
}

// BenchmarkPublish is one client that waits for each acknowledgement before it sends the next.
func BenchmarkPublish(b *testing.B) {
	w := newWorld(b)
	c, _ := w.login("ann")
	c.join("publish")
	text := strings.Repeat("x", 200)
	b.ReportAllocs()
	before := cpu()
	for i := 0; b.Loop(); i++ {
		id := wire.RequestID(strconv.Itoa(i))
		c.send("chat", id, "publish", wire.Chat{Text: text})
		c.want(wire.KindAck, id)
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs-both-sides/op")
}

// BenchmarkAck frames an acknowledgement; the comparison is encoding/json.
func BenchmarkAck(b *testing.B) {
	head := wire.Envelope{ID: "0b6b6e1e-0000-4000-8000-000000000000", Room: "publish"}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wire.EncodeAck(head, wire.Ack{Seq: 12345})
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wire.Encode(head, wire.Ack{Seq: 12345})
		}
	})
}
