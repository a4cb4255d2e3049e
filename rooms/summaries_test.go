package rooms

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// tableOf makes a room with n listed threads, t0 the one that was silent longest.
func tableOf(t *testing.T, n int) *Room {
	t.Helper()
	r := newRoom(&Registry{logger: slog.New(slog.DiscardHandler)}, "r1")
	t.Cleanup(func() {
		r.stopTimers()
		r.shutThreads()
	})
	for i := range n {
		th := r.newThread(wire.ThreadID(fmt.Sprint("t", i)), 0, nil)
		th.kept, th.messages, th.last.Seq = true, 1, wire.Seq(100+i)
	}
	return r
}

// At the bound the thread goes that is missed least, and everybody is told that it is no longer listed.
func TestThreadListBound(t *testing.T) {
	r := tableOf(t, wire.MaxThreads)
	r.threads.all["t7"].messages = 0
	for _, want := range []wire.ThreadID{"t7", "t0", "t1"} {
		next := r.newThread("new-"+want, 0, nil)
		if !r.list(next) || !next.kept {
			t.Fatalf("%s found no place", next.name)
		}
		next.messages, next.last.Seq = 1, 9999
		out := r.threads.news.changed[len(r.threads.news.changed)-1]
		if out.name != want || r.threads.all[want] != nil {
			t.Errorf("%s made place for %s, want %s", out.name, next.name, want)
		}
		if s := r.summaryOf(out); s.Messages != 0 || s.Last.Seq != 0 {
			t.Errorf("of one that is not listed is told %+v", s)
		}
	}
	if n := len(r.storedThreads()); n != wire.MaxThreads {
		t.Errorf("%d threads are stored", n)
	}
	for _, th := range r.threads.all {
		th.births = []func(error){func(error) {}} // all are being made
	}
	if r.list(r.newThread("one-more", 0, nil)) {
		t.Error("there was a place where there is none")
	}
}

// The mark that is furthest back makes place for a new one, and marks only move forward.
func TestThreadMarkBound(t *testing.T) {
	r := tableOf(t, 4)
	for i := range maxMarks + 10 {
		th := r.threads.all[wire.ThreadID(fmt.Sprint("t", i%4))]
		r.mark(th, wire.UserID(fmt.Sprint("u", i)), readMark{wire.Seq(i + 1), 1})
	}
	total := 0
	for _, th := range r.threads.all {
		total += len(th.marks)
		for user, m := range th.marks {
			if m.seq <= 10 {
				t.Errorf("the mark of %s at %d is kept, and newer ones went", user, m.seq)
			}
		}
	}
	if total != maxMarks {
		t.Errorf("%d marks, want %d", total, maxMarks)
	}
}

// What the document says of threads is what is read back from it.
func TestThreadsInDocument(t *testing.T) {
	r := tableOf(t, 2)
	r.threads.epoch = "e1"
	th := r.newThread("dm-1", 0, []wire.UserID{"ann", "bot"})
	th.kept, th.messages, th.last, th.counted = true, 3, wire.ThreadAt{Seq: 7, TS: 8}, 9
	r.mark(th, "ann", readMark{7, 3})
	r.newThread("m5", 5, nil) // that nobody has written in
	doc := string(mustJSON(document{Threads: r.storedThreads(), Epoch: r.threads.epoch}))
	again := tableOf(t, 0)
	again.openDocument([]byte(doc))
	if len(again.threads.all) != 3 || again.threads.epoch != "e1" {
		t.Fatalf("read back from %s: %d threads", doc, len(again.threads.all))
	}
	back := again.threads.all["dm-1"]
	if !back.kept || back.messages != 3 || back.last != th.last || back.counted != 9 || back.marks["ann"] != th.marks["ann"] {
		t.Errorf("read back: %+v", back)
	}
	if back.visible(&Member{Identity: Identity{User: "eve"}}) || !back.visible(&Member{Identity: Identity{User: "ann"}}) {
		t.Error("who may see it was not read back")
	}
	if again.doc.Threads != nil {
		t.Error("the document keeps a second copy")
	}
}

func TestThreadNames(t *testing.T) {
	for name, root := range map[wire.ThreadID]wire.Seq{
		"m17": 17, "m0": 0, "m017": 0, "m": 0, "m17a": 0, "m-17": 0, "planning": 0, "m99999999999999999999": 0,
	} {
		if got := rootOf(name); got != root {
			t.Errorf("rootOf(%q) = %d, want %d", name, got, root)
		}
		if root != 0 && rootName(root) != name {
			t.Errorf("rootName(%d) = %q", root, rootName(root))
		}
	}
	ab := privateName("ann", "bot")
	if ab != privateName("bot", "ann") || !strings.HasPrefix(string(ab), privatePrefix) || !wire.ValidName(string(ab)) {
		t.Errorf("privateName = %q", ab)
	}
	if ab == privateName("annb", "ot") {
		t.Error("two pairs have one name")
	}
}

// tally is an outlet that keeps its frames.
type tally struct{ frames [][]byte }

func (o *tally) Send(frame []byte, _ string)             { o.frames = append(o.frames, frame) }
func (o *tally) SendJoined(frame []byte)                 { o.frames = append(o.frames, frame) }
func (o *tally) Removed(wire.RoomID, wire.RemovedReason) {}

// What is said where many follow goes out in few frames; state does not wait, and a bot that may not see it gets nothing.
func TestThreadGathers(t *testing.T) {
	r := tableOf(t, 0)
	th := r.newThread("dm-1", 0, []wire.UserID{"many", "bot"})
	th.log = &threadLog{room: r, of: th}
	outlets := make([]*tally, largeRoom)
	for i := range outlets {
		outlets[i] = &tally{}
		th.log.followers = append(th.log.followers, &Member{Identity: Identity{User: "many"}, out: outlets[i], state: memberOnline})
	}
	bot, other := &tally{}, &tally{}
	r.hearers = []*Member{
		{Identity: Identity{User: "bot"}, out: bot, state: memberOnline},
		{Identity: Identity{User: "other"}, out: other, state: memberOnline},
	}
	for i := range 5 {
		r.tellThread(th, fmt.Appendf(nil, "frame %d", i), "", nil)
	}
	r.tellThread(th, []byte("state"), "key", th.log.followers[0])
	r.flushThread(th)
	r.flushThread(th)
	gathered := "frame 0\nframe 1\nframe 2\nframe 3\nframe 4"
	for i, o := range append(outlets, bot) {
		want := []string{"state", gathered}
		if i == 0 {
			want = want[1:] // whose state it is
		}
		if got := fmt.Sprintf("%s", o.frames); got != fmt.Sprint(want) {
			t.Fatalf("no. %d got %s", i, got)
		}
	}
	if len(other.frames) != 0 {
		t.Errorf("a bot that may not see the thread got %s", other.frames)
	}
	r.tellThread(th, make([]byte, wire.MaxBatchBytes), "", nil)
	if n := len(outlets[1].frames); n != 3 {
		t.Errorf("%d frames after one that fills the batch, want 3", n)
	}
}
