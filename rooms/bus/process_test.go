package bus

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// runHelper is what the test binary does as another process. "write" appends to four rooms and a thread of each as fast
// as it confirms and prints "<timeline> <text>" for each confirmation; "hold" opens the folder and waits.
func runHelper(what string, args []string) int {
	b, err := Open(context.Background(), Options{DataDir: args[0], Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("open")
	if what == "hold" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent lets go
		if err := b.Close(); err != nil {
			fmt.Println("error:", err)
			return 1
		}
		return 0
	}
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	window := make(chan struct{}, 64)
	for i := 0; ; i++ {
		room, text := "kill-"+strconv.Itoa(i%4), strconv.Itoa(i)
		if i%8 >= 4 {
			room += "~thread"
		}
		window <- struct{}{}
		b.Append(timelineOf(room), room+"."+text, []byte(text), func(_ rooms.Appended, err error) {
			<-window
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(out, room, text)
			if err := out.Flush(); err != nil { // the parent is gone
				os.Exit(3)
			}
		})
	}
}

// startHelper runs the test binary as another process and waits until its bus is open.
func startHelper(t *testing.T, what, dir string) (*exec.Cmd, *bufio.Scanner, io.WriteCloser) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process: %q %v", lines.Text(), lines.Err())
	}
	return cmd, lines, stdin
}

// TestKilledProcess kills a process that writes to its embedded server, twice on one folder.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	var confirmed map[string]map[string]bool
	epochs := map[string]bool{}
	for range 2 {
		cmd, lines, _ := startHelper(t, "write", dir)
		confirmed = map[string]map[string]bool{} // the next process writes the same texts: look at the newest
		for n := 0; n < 3000 && lines.Scan(); n++ {
			note(confirmed, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had confirmed before it died
			note(confirmed, lines.Text())
		}
		_ = cmd.Wait()

		b := openBus(t, Options{DataDir: dir})
		for room, texts := range confirmed {
			_, tail, stop := open1(t, b, timelineOf(room))
			stop()
			epochs[room+" "+tail.Epoch] = true
			stored := map[string]bool{}
			oldest := -1
			for _, r := range tail.Records {
				n, err := strconv.Atoi(string(r.Payload))
				if err != nil {
					t.Fatal(err)
				}
				if oldest < 0 || n < oldest {
					oldest = n
				}
				stored[string(r.Payload)] = true
			}
			for text := range texts {
				if n, _ := strconv.Atoi(text); n >= oldest && !stored[text] {
					t.Errorf("%s: record %s was confirmed and is lost", room, text)
				}
			}
			if len(stored) == 0 {
				t.Errorf("%s: nothing is left", room)
			}
		}
		closeBus(t, b)
	}
	if len(epochs) != 8 {
		t.Errorf("a kill changed epochs: %v", epochs)
	}
}

// timelineOf reads "<room>" or "<room>~<thread>".
func timelineOf(name string) rooms.Timeline {
	room, thread, _ := strings.Cut(name, "~")
	return rooms.Timeline{Room: wire.RoomID(room), Thread: wire.ThreadID(thread)}
}

func note(confirmed map[string]map[string]bool, line string) {
	room, text, ok := strings.Cut(line, " ")
	if !ok {
		return
	}
	if confirmed[room] == nil {
		confirmed[room] = map[string]bool{}
	}
	confirmed[room][text] = true
}

// TestSecondProcess: NATS would let two processes ruin one store; the lock does not.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, _, stdin := startHelper(t, "hold", dir)
	_, err := Open(testContext(t), Options{DataDir: dir, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second process on the folder: %v", err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	openBus(t, Options{DataDir: dir})
}

// TestKilledServer kills the external server under writes, several times, and starts it on the same store.
func TestKilledServer(t *testing.T) {
	server := startExternal(t)
	b := openBus(t, Options{URL: server.url(), History: 1 << 14})
	to := timeline("killed")
	l, tail, stop := open1(t, b, to)
	defer stop()

	var (
		mu        sync.Mutex
		confirmed []string
		seqs      = map[string]bool{}
	)
	end := make(chan struct{})
	var writer, answers sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			text := strconv.Itoa(i)
			answers.Add(1)
			b.Append(to, "killed.w."+text, []byte(text), func(a rooms.Appended, err error) {
				defer answers.Done()
				if err != nil {
					t.Errorf("append %s: %v", text, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				confirmed = append(confirmed, text)
				seqs[strconv.Itoa(int(a.Seq))] = true
			})
		}
	})
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(confirmed) }
	for range 3 {
		before := count()
		eventually(t, "confirmations", func() bool { return count() > before+200 })
		server.kill()
		eventually(t, "the bus notices", func() bool { return b.Ready() != nil })
		server.start()
	}
	before := count()
	eventually(t, "confirmations after the last kill", func() bool { return count() > before+200 })
	close(end)
	writer.Wait()
	answers.Wait()
	eventually(t, "every connection is back", func() bool { return b.Ready() == nil })

	append1(t, b, to, "killed.w.last", "last")
	eventually(t, "the last record", func() bool {
		heard := l.heard()
		return len(heard) > 0 && string(heard[len(heard)-1].Payload) == "last"
	})
	heard := l.heard()
	if l.resetCount() != 0 {
		t.Fatalf("reset from epoch %s to %s", tail.Epoch, l.resets[0].Epoch)
	}
	if len(heard) != len(confirmed)+1 {
		t.Errorf("%d records heard, %d confirmed", len(heard), len(confirmed)+1)
	}
	got := texts(heard)
	for i := 1; i < len(heard); i++ {
		if heard[i].Seq <= heard[i-1].Seq {
			t.Fatalf("sequence %d after %d", heard[i].Seq, heard[i-1].Seq)
		}
	}
	slices.Sort(got)
	if unique := len(slices.Compact(got)); unique != len(heard) {
		t.Errorf("%d records heard, %d different", len(heard), unique)
	}
	for _, text := range confirmed {
		if _, ok := slices.BinarySearch(got, text); !ok {
			t.Errorf("record %s was confirmed and not heard", text)
		}
	}
}

// TestServerLosesItsStore: an external server that comes back empty is a new epoch, not a log without history
// whose sequences pass for the old ones.
func TestServerLosesItsStore(t *testing.T) {
	server := startExternal(t)
	b := openBus(t, Options{URL: server.url()})
	to := timeline("emptied")
	l, tail, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "1")
	append1(t, b, to, "", "2")
	l.await(t, 2)
	server.kill()
	server.store = t.TempDir()
	server.start()
	eventually(t, "a reset", func() bool { return l.resetCount() > 0 })
	if reset := l.resets[0]; reset.Epoch == tail.Epoch || len(reset.Records) != 0 {
		t.Fatalf("reset to %+v", reset)
	}
	append1(t, b, to, "", "3")
	if got := texts(l.await(t, 1)); !slices.Equal(got, []string{"3"}) {
		t.Fatalf("heard %v", got)
	}
}

// TestServerRollsBack: the store of the external server is replaced by an older copy of itself.
func TestServerRollsBack(t *testing.T) {
	server := startExternal(t)
	b := openBus(t, Options{URL: server.url()})
	to := timeline("rolled-back")
	l, tail, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "1")
	l.await(t, 1)
	server.kill()
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(server.store)); err != nil {
		t.Fatal(err)
	}
	server.start()
	eventually(t, "ready", func() bool { return b.Ready() == nil })
	append1(t, b, to, "", "2")
	l.await(t, 2)
	server.kill()
	server.store = old
	server.start()
	eventually(t, "a reset", func() bool { return l.resetCount() > 0 })
	if reset := l.resets[0]; reset.Epoch == tail.Epoch || !slices.Equal(texts(reset.Records), []string{"1"}) {
		t.Fatalf("reset to %+v", reset)
	}
}

// A proxy stands between a bus and the server and can cut what it carries.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	down     bool
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.down {
			p.mu.Unlock()
			_ = in.Close()
			_ = out.Close()
			continue
		}
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.running.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = in.Close()
				_ = out.Close()
			})
		}
	}
}

// cut ends every connection and takes no new ones until mend.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// TestCutNetwork: another node appends while this one is cut off; it hears everything once it is back.
func TestCutNetwork(t *testing.T) {
	server := startExternal(t)
	p := startProxy(t, server.addr)
	b := openBus(t, Options{URL: "nats://" + p.listener.Addr().String()})
	other := openBus(t, Options{URL: server.url()})
	to := timeline("cut")
	l, _, stop := open1(t, b, to)
	defer stop()
	var want []string
	write := func(n int) {
		for range n {
			want = append(want, strconv.Itoa(len(want)))
			append1(t, other, to, "", want[len(want)-1])
		}
	}
	for range 3 {
		write(20)
		l.await(t, len(want))
		p.cut()
		eventually(t, "the bus notices", func() bool { return b.Ready() != nil })
		write(20)
		p.mend()
		l.await(t, len(want))
	}
	if got := texts(l.heard()); !slices.Equal(got, want) || l.resetCount() != 0 {
		t.Fatalf("heard %v, %d resets", got, l.resetCount())
	}
}
