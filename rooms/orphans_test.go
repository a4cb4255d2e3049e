package rooms_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

// A stubborn log does not open threads for a while.
type stubborn struct {
	rooms.Log
	refusals atomic.Int32 // left
	refused  atomic.Int32
}

func (l *stubborn) Open(ctx context.Context, t rooms.Timeline, feed rooms.Feed) (rooms.Tail, func(), error) {
	if t.Thread != "" && l.refusals.Add(-1) >= 0 {
		l.refused.Add(1)
		return rooms.Tail{}, nil, rooms.ErrUnavailable
	}
	return l.Log.Open(ctx, t, feed)
}

func openStubborn(t *testing.T, folder string, bots rooms.Bots, refusals int32) (*house, *stubborn, func()) {
	t.Helper()
	stored, err := bus.Open(t.Context(), bus.Options{DataDir: folder})
	if err != nil {
		t.Fatal(err)
	}
	log := &stubborn{Log: stored}
	log.refusals.Store(refusals)
	g := rooms.NewRegistry(log, rooms.Options{Bots: bots})
	return &house{g, t}, log, func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(g.Close(ctx), stored.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestOrphansInUnreadableThread: what a process leaves in a thread has its end, once, as soon as the thread can be
// opened: by the process that could not at first, or by one after that.
func TestOrphansInUnreadableThread(t *testing.T) {
	folder, bots := t.TempDir(), newPuppets()
	h, _, stop := openStubborn(t, folder, bots, 0)
	ada := h.enter(moderator("p1", "ada"), "lab", nil)
	toggle(t, ada, "echo", true)
	ada.follow("plans", wire.SubscribeThread{})
	ada.reply("plans", "c1", "and now?")
	runs := make(chan *rooms.Run, 1)
	bots.at(t, "lab", "echo").place.StartRun(rooms.RunStart{Thread: "plans", AgentStarted: wire.AgentStarted{
		Run: rooms.NewRunID(), Bot: "echo", By: wire.Author{User: "ada", Name: "Ada", Kind: wire.Human},
	}}, func(u *rooms.Run, err error) {
		if err != nil {
			t.Error(err)
		}
		runs <- u
	})
	u := <-runs
	u.Write("We decided")
	ada.next(wire.KindStreamChunk, 1)
	stop()

	h, log, stop := openStubborn(t, folder, bots, 1000) // never opens, and saves its document meanwhile
	ada = h.enter(moderator("p1", "ada"), "lab", nil)
	toggle(t, ada, "parrot", true)
	until(t, "a refusal", func() bool { return log.refused.Load() > 0 })
	stop()

	h, log, stop = openStubborn(t, folder, bots, 1) // at first
	ada = h.enter(moderator("p1", "ada"), "lab", nil)
	ada.summary("plans", func(s wire.ThreadSummary) bool { return s.Messages == 2 })
	if log.refused.Load() == 0 {
		t.Error("the thread could be opened at once")
	}
	stop()

	h, _, stop = openStubborn(t, folder, bots, 0)
	defer stop()
	ada = h.enter(moderator("p1", "ada"), "lab", nil)
	got := body[wire.ThreadHistory](t, ada.follow("plans", wire.SubscribeThread{})).Messages
	if len(got) != 2 {
		t.Fatalf("the thread has %d messages", len(got))
	}
	if last := body[wire.ChatRecord](t, got[1]); last.Text != "We decided" || last.Run == nil || last.Run.Run != u.Run || last.Run.Status != wire.RunFailed {
		t.Errorf("the answer is %+v", last)
	}
}
