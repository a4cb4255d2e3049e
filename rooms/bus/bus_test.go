package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// TestLog is what rooms.Log promises, on the server inside the process and on an external one.
func TestLog(t *testing.T) {
	behaviours := []struct {
		name string
		run  func(*testing.T, *Bus)
	}{
		{"an unwritten timeline is empty", testEmpty},
		{"what is appended is in the tail and in the feed", testAppend},
		{"feeds join while others write", testJoinUnderWrites},
		{"appends of one goroutine are stored in order", testOrder},
		{"an id is stored once in a partition", testDuplicates},
		{"ids of any bytes come back", testIDs},
		{"threads are logs of their own", testThreads},
		{"the newest record of each thread", testNewest},
		{"names are checked", testNames},
		{"a feed that stopped hears nothing", testStop},
		{"a gap is filled from the log", testGap},
		{"a gap while the follower doubts is filled", testGapDoubted},
		{"a gap that was erased does not loop", testGapErased},
		{"a gap larger than the log resets", testGapTooLarge},
		{"erasing the last record leaves the chain whole", testEraseLast},
		{"erasing refuses another timeline's record", testEraseForeign},
		{"a purge leaves what it keeps", testPurge},
		{"states are replaced", testState},
		{"a new epoch resets", testEpochReset},
		{"it counts what it does", testStats},
		{"it is ready", func(t *testing.T, b *Bus) {
			if err := b.Ready(); err != nil {
				t.Fatal(err)
			}
		}},
	}
	run := func(t *testing.T, b *Bus) {
		for _, c := range behaviours {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	}
	t.Run("embedded", func(t *testing.T) { run(t, openBus(t, Options{History: 16})) })
	t.Run("external", func(t *testing.T) {
		run(t, openBus(t, Options{History: 16, URL: startExternal(t).url()}))
	})
}

// roomNumber gives each test a room of its own.
var roomNumber atomic.Int64

func newTimeline() rooms.Timeline { return timeline(fmt.Sprintf("room-%d", roomNumber.Add(1))) }

func testEmpty(t *testing.T, b *Bus) {
	_, tail, stop := open1(t, b, newTimeline())
	defer stop()
	if len(tail.Records) != 0 || tail.Last != 0 || tail.Epoch == "" {
		t.Fatalf("tail %+v", tail)
	}
}

func testAppend(t *testing.T, b *Bus) {
	to := newTimeline()
	before := time.Now()
	first := append1(t, b, to, string(to.Room)+".1", `{"n":1}`)
	l, tail, stop := open1(t, b, to)
	defer stop()
	if len(tail.Records) != 1 || tail.Last != first.Seq {
		t.Fatalf("tail %+v", tail)
	}
	r := tail.Records[0]
	if r.Seq != first.Seq || r.Prev != 0 || r.ID != string(to.Room)+".1" || string(r.Payload) != `{"n":1}` || r.Time.Before(before.Add(-time.Second)) {
		t.Fatalf("record %+v", r)
	}
	second := append1(t, b, to, string(to.Room)+".2", `{"n":2}`)
	r = l.await(t, 1)[0]
	if r.Seq != second.Seq || r.Prev != first.Seq || string(r.Payload) != `{"n":2}` || r.ID != string(to.Room)+".2" {
		t.Fatalf("record %+v", r)
	}
	_, again, stop2 := open1(t, b, to)
	defer stop2()
	if len(again.Records) != 2 || again.Records[1].Prev != first.Seq || again.Epoch != tail.Epoch {
		t.Fatalf("tail %+v", again)
	}
	if heard, read := r.Time, again.Records[1].Time; !read.Equal(heard) || time.Since(heard).Abs() > time.Minute {
		t.Fatalf("heard as of %s, read as of %s", heard, read)
	}
}

func testJoinUnderWrites(t *testing.T, b *Bus) {
	to := newTimeline()
	const records = 60 // below what the log keeps
	var writer, joiners sync.WaitGroup
	writer.Go(func() {
		for i := range records {
			append1(t, b, to, "", fmt.Sprint(i))
		}
	})
	for range 12 {
		joiners.Go(func() {
			l, tail, stop := open1(t, b, to)
			defer stop()
			l.await(t, records-len(tail.Records))
			all := append(texts(tail.Records), texts(l.heard())...)
			for i, text := range all {
				if text != fmt.Sprint(i) {
					t.Errorf("record %d is %s, all %v", i, text, all)
					return
				}
			}
		})
	}
	writer.Wait()
	joiners.Wait()
}

func testOrder(t *testing.T, b *Bus) {
	to := newTimeline()
	l, _, stop := open1(t, b, to)
	defer stop()
	const records = 3000
	var seqs []wire.Seq
	done := make(chan struct{})
	for i := range records {
		b.Append(to, fmt.Sprintf("%s.%d", to.Room, i), []byte(fmt.Sprint(i)), func(a rooms.Appended, err error) {
			if err != nil {
				t.Error(err)
			}
			if seqs = append(seqs, a.Seq); len(seqs) == records {
				close(done)
			}
		})
	}
	<-done
	for i, text := range texts(l.await(t, records)) {
		if text != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, text)
		}
	}
	if !slices.IsSorted(seqs) {
		t.Fatal("confirmations came out of order")
	}
}

func testDuplicates(t *testing.T, b *Bus) {
	to := newTimeline()
	first := append1(t, b, to, string(to.Room)+".x", "a")
	again := append1(t, b, to, string(to.Room)+".x", "b")
	if first.Duplicate || !again.Duplicate || again.Seq != first.Seq {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	other := to // the same id in another room of the partition is the caller's mistake, and visible as one
	for n := 0; other == to || partitionOf(other.Room) != partitionOf(to.Room); n++ {
		other.Room = wire.RoomID(fmt.Sprintf("other-%d", n))
	}
	if got := append1(t, b, other, string(to.Room)+".x", "c"); !got.Duplicate || got.Seq != first.Seq {
		t.Fatalf("in another room %+v", got)
	}
	if got := append1(t, b, other, string(other.Room)+".x", "c"); got.Duplicate {
		t.Fatalf("with the room's prefix %+v", got)
	}
	if got := append1(t, b, to, "", "d"); got.Duplicate {
		t.Fatalf("no id %+v", got)
	}
	if got := append1(t, b, to, "", "d"); got.Duplicate {
		t.Fatalf("no id again %+v", got)
	}
}

func testIDs(t *testing.T, b *Bus) {
	to := newTimeline()
	l, _, stop := open1(t, b, to)
	defer stop()
	ids := []string{"", "~own", " spaces ", "a\r\nb: c", "100%", "%41", "ümlaut", "a\x00b", strings.Repeat("u", 300)}
	for i, id := range ids {
		if i > 0 {
			id = string(to.Room) + id
			if i == 1 {
				id = "~" + id
			}
			ids[i] = id
		}
		append1(t, b, to, id, "x")
	}
	for i, r := range l.await(t, len(ids)) {
		if r.ID != ids[i] {
			t.Errorf("id %q came back as %q", ids[i], r.ID)
		}
	}
}

func testThreads(t *testing.T, b *Bus) {
	main := newTimeline()
	thread := rooms.Timeline{Room: main.Room, Thread: "t-1"}
	lm, _, stopMain := open1(t, b, main)
	defer stopMain()
	lt, _, stopThread := open1(t, b, thread)
	defer stopThread()
	append1(t, b, main, "", "m1")
	t1 := append1(t, b, thread, "", "t1")
	append1(t, b, main, "", "m2")
	append1(t, b, thread, "", "t2")
	if got := texts(lm.await(t, 2)); !slices.Equal(got, []string{"m1", "m2"}) {
		t.Fatalf("main %v", got)
	}
	got := lt.await(t, 2)
	if !slices.Equal(texts(got), []string{"t1", "t2"}) || got[1].Prev != t1.Seq {
		t.Fatalf("thread %+v", got)
	}
}

func testNewest(t *testing.T, b *Bus) {
	room := newTimeline().Room
	var all []rooms.Timeline
	var want []wire.Seq
	for i := range 2*newestBatch + 3 {
		to := rooms.Timeline{Room: room, Thread: wire.ThreadID(fmt.Sprint("t", i))}
		last := wire.Seq(0)
		for n := range i % 3 { // every third has none
			last = append1(t, b, to, "", fmt.Sprint(n)).Seq
		}
		all, want = append(all, to), append(want, last)
	}
	got, err := b.Newest(testContext(t), all...)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("newest %v, %v; want %v", got, err, want)
	}
	if got, err := b.Newest(testContext(t)); err != nil || len(got) != 0 {
		t.Fatalf("of none: %v, %v", got, err)
	}
	other := rooms.Timeline{Room: "another"}
	for n := 0; partitionOf(other.Room) == partitionOf(room); n++ {
		other.Room = wire.RoomID(fmt.Sprint("another-", n))
	}
	if _, err := b.Newest(testContext(t), all[0], other); err == nil {
		t.Fatal("two rooms at once were taken")
	}
}

func testNames(t *testing.T, b *Bus) {
	for _, bad := range []rooms.Timeline{
		{}, {Room: "a.b"}, {Room: ">"}, {Room: "a*"}, {Room: "A"}, {Room: "a b"}, {Room: "a~b"},
		{Room: "a", Thread: "x.y"}, {Room: "a", Thread: "~"}, {Room: wire.RoomID(strings.Repeat("a", 65))},
	} {
		if _, _, err := b.Open(testContext(t), bad, &listener{}); !errors.Is(err, ErrBadName) {
			t.Errorf("open %q: %v", bad, err)
		}
		if _, err := try1(b, bad, "", "x"); !errors.Is(err, ErrBadName) {
			t.Errorf("append %q: %v", bad, err)
		}
		if _, err := b.Newest(testContext(t), bad); !errors.Is(err, ErrBadName) {
			t.Errorf("newest %q: %v", bad, err)
		}
		if err := b.Erase(testContext(t), bad, 1); !errors.Is(err, ErrBadName) {
			t.Errorf("erase %q: %v", bad, err)
		}
	}
	if err := b.SaveState(testContext(t), "a.b", nil); !errors.Is(err, ErrBadName) {
		t.Errorf("state: %v", err)
	}
}

func testStop(t *testing.T, b *Bus) {
	to := newTimeline()
	gone, _, stop := open1(t, b, to)
	stays, _, stopOther := open1(t, b, to)
	defer stopOther()
	stop()
	stop()
	append1(t, b, to, "", "x")
	stays.await(t, 1)
	if n := len(gone.heard()); n != 0 {
		t.Fatalf("heard %d records after stop", n)
	}
	stopOther()
	eventually(t, "the follower ends with its last feed", func() bool { return !followed(b, to) })
}

func followed(b *Bus, to rooms.Timeline) bool { return followerOf(b, to) != nil }

func followerOf(b *Bus, to rooms.Timeline) *follower {
	at, err := locate(to)
	if err != nil {
		return nil
	}
	s := b.shardOf(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followers[at.live]
}

func testState(t *testing.T, b *Bus) {
	ctx, room := testContext(t), newTimeline().Room
	if doc, err := b.LoadState(ctx, room); err != nil || doc != nil {
		t.Fatalf("%q %v", doc, err)
	}
	if nodes := b.Nodes(); nodes != nil {
		must(t, nodes.Hold(ctx, room))
	}
	for _, want := range []string{`{"locked":true}`, `{}`, ""} {
		if err := b.SaveState(ctx, room, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if doc, err := b.LoadState(ctx, room); err != nil || doc == nil || string(doc) != want {
			t.Fatalf("%q %v", doc, err)
		}
	}
}
