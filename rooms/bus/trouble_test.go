//go:build unix

package bus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
)

// freeze stops the server's process where it stands: connections stay, nothing answers. It returns when every
// thread of it has stopped, which takes a moment on a busy machine.
func (s *externalServer) freeze() {
	s.t.Helper()
	threads := fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid)
	if found, err := filepath.Glob(threads); err != nil || len(found) == 0 {
		s.t.Skip("without /proc it cannot be told whether a process has stopped")
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "all threads stand still", func() bool {
		found, err := filepath.Glob(threads)
		for _, path := range found {
			stat, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return err == nil
	})
}

func (s *externalServer) thaw() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
}

// An outcome counts what the dones of many appends were told.
type outcome struct {
	mu     sync.Mutex
	stored int
	errs   []error
}

func (o *outcome) done(_ rooms.Appended, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.errs = append(o.errs, err)
	} else {
		o.stored++
	}
}

// failed counts the errors that are err, and fails the test for any other.
func (o *outcome) failed(t *testing.T, err error) int {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.errs {
		if !errors.Is(e, err) {
			t.Fatalf("error %v, wanted %v", e, err)
		}
	}
	return len(o.errs)
}

func (o *outcome) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stored + len(o.errs)
}

// TestFrozenServer: a server that answers nothing makes the bus not ready; appends beyond the bound fail at once;
// those within it are stored when it thaws.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	b := openBus(t, Options{URL: server.url()})
	to := timeline("frozen")
	append1(t, b, to, "", "before")
	server.freeze()
	var waiting, beyond outcome
	for i := range maxPendingAppends {
		b.Append(to, fmt.Sprintf("frozen.%d", i), []byte("x"), waiting.done)
	}
	began := time.Now()
	for i := range 10 {
		b.Append(to, fmt.Sprintf("frozen.beyond.%d", i), []byte("x"), beyond.done)
	}
	eventually(t, "ten refusals", func() bool { return beyond.failed(t, rooms.ErrUnavailable) == 10 })
	if took := time.Since(began); took > time.Second {
		t.Errorf("refusing took %s", took)
	}
	eventually(t, "not ready", func() bool { return errors.Is(b.Ready(), rooms.ErrUnavailable) })
	server.thaw()
	eventually(t, "all confirmed", func() bool { return waiting.count() == maxPendingAppends })
	if n := waiting.failed(t, nil); n != 0 {
		t.Errorf("%d appends failed", n)
	}
	eventually(t, "ready", func() bool { return b.Ready() == nil })
}

// TestGivingUp: an append that is never confirmed ends as unavailable, and one that waits when the bus closes as
// closed; each done is called once.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	b := openBus(t, Options{URL: server.url()})
	to := timeline("giving-up")
	append1(t, b, to, "", "before")
	l, _, _ := open1(t, b, to)
	server.freeze()
	defer server.thaw()
	b.appender.mu.Lock()
	b.appender.patience = time.Second
	b.appender.mu.Unlock()
	var given, closed outcome
	for range 5 {
		b.Append(to, "", []byte("x"), given.done)
	}
	eventually(t, "five given up", func() bool { return given.failed(t, rooms.ErrUnavailable) == 5 })
	b.appender.mu.Lock()
	b.appender.patience = time.Hour
	b.appender.mu.Unlock()
	for range 5 {
		b.Append(to, "", []byte("x"), closed.done)
	}
	closeBus(t, b)
	if n := closed.failed(t, rooms.ErrLogClosed); n != 5 || given.count() != 5 {
		t.Errorf("%d closed, %d given up", n, given.count())
	}
	if _, err := try1(b, to, "", "x"); !errors.Is(err, rooms.ErrLogClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, _, err := b.Open(testContext(t), to, l); !errors.Is(err, rooms.ErrLogClosed) {
		t.Errorf("open after close: %v", err)
	}
	if err := b.Erase(testContext(t), to, 1); !errors.Is(err, rooms.ErrLogClosed) {
		t.Errorf("erase after close: %v", err)
	}
	if err := b.SaveState(testContext(t), to.Room, nil); !errors.Is(err, rooms.ErrLogClosed) {
		t.Errorf("save after close: %v", err)
	}
	if err := b.Ready(); !errors.Is(err, rooms.ErrLogClosed) {
		t.Errorf("ready after close: %v", err)
	}
}

// A slowListener does nothing with what it is told until it is released.
type slowListener struct {
	listener
	release chan struct{}
}

func (l *slowListener) Wake() {
	l.mu.Lock()
	told := len(l.fresh) > 0
	l.mu.Unlock()
	if told {
		<-l.release
	}
	l.listener.Wake()
}

// A sentry is a log that tells whether a line held its text.
type sentry struct {
	text string
	seen atomic.Bool
}

// Write implements io.Writer.
func (s *sentry) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(s.text)) {
		s.seen.Store(true)
	}
	return len(line), nil
}

// TestSlowFeed: while one feed blocks, more comes than its shard holds. NATS drops it, and it is read from the log.
func TestSlowFeed(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) { testSlowFeed(t, Options{}) })
	t.Run("external", func(t *testing.T) { testSlowFeed(t, Options{URL: startExternal(t).url()}) })
}

func testSlowFeed(t *testing.T, opts Options) {
	dropped := &sentry{text: nats.ErrSlowConsumer.Error()}
	opts.History, opts.Logger = 1<<13, slog.New(slog.NewTextHandler(dropped, nil))
	b := openBus(t, opts)
	to := timeline("slow")
	l := &slowListener{release: make(chan struct{})}
	release := sync.OnceFunc(func() { close(l.release) })
	defer release() // the bus cannot close while a feed blocks
	_, stop, err := b.Open(testContext(t), to, l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	const records = shardQueue + 4000
	var stored outcome
	for i := range records {
		b.Append(to, "", []byte(strconv.Itoa(i)), stored.done)
	}
	eventually(t, "records are dropped", dropped.seen.Load)
	release()
	for i, text := range texts(l.await(t, records)) {
		if text != strconv.Itoa(i) {
			t.Fatalf("record %d is %s", i, text)
		}
	}
	eventually(t, "all confirmed", func() bool { return stored.count() == records })
	if n := stored.failed(t, nil); n != 0 {
		t.Errorf("%d appends failed", n)
	}
}

// TestCluster kills the leader of a replicated stream under writes.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.url())
	}
	b := openBus(t, Options{URL: strings.Join(urls, ","), Replicas: 3})
	to := timeline("cluster")
	l, _, stop := open1(t, b, to)
	defer stop()
	var want []string
	var stored outcome
	write := func(n int) {
		for range n {
			want = append(want, strconv.Itoa(len(want)))
			b.Append(to, "cluster.w."+want[len(want)-1], []byte(want[len(want)-1]), stored.done)
		}
	}
	write(200)
	l.await(t, 200)
	stream, err := b.parts[partitionOf(to.Room)].js.Stream(testContext(t), b.parts[partitionOf(to.Room)].name)
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	i := slices.IndexFunc(servers, func(s *externalServer) bool { return s.name == leader })
	if i < 0 {
		t.Fatalf("the leader is %q", leader)
	}
	servers[i].kill()
	write(200)
	eventually(t, "all confirmed", func() bool { return stored.count() == 400 })
	if n := stored.failed(t, nil); n != 0 {
		t.Fatalf("%d appends failed", n)
	}
	got := texts(l.await(t, 400))
	slices.SortFunc(got, func(x, y string) int { a, _ := strconv.Atoi(x); b, _ := strconv.Atoi(y); return a - b })
	if !slices.Equal(got, want) || l.resetCount() != 0 {
		t.Fatalf("%d records heard, %d resets", len(got), l.resetCount())
	}
	_, tail, stopTail := open1(t, b, to)
	defer stopTail()
	if len(tail.Records) != 400 {
		t.Fatalf("%d records stored", len(tail.Records))
	}
	must(t, b.Nodes().Hold(testContext(t), to.Room))
	must(t, b.SaveState(testContext(t), to.Room, []byte("{}")))
}

// startCluster runs three servers that know each other.
func startCluster(t *testing.T) []*externalServer {
	t.Helper()
	var servers []*externalServer
	var routes []string
	for range 3 {
		routes = append(routes, "nats://"+freeAddr(t))
	}
	for i := range 3 {
		s := &externalServer{
			t: t, path: buildServer(t), store: t.TempDir(), addr: freeAddr(t), name: fmt.Sprintf("n%d", i),
			args: []string{"-n", fmt.Sprintf("n%d", i), "--cluster_name", "test", "--cluster", routes[i], "--routes", strings.Join(routes, ",")},
		}
		t.Cleanup(s.kill)
		s.start()
		servers = append(servers, s)
	}
	return servers
}

// TestOldServer: what a server of before 2.11 says of itself is enough to refuse it.
func TestOldServer(t *testing.T) {
	for version, good := range map[string]bool{
		"2.15.2": true, "2.11.0": true, "2.11.0-RC.1": true, "3.0.0": true,
		"2.10.29": false, "2.9.10": false, "1.4.1": false, "": false, "dev": false,
	} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

// TestNoServer: an address where nothing listens is told within the time of a start.
func TestNoServer(t *testing.T) {
	t.Parallel()
	_, err := Open(testContext(t), Options{DataDir: t.TempDir(), URL: "nats://" + freeAddr(t), Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "connecting to NATS") {
		t.Fatalf("error %v", err)
	}
	s := &externalServer{t: t, path: buildServer(t), addr: freeAddr(t)}
	host, port, err := net.SplitHostPort(s.addr)
	must(t, err)
	s.cmd = exec.Command(s.path, "-a", host, "-p", port) // no JetStream
	must(t, s.cmd.Start())
	t.Cleanup(s.kill)
	s.awaitPort()
	_, err = Open(testContext(t), Options{DataDir: t.TempDir(), URL: s.url(), Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "no JetStream") {
		t.Fatalf("error %v", err)
	}
}

// TestFsync: the other durability stores as well.
func TestFsync(t *testing.T) {
	t.Parallel()
	b := openBus(t, Options{Durability: DurabilityFsync})
	l, _, stop := open1(t, b, timeline("fsync"))
	defer stop()
	append1(t, b, timeline("fsync"), "", "x")
	l.await(t, 1)
}

func FuzzID(f *testing.F) {
	for _, id := range []string{"", "a", "~", "%", "%41", "a b", "\x00\r\n", "lobby.u-1.7"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		header := escapeID(id)
		if strings.ContainsAny(header, " \t\r\n") || header != "" && header[0] == ownID {
			t.Fatalf("%q becomes %q", id, header)
		}
		if back := unescapeID(header); back != id {
			t.Fatalf("%q becomes %q comes back as %q", id, header, back)
		}
	})
}

func FuzzAck(f *testing.F) {
	for _, body := range []string{
		`{"stream":"ROOMS_1", "seq":7}`, `{"stream":"ROOMS_1", "seq":7,"duplicate": true}`, `{"stream":"A","domain":"d", "seq":12}`,
		`{"error":{"code":503,"err_code":10077,"description":"no"},"stream":"ROOMS_1","seq":0}`, `{"seq":`, `{}`, `{"seq":7} `,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		fast, err := parseAckBody(body)
		if err == nil && fast.Seq == 0 {
			t.Fatalf("%q is read as sequence 0", body)
		}
		if slow, slowErr := decodeAck(body); slowErr == nil && (err != nil || slow != fast) {
			t.Fatalf("%q is read as %+v %v, is %+v", body, fast, err, slow)
		}
	})
}
