package bus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/rooms"
	"confab/signaling/wire"
)

// helperEnv makes the test binary run as another process: its value names what that process does.
const helperEnv = "CONFAB_BUS_TEST_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperEnv); what != "" {
		os.Exit(runHelper(what, os.Args[1:]))
	}
	code := m.Run()
	if natsServer.dir != "" {
		_ = os.RemoveAll(natsServer.dir)
	}
	if code == 0 {
		// The embedded server's last goroutines end up to 300 ms after it was shut down; goleak waits for them.
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// patience is how long a condition may take to come true before a test fails.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// openBus opens a bus that ends with the test.
func openBus(t testing.TB, opts Options) *Bus {
	t.Helper()
	if opts.DataDir == "" {
		opts.DataDir = t.TempDir()
	}
	if opts.Logger == nil {
		opts.Logger = quiet()
	}
	b, err := Open(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func closeBus(t testing.TB, b *Bus) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// natsServer is the external server, built once from the module cache.
var natsServer struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func buildServer(t testing.TB) string {
	t.Helper()
	natsServer.once.Do(func() {
		natsServer.dir, natsServer.err = os.MkdirTemp("", "confab-bus-*")
		if natsServer.err != nil {
			return
		}
		natsServer.path = filepath.Join(natsServer.dir, "nats-server")
		out, err := exec.Command("go", "build", "-o", natsServer.path, "github.com/nats-io/nats-server/v2").CombinedOutput()
		if err != nil {
			natsServer.err = fmt.Errorf("building nats-server: %w: %s", err, out)
		}
	})
	if natsServer.err != nil {
		t.Fatal(natsServer.err)
	}
	return natsServer.path
}

// An externalServer is a nats-server process on a loopback port.
type externalServer struct {
	t     testing.TB
	path  string
	store string
	addr  string
	name  string   // in a cluster
	args  []string // beyond address and store
	cmd   *exec.Cmd
}

func startExternal(t testing.TB) *externalServer {
	t.Helper()
	s := &externalServer{t: t, path: buildServer(t), store: t.TempDir(), addr: freeAddr(t)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *externalServer) url() string { return "nats://" + s.addr }

// start runs the server and waits until it takes connections.
func (s *externalServer) start() {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(s.path, append([]string{"-a", host, "-p", port, "-js", "-sd", s.store}, s.args...)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.awaitPort()
}

func (s *externalServer) awaitPort() {
	s.t.Helper()
	eventually(s.t, "the server takes connections", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// kill is kill -9.
func (s *externalServer) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// eventually waits for a condition and fails the test when it does not come true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// A listener is a feed that keeps what it hears, and shows it when it is woken.
type listener struct {
	mu      sync.Mutex
	fresh   []func() // what it was told since it was woken
	records []rooms.Record
	resets  []rooms.Tail
}

func (l *listener) Record(r rooms.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = append(l.fresh, func() { l.records = append(l.records, r) })
}

func (l *listener) Reset(tail rooms.Tail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = append(l.fresh, func() { l.resets, l.records = append(l.resets, tail), nil })
}

func (l *listener) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, take := range l.fresh {
		take()
	}
	l.fresh = nil
}

func (l *listener) heard() []rooms.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rooms.Record(nil), l.records...)
}

func (l *listener) resetCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.resets)
}

// await waits for n records since the last reset.
func (l *listener) await(t testing.TB, n int) []rooms.Record {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records", n), func() bool { return len(l.heard()) >= n })
	return l.heard()
}

// A feedFunc is a feed that is not reset.
type feedFunc func(rooms.Record)

func (f feedFunc) Record(r rooms.Record) { f(r) }
func (f feedFunc) Reset(rooms.Tail)      {}
func (f feedFunc) Wake()                 {}

// texts are the payloads, for comparing.
func texts(records []rooms.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = string(r.Payload)
	}
	return out
}

func timeline(room string) rooms.Timeline { return rooms.Timeline{Room: wire.RoomID(room)} }

// append1 appends and waits for the confirmation.
func append1(t testing.TB, b *Bus, to rooms.Timeline, id, payload string) rooms.Appended {
	t.Helper()
	got, err := try1(b, to, id, payload)
	if err != nil {
		t.Fatalf("append %s: %v", id, err)
	}
	return got
}

func try1(b *Bus, to rooms.Timeline, id, payload string) (rooms.Appended, error) {
	type result struct {
		what rooms.Appended
		err  error
	}
	done := make(chan result, 1)
	b.Append(to, id, []byte(payload), func(a rooms.Appended, err error) { done <- result{a, err} })
	r := <-done
	return r.what, r.err
}

func open1(t testing.TB, b *Bus, to rooms.Timeline) (*listener, rooms.Tail, func()) {
	t.Helper()
	l := &listener{}
	tail, stop, err := b.Open(testContext(t), to, l)
	if err != nil {
		t.Fatal(err)
	}
	return l, tail, stop
}
