package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"confab/rooms"
	"confab/signaling/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log that the test need not close itself.
func open(t *testing.T, opts Options) *Log {
	t.Helper()
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func page(t *testing.T, l *Log, q Query) Page {
	t.Helper()
	p, err := l.Page(q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLogIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, Options{Path: path})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l.Act(rooms.Act{
		Time: at, Room: "r", User: "ann", Participant: "p1", Address: netip.MustParsePrefix("192.0.2.7/32"), Action: wire.ActionMute,
		Target: "p2", TargetUser: "ben", Source: wire.Camera,
	})
	l.Act(rooms.Act{Time: at, Room: "r", User: "ben", Address: netip.MustParsePrefix("2001:db8::/64"), Action: wire.ActionKick, Refused: wire.CodeForbidden})
	l.Act(rooms.Act{Time: at, Room: "r", User: "ann", Action: rooms.ActBotToggle, Bot: "scribe", On: true})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	l = open(t, Options{Path: path})
	got := page(t, l, Query{}).Entries
	if len(got) != 3 {
		t.Fatalf("kept %+v", got)
	}
	first := Entry{
		Seq: at.UnixMicro(), Time: at, Via: ViaRoom, User: "ann", Participant: "p1", Address: "192.0.2.7", Action: "mute", Room: "r",
		Target: "p2", TargetUser: "ben", Detail: "camera", Outcome: Done,
	}
	if got[2] != first {
		t.Errorf("got  %+v\nwant %+v", got[2], first)
	}
	if got[1].Address != "2001:db8::/64" || got[1].Outcome != "forbidden" || got[0].Detail != "scribe on" {
		t.Errorf("got %+v", got[:2])
	}
	l.Write(Entry{Time: at.Add(-time.Hour), Action: "x", Outcome: Done}) // by a clock that was set back
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Path: path})
	if got := page(t, l, Query{}).Entries; len(got) != 4 || got[0].Action != "x" || got[0].Seq <= got[1].Seq {
		t.Errorf("after a restart: %+v", got)
	}
}

func TestPages(t *testing.T) {
	l := open(t, Options{Path: filepath.Join(t.TempDir(), "audit.log"), Bytes: 4 << 10, Keep: 3})
	const all = 60 // some 90 bytes each: two files and a half
	for i := range all {
		l.Write(Entry{Action: fmt.Sprint(i), Room: wire.RoomID(fmt.Sprintf("r%d", i%2)), Outcome: Done})
		for deadline := time.Now().Add(10 * time.Second); i%10 == 9 && len(page(t, l, Query{Limit: all}).Entries) < i+1; {
			if time.Now().After(deadline) {
				t.Fatal("entries are not written")
			}
		}
	}
	if _, err := os.Stat(l.name(1)); err != nil {
		t.Error("nothing was rotated")
	}
	var got []string
	for before, more := int64(0), true; more; {
		p := page(t, l, Query{Before: before, Limit: 7})
		for _, e := range p.Entries {
			got, before = append(got, e.Action), e.Seq
		}
		more = p.More
	}
	for i, action := range got {
		if action != fmt.Sprint(all-1-i) {
			t.Fatalf("entry %d is %s", i, action)
		}
	}
	if len(got) != all {
		t.Errorf("%d entries in pages", len(got))
	}
	if p := page(t, l, Query{Room: "r1", Limit: 3}); len(p.Entries) != 3 || p.Entries[0].Action != "59" || p.Entries[2].Action != "55" || !p.More {
		t.Errorf("of one room: %+v", p)
	}
}

func TestFilesAreBounded(t *testing.T) {
	folder := t.TempDir()
	l := open(t, Options{Path: filepath.Join(folder, "audit.log"), Bytes: 1 << 10, Keep: 2})
	for i := range 200 {
		l.Write(Entry{Action: fmt.Sprint(i), Outcome: Done})
		if i%5 == 4 {
			if err := l.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 3 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Size() > 1<<10 {
			t.Errorf("%s has %d bytes, %v", file.Name(), info.Size(), err)
		}
	}
}

// flush writes what waits now.
func (l *Log) flush() error {
	l.mu.Lock()
	batch := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	return l.write(batch)
}

// hung is a stream that takes nothing until it is told to.
type hung struct {
	taken chan struct{} // a value: a write has begun
	free  chan struct{}

	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (h *hung) Write(p []byte) (int, error) {
	select {
	case h.taken <- struct{}{}:
	default:
	}
	<-h.free
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(p)
}

func TestAHungStreamHoldsNobody(t *testing.T) {
	h := &hung{taken: make(chan struct{}, 1), free: make(chan struct{})}
	l, err := Open(Options{Stream: h})
	if err != nil {
		t.Fatal(err)
	}
	l.Write(Entry{Action: "first", Outcome: Done})
	<-h.taken
	const more = 100
	for range maxWaiting + more {
		l.Write(Entry{Action: "later", Outcome: Done})
	}
	if lost := l.Lost(); lost != more {
		t.Errorf("%d lost, want %d", lost, more)
	}
	if _, err := l.Page(Query{}); !errors.Is(err, ErrNoFile) {
		t.Errorf("a page of a stream: %v", err)
	}
	close(h.free)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(h.buf.String()), "\n")
	var e Entry
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || len(lines) != 1+maxWaiting || e.Action != "first" {
		t.Errorf("%d lines, %v, %+v", len(lines), err, e)
	}
}

// TestRefusedIsBounded lets somebody ask for what they may not, for hours: what was done before is still there.
func TestRefusedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := Open(Options{Stream: &out})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 * refusedBurst {
			l.Act(rooms.Act{User: "eve", Action: wire.ActionKick, Refused: wire.CodeForbidden})
		}
		l.Act(rooms.Act{User: "ann", Action: wire.ActionLock})
		time.Sleep(2 * refusedEvery)
		l.Act(rooms.Act{User: "eve", Action: wire.ActionKick, Refused: wire.CodeForbidden})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if n := strings.Count(text, `"user":"eve"`); n != refusedBurst+1 || !strings.Contains(text, `"action":"refused-more","detail":"2000"`) {
			t.Errorf("%d lines of what was refused\n%s", n, text[len(text)-600:])
		}
		if !strings.Contains(text, `"user":"ann"`) || l.Lost() != 0 {
			t.Error("what was done is not there")
		}
	})
}

func TestAHalfLineIsLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, Options{Path: path})
	l.Write(Entry{Action: "whole", Outcome: Done})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"seq":9007199254740991,"acti`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Path: path})
	l.Write(Entry{Action: "next", Outcome: Done})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Path: path})
	if got := page(t, l, Query{}).Entries; len(got) != 2 || got[0].Action != "next" {
		t.Errorf("after half a line: %+v", got)
	}
}
