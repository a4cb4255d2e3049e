package rooms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// A cassette is a Recorder and its one Recording, which notes what the room says.
type cassette struct {
	fail  error
	gate  chan struct{} // nil = Record does not wait
	tapes chan *tape
}

type tape struct {
	done chan struct{}

	mu    sync.Mutex
	notes []string          // guarded by mu
	ended wire.RecordingEnd // guarded by mu
}

func newCassette() *cassette { return &cassette{tapes: make(chan *tape, 8)} }

func (c *cassette) Record(ctx context.Context, room wire.RoomID, by wire.UserID) (rooms.Recording, error) {
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
		}
	}
	if c.fail != nil {
		return nil, c.fail
	}
	t := &tape{done: make(chan struct{})}
	t.note("%s by %s", room, by)
	c.tapes <- t
	return t, nil
}

func (t *tape) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *tape) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.notes)
}

func (t *tape) Joined(who wire.ParticipantID, user wire.UserID, name string) {
	t.note("joined %s %s %s", who, user, name)
}
func (t *tape) Left(who wire.ParticipantID) { t.note("left %s", who) }
func (t *tape) Chat(frame []byte)           { t.note("chat %s", frame) }
func (t *tape) Done() <-chan struct{}       { return t.done }
func (t *tape) Stop(empty bool) {
	t.note("stop, empty %t", empty)
	t.end(wire.RecordingStopped)
}

func (t *tape) end(why wire.RecordingEnd) {
	t.mu.Lock()
	t.ended = why
	t.mu.Unlock()
	close(t.done)
}

func (t *tape) Ended() wire.RecordingEnd {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

func moderate(action wire.Action) wire.Moderate { return wire.Moderate{Action: action} }

// recordings are what a guest was told of the recording.
func (g *guest) recordings(t *testing.T, n int) []bool {
	t.Helper()
	var said []bool
	g.until(fmt.Sprintf("%d times recording", n), func() bool {
		said = nil
		for _, e := range g.frames {
			if e.Type == wire.KindRoom {
				if info := body[wire.RoomInfo](t, e); info.Recording != nil {
					said = append(said, *info.Recording)
				}
			}
		}
		return len(said) >= n
	})
	return said
}

func TestRecording(t *testing.T) {
	c := newCassette()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 4, BackToMesh: 1, Recorder: c})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	ada := h.enter(person("a1", "ada"), "call", nil)
	if r := ask(t, func(a rooms.Answer) { ada.Moderate(moderate(wire.ActionRecord), a) }); r.code() != wire.CodeForbidden {
		t.Errorf("a member records: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) }); r.err != nil {
		t.Fatal(r.err)
	}
	first := <-c.tapes
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) }); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("again: %+v", r)
	}
	if got := ada.recordings(t, 1); !got[0] {
		t.Errorf("ada was told %v", got)
	}
	if got := ada.mode(t, 1); got.Mode != wire.SFU || got.Reason != "recording" {
		t.Errorf("while it is recorded: %+v", got)
	}

	late := h.enter(person("l1", "late"), "call", nil)
	joined := body[wire.Joined](t, late.next(wire.KindJoined, 1))
	if joined.Room.Recording == nil || !*joined.Room.Recording || joined.Media.Mode != wire.SFU {
		t.Errorf("who comes later is told %+v, %+v", joined.Room, joined.Media)
	}
	late.say("m1", "hello")
	late.next(wire.KindChat, 1)
	ask(t, late.Leave)
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionStopRecording), a) }); r.err != nil {
		t.Fatal(r.err)
	}
	if got := ada.recordings(t, 2); got[1] {
		t.Errorf("ada was told %v", got)
	}
	if got := ada.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("after it: %+v", got)
	}
	notes := first.all()
	if len(notes) != 7 || !strings.Contains(notes[4], `"text":"hello"`) || !strings.Contains(notes[4], `"seq":`) {
		t.Fatalf("noted %q", notes)
	}
	notes = slices.Delete(notes, 4, 5)
	want := []string{"call by boss", "joined b1 boss boss", "joined a1 ada ada", "joined l1 late late", "left l1", "stop, empty false"}
	if !slices.Equal(notes, want) {
		t.Errorf("noted %q, want %q", notes, want)
	}
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionStopRecording), a) }); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("stopped again: %+v", r)
	}
	after := h.enter(person("l2", "later"), "call", nil)
	if info := body[wire.Joined](t, after.next(wire.KindJoined, 1)).Room; info.Recording == nil || *info.Recording {
		t.Errorf("after it: %+v", info)
	}
}

// A recording that ends by itself, for a full disk, is over for everyone; a new one can begin.
func TestRecordingEndsByItself(t *testing.T) {
	c := newCassette()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, Recorder: c})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) })
	(<-c.tapes).end(wire.RecordingDiskFull)
	if got := boss.recordings(t, 2); got[1] {
		t.Errorf("told %v", got)
	}
	if info := body[wire.RoomInfo](t, boss.next(wire.KindRoom, 2)); info.RecordingEnded != wire.RecordingDiskFull {
		t.Errorf("told why: %+v", info)
	}
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) }); r.err != nil || r.body.(wire.Ack).Duplicate {
		t.Errorf("a new one: %+v", r)
	}
}

func TestRecordingEndsWithTheMeeting(t *testing.T) {
	c := newCassette()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, Recorder: c})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	bot := person("r1", "scribe")
	bot.Kind = wire.Bot
	h.enter(bot, "call", nil)
	ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) })
	recording := <-c.tapes
	ask(t, boss.Leave)
	<-recording.done
	if notes := recording.all(); notes[len(notes)-1] != "stop, empty true" {
		t.Errorf("noted %q", notes)
	}
}

// Who leaves while the recording is about to begin takes it along.
func TestRecordingOfAnEmptyRoom(t *testing.T) {
	c := newCassette()
	c.gate = make(chan struct{})
	h := newHouse(t, rooms.Options{SFU: &notebook{}, Recorder: c})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	answered := make(chan error, 1)
	boss.Moderate(moderate(wire.ActionRecord), func(_ wire.ServerMessage, err error) { answered <- err })
	if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionStopRecording), a) }); r.code() != wire.CodeConflict {
		t.Errorf("stopped before it began: %v", r.err)
	}
	ask(t, boss.Leave)
	close(c.gate)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	<-(<-c.tapes).done
}

func TestRecordingFails(t *testing.T) {
	c := newCassette()
	c.fail = wire.Errorf(wire.CodeUnavailable, "the disk is full")
	h := newHouse(t, rooms.Options{SFU: &notebook{}, Recorder: c})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	for range 2 {
		if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) }); r.code() != wire.CodeUnavailable {
			t.Errorf("%v", r.err)
		}
	}
	if n := boss.count(wire.KindRoom); n != 0 {
		t.Errorf("%d room frames", n)
	}
	for name, opts := range map[string]rooms.Options{"no recorder": {SFU: &notebook{}}, "no SFU": {Recorder: c}} {
		h := newHouse(t, opts)
		boss := h.enter(moderator("b1", "boss"), "call", nil)
		if r := ask(t, func(a rooms.Answer) { boss.Moderate(moderate(wire.ActionRecord), a) }); r.code() != wire.CodeNotFound {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}
