package bus

import (
	"fmt"
	"slices"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// deafen cuts a follower off, so that what is stored is truly not delivered. It gives what stores a record meanwhile, and
// what ends it: where records are republished the subscription is cut, elsewhere the confirmation goes to somebody else.
func deafen(t *testing.T, b *Bus, to rooms.Timeline) (store func(text string) wire.Seq, hear func()) {
	t.Helper()
	f := followerOf(b, to)
	if b.alone() {
		return func(text string) wire.Seq {
			t.Helper()
			msg, err := b.request(testContext(t), f.at.subject, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			stored, err := parseAck(msg)
			if err != nil {
				t.Fatal(err)
			}
			return stored.Seq
		}, func() {}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := b.subscribe.Flush(); err != nil {
		t.Fatal(err)
	}
	store = func(text string) wire.Seq { return append1(t, b, to, "", text).Seq }
	return store, func() {
		t.Helper()
		sub, err := b.subscribe.ChanSubscribe(f.at.live, f.shard.live)
		if err == nil {
			err = b.subscribe.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sub = sub
	}
}

func testGap(t *testing.T, b *Bus) {
	for _, found := range []string{"by the next record", "by a check"} {
		t.Run(found, func(t *testing.T) {
			to := newTimeline()
			l, _, stop := open1(t, b, to)
			defer stop()
			append1(t, b, to, "", "1")
			l.await(t, 1)
			store, hear := deafen(t, b, to)
			want := []string{"1"}
			for i := 2; i < 10; i++ {
				store(fmt.Sprint(i))
				want = append(want, fmt.Sprint(i))
			}
			hear()
			if found == "by a check" {
				b.checkAll()
			} else {
				append1(t, b, to, "", "10")
				want = append(want, "10")
			}
			got := l.await(t, len(want))
			if !slices.Equal(texts(got), want) {
				t.Fatalf("heard %v", texts(got))
			}
			for i := 1; i < len(got); i++ {
				if got[i].Prev != got[i-1].Seq {
					t.Errorf("record %d: prev %d, the one before is %d", i, got[i].Prev, got[i-1].Seq)
				}
			}
			if l.resetCount() != 0 {
				t.Error("reset")
			}
		})
	}
}

// testGapDoubted: what was missed while the follower held everything back is not forgotten when it no longer does.
func testGapDoubted(t *testing.T, b *Bus) {
	to := newTimeline()
	l, _, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "1")
	l.await(t, 1)
	store, hear := deafen(t, b, to)
	store("2")
	hear()
	followerOf(b, to).doubt()
	append1(t, b, to, "", "3")
	b.checkAll()
	if got := texts(l.await(t, 3)); !slices.Equal(got, []string{"1", "2", "3"}) || l.resetCount() != 0 {
		t.Fatalf("heard %v, %d resets", got, l.resetCount())
	}
}

func testGapErased(t *testing.T, b *Bus) {
	to := newTimeline()
	l, _, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "1")
	l.await(t, 1)
	store, hear := deafen(t, b, to)
	missed := store("missed")
	f := followerOf(b, to)
	f.mu.Lock() // what follows comes, but the follower cannot look at it before the record is erased
	hear2 := make(chan struct{})
	go func() { defer close(hear2); hear() }()
	last := append1(t, b, to, "", "2")
	if err := b.Erase(testContext(t), to, missed); err != nil {
		t.Fatal(err)
	}
	f.mu.Unlock()
	<-hear2
	b.checkAll()
	l.await(t, 2)
	append1(t, b, to, "", "3")
	got := l.await(t, 3)
	if !slices.Equal(texts(got), []string{"1", "2", "3"}) || got[1].Seq != last.Seq {
		t.Fatalf("heard %v", texts(got))
	}
}

func testGapTooLarge(t *testing.T, b *Bus) {
	to := newTimeline()
	l, tail, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "first")
	l.await(t, 1)
	store, hear := deafen(t, b, to)
	n := b.opts.perTimeline() + 5
	for i := range n {
		store(fmt.Sprint(i))
	}
	hear()
	append1(t, b, to, "", "last")
	eventually(t, "a reset", func() bool { return l.resetCount() == 1 })
	reset := l.resets[0]
	if reset.Epoch != tail.Epoch || len(reset.Records) != b.opts.perTimeline() || string(reset.Records[len(reset.Records)-1].Payload) != "last" {
		t.Fatalf("epoch %s, %d records, last %d", reset.Epoch, len(reset.Records), reset.Last)
	}
	append1(t, b, to, "", "after")
	if got := l.await(t, 1); !slices.Equal(texts(got), []string{"after"}) || got[0].Prev != reset.Last {
		t.Fatalf("heard %+v", got)
	}
}

func testEraseLast(t *testing.T, b *Bus) {
	ctx, to := testContext(t), newTimeline()
	l, _, stop := open1(t, b, to)
	defer stop()
	first := append1(t, b, to, "", "1")
	last := append1(t, b, to, "", "2")
	l.await(t, 2)
	for range 2 { // already gone is no error
		if err := b.Erase(ctx, to, last.Seq); err != nil {
			t.Fatal(err)
		}
	}
	append1(t, b, to, "", "3")
	got := l.await(t, 3)
	if !slices.Equal(texts(got), []string{"1", "2", "3"}) || got[2].Prev != last.Seq {
		t.Fatalf("heard %+v", got)
	}
	_, tail, stop2 := open1(t, b, to)
	defer stop2()
	if !slices.Equal(texts(tail.Records), []string{"1", "3"}) || tail.Records[1].Prev != first.Seq {
		t.Fatalf("tail %+v", tail)
	}
	if err := b.Erase(ctx, to, tail.Last+1000); err != nil {
		t.Fatalf("a sequence that was never: %v", err)
	}
}

func testEraseForeign(t *testing.T, b *Bus) {
	to := newTimeline()
	thread := rooms.Timeline{Room: to.Room, Thread: "t"}
	kept := append1(t, b, to, "", "kept")
	if err := b.Erase(testContext(t), thread, kept.Seq); !isForeign(err) {
		t.Fatalf("erasing through another timeline: %v", err)
	}
	_, tail, stop := open1(t, b, to)
	defer stop()
	if len(tail.Records) != 1 {
		t.Fatalf("tail %+v", tail)
	}
}

func testPurge(t *testing.T, b *Bus) {
	ctx, to, other := testContext(t), newTimeline(), newTimeline()
	other.Room = to.Room // a thread of the same room, in the same stream
	other.Thread = "t"
	l, _, stop := open1(t, b, to)
	defer stop()
	var seqs []wire.Seq
	for i := range 6 {
		seqs = append(seqs, append1(t, b, to, "", fmt.Sprint(i)).Seq)
		append1(t, b, other, "", fmt.Sprint(i))
	}
	l.await(t, 6)
	check := func(keep wire.Seq, want ...string) {
		t.Helper()
		if err := b.Purge(ctx, to, keep); err != nil {
			t.Fatal(err)
		}
		_, tail, stop := open1(t, b, to)
		defer stop()
		if !slices.Equal(texts(tail.Records), want) {
			t.Fatalf("purged below %d: %v", keep, texts(tail.Records))
		}
	}
	check(0, "0", "1", "2", "3", "4", "5")
	check(seqs[4], "4", "5")
	check(seqs[5] + 1000)
	_, tail, stopOther := open1(t, b, other)
	defer stopOther()
	if len(tail.Records) != 6 {
		t.Fatalf("the thread has %d records left", len(tail.Records))
	}
	append1(t, b, to, "", "6") // a Nats-Last-Sequence of 0 is not a gap
	prev := wire.Seq(0)
	if b.alone() { // the feed had it, although the log has it no more
		prev = seqs[5]
	}
	got := l.await(t, 7)
	if len(got) != 7 || got[6].Prev != prev || l.resetCount() != 0 {
		t.Fatalf("heard %v, %d resets", texts(got), l.resetCount())
	}
}

func testEpochReset(t *testing.T, b *Bus) {
	to := newTimeline()
	l, tail, stop := open1(t, b, to)
	defer stop()
	append1(t, b, to, "", "1")
	l.await(t, 1)
	p := b.parts[partitionOf(to.Room)]
	// As another node would, behind this one's back; a lost connection makes this one look.
	if _, err := p.renew(testContext(t), "the test wants it"); err != nil {
		t.Fatal(err)
	}
	b.links.Add(1)
	b.doubtAll()
	eventually(t, "a reset", func() bool { return l.resetCount() == 1 })
	if reset := l.resets[0]; reset.Epoch == tail.Epoch || !slices.Equal(texts(reset.Records), []string{"1"}) {
		t.Fatalf("reset to %+v", reset)
	}
	append1(t, b, to, "", "2")
	l.await(t, 1)

	// The one who opens the timeline is the first to find out; the others hear of it.
	if _, err := p.renew(testContext(t), "the test wants it"); err != nil {
		t.Fatal(err)
	}
	b.links.Add(1)
	_, newest, stopNewest := open1(t, b, to)
	defer stopNewest()
	eventually(t, "another reset", func() bool { return l.resetCount() == 2 })
	if newest.Epoch == l.resets[0].Epoch || newest.Epoch != l.resets[1].Epoch || len(newest.Records) != 2 {
		t.Fatalf("opened %+v", newest)
	}
}
