package rooms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a registry on a real log in a folder of the test's own.
type house struct {
	*rooms.Registry
	t *testing.T
}

func newHouse(t *testing.T, opts rooms.Options) *house {
	t.Helper()
	h, closeHouse := openHouse(t, t.TempDir(), opts)
	t.Cleanup(closeHouse)
	return h
}

func openHouse(t *testing.T, folder string, opts rooms.Options) (*house, func()) {
	t.Helper()
	log, err := bus.Open(t.Context(), bus.Options{DataDir: folder, History: opts.History})
	if err != nil {
		t.Fatal(err)
	}
	g := rooms.NewRegistry(log, opts)
	return &house{g, t}, sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// guest is a client at a room: what it was sent, and its answers.
type guest struct {
	t *testing.T
	*rooms.Member

	mu      sync.Mutex
	changed *sync.Cond
	frames  []wire.Envelope
	removed wire.RemovedReason
}

func (g *guest) Send(frame []byte, _ string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wire.Lines(frame, func(line []byte) bool {
		var e wire.Envelope
		if err := json.Unmarshal(line, &e); err != nil {
			g.t.Errorf("a frame that is no envelope: %v: %s", err, line)
		}
		g.frames = append(g.frames, e)
		return true
	})
	g.changed.Broadcast()
}

func (g *guest) SendJoined(frame []byte) { g.Send(frame, "") }

func (g *guest) Removed(_ wire.RoomID, why wire.RemovedReason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removed = why
	g.changed.Broadcast()
}

const patience = 20 * time.Second

// until waits for a condition over what the guest has; it fails the test after patience.
func (g *guest) until(what string, ok func() bool) {
	g.t.Helper()
	late := time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changed.Broadcast()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	g.mu.Lock()
	defer g.mu.Unlock()
	for !ok() {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not within %s; have %s", what, patience, kinds(g.frames))
		}
		g.changed.Wait()
	}
}

func kinds(frames []wire.Envelope) string {
	var b strings.Builder
	for _, e := range frames {
		fmt.Fprintf(&b, "%s#%d ", e.Type, e.Seq)
	}
	return b.String()
}

// next waits for the n-th frame (from 1) of a kind.
func (g *guest) next(kind wire.Kind, n int) wire.Envelope {
	g.t.Helper()
	var found wire.Envelope
	g.until(fmt.Sprintf("%s no. %d", kind, n), func() bool {
		count := 0
		for _, e := range g.frames {
			if e.Type == kind {
				if count++; count == n {
					found = e
					return true
				}
			}
		}
		return false
	})
	return found
}

func (g *guest) count(kind wire.Kind) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, e := range g.frames {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func body[T any](t *testing.T, e wire.Envelope) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(e.Data, &v); err != nil {
		t.Fatalf("body of %s: %v: %s", e.Type, err, e.Data)
	}
	return v
}

// reply is an answer that a test waits for.
type reply struct {
	body wire.ServerMessage
	err  error
}

// ask runs a request and returns its one answer.
func ask(t *testing.T, request func(rooms.Answer)) reply {
	t.Helper()
	answers := make(chan reply, 2)
	request(func(body wire.ServerMessage, err error) { answers <- reply{body, err} })
	select {
	case r := <-answers:
		return r
	case <-time.After(patience):
		t.Fatal("no answer")
		return reply{}
	}
}

func (r reply) code() wire.ErrorCode {
	if r.err == nil {
		return ""
	}
	return wire.AsError(r.err).Code
}

func (r reply) seq(t *testing.T) wire.Seq {
	t.Helper()
	ack, ok := r.body.(wire.Ack)
	if r.err != nil || !ok {
		t.Fatalf("answer is %v, %v", r.body, r.err)
	}
	return ack.Seq
}

func person(id, user string) rooms.Identity {
	return rooms.Identity{
		Participant: wire.ParticipantID(id), User: wire.UserID(user), Name: user, Kind: wire.Human,
		Role: wire.RoleMember, Grants: wire.RoleGrants(wire.RoleMember),
	}
}

func moderator(id, user string) rooms.Identity {
	p := person(id, user)
	p.Role, p.Grants = wire.RoleModerator, wire.RoleGrants(wire.RoleModerator)
	return p
}

func guestPerson(id, user string) rooms.Identity {
	p := person(id, user)
	p.Guest = true
	return p
}

// enter joins and fails the test when that is refused.
func (h *house) enter(id rooms.Identity, room wire.RoomID, since *wire.Cursor) *guest {
	h.t.Helper()
	g, r := h.try(id, room, since)
	if r.err != nil {
		h.t.Fatalf("join as %s: %v", id.Participant, r.err)
	}
	return g
}

func (h *house) try(id rooms.Identity, room wire.RoomID, since *wire.Cursor) (*guest, reply) {
	h.t.Helper()
	g := &guest{t: h.t}
	g.changed = sync.NewCond(&g.mu)
	r := ask(h.t, func(answer rooms.Answer) {
		g.Member = h.Join(id, room, "j1", wire.Join{Since: since}, g, answer)
	})
	return g, r
}

func (g *guest) say(id wire.RequestID, text string) wire.Seq {
	g.t.Helper()
	return g.stored(id, func(a rooms.Answer) { g.Chat(id, "", wire.Chat{Text: text}, a) })
}

// stored runs a request that is logged and returns its seq, from the answer or from the acknowledgement that came
// in one frame with the echo.
func (g *guest) stored(id wire.RequestID, request func(rooms.Answer)) wire.Seq {
	g.t.Helper()
	r := ask(g.t, request)
	if r.err != nil || r.body != nil {
		return r.seq(g.t)
	}
	var seq wire.Seq
	g.until("the acknowledgement of "+string(id), func() bool {
		for _, e := range g.frames {
			if e.Type == wire.KindAck && e.ID == id {
				seq = body[wire.Ack](g.t, e).Seq
				return true
			}
		}
		return false
	})
	return seq
}

func TestChatReachesEveryoneInOrder(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	const each = 50
	var wg sync.WaitGroup
	for _, g := range []*guest{ann, bob} {
		wg.Go(func() {
			for i := range each {
				g.say(wire.RequestID(fmt.Sprintf("%s-%d", g.User, i)), "hello")
			}
		})
	}
	wg.Wait()
	var views [2][]wire.Seq
	for i, g := range []*guest{ann, bob} {
		g.next(wire.KindChat, 2*each)
		last := wire.Seq(0)
		for _, e := range g.frames {
			if e.Type != wire.KindChat {
				continue
			}
			if e.Prev != last {
				t.Errorf("seq %d has prev %d, want %d", e.Seq, e.Prev, last)
			}
			last = e.Seq
			views[i] = append(views[i], e.Seq)
		}
	}
	if fmt.Sprint(views[0]) != fmt.Sprint(views[1]) {
		t.Errorf("two members saw different orders:\n%v\n%v", views[0], views[1])
	}
}

func TestRepeatIsHarmless(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	first := ann.say("m1", "once")
	ann.next(wire.KindChat, 1)
	r := ask(t, func(a rooms.Answer) { ann.Chat("m1", "", wire.Chat{Text: "once"}, a) })
	if ack := r.body.(wire.Ack); ack.Seq != first || !ack.Duplicate {
		t.Errorf("repeat answered %+v, want the first seq %d as a duplicate", ack, first)
	}
	if other := bob.say("m1", "another's same id"); other == first {
		t.Error("one user's id suppressed another's message")
	}
	bob.next(wire.KindChat, 2)
	if n := bob.count(wire.KindChat); n != 2 {
		t.Errorf("bob saw %d messages, want 2", n)
	}
}

func TestResume(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	joined := body[wire.Joined](t, bob.next(wire.KindJoined, 1))
	seen := ann.say("m1", "one")
	bob.next(wire.KindChat, 1)
	bob.Disconnect()
	ann.say("m2", "two")
	to := wire.ParticipantID("b1")
	if r := ask(t, func(a rooms.Answer) { ann.Signal(to, json.RawMessage(`{"generation":7,"candidate":null}`), a) }); r.err != nil {
		t.Fatalf("a signal to one who is reconnecting: %v", r.err)
	}
	status := body[wire.Presence](t, ann.next(wire.KindPresence, 2))
	if status.Participant.Status != wire.Reconnecting {
		t.Errorf("ann saw %+v", status)
	}
	again := h.enter(person("b1", "bob"), "r1", &wire.Cursor{Seq: seen, Epoch: joined.Epoch})
	resumed := body[wire.Joined](t, again.next(wire.KindJoined, 1))
	if !resumed.Recovered || len(resumed.History) != 1 {
		t.Errorf("recovered=%v with %d messages, want the one that was missed", resumed.Recovered, len(resumed.History))
	}
	signal := again.next(wire.KindSignal, 1)
	if signal.From != "a1" || !strings.Contains(string(signal.Data), `"candidate":null`) {
		t.Errorf("the waiting signal came as %+v %s", signal, signal.Data)
	}
	back := body[wire.Presence](t, ann.next(wire.KindPresence, 3))
	if back.Event != wire.PresenceUpdated || back.Participant.Status != wire.Online {
		t.Errorf("ann saw %+v", back)
	}
	if bob.count(wire.KindChat) != 1 {
		t.Error("the old connection still got messages")
	}
}

func TestEditsAndDeletes(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	mod := h.enter(moderator("m1", "mia"), "r1", nil)
	seq := ann.say("m1", "first words")
	ann.next(wire.KindChat, 1)
	tests := []struct {
		name    string
		request func(rooms.Answer)
		code    wire.ErrorCode
	}{
		{"another's message", func(a rooms.Answer) { bob.Edit("e1", "", wire.Edit{Message: seq, Text: "x"}, a) }, wire.CodeForbidden},
		{"no such message", func(a rooms.Answer) { ann.Edit("e2", "", wire.Edit{Message: seq + 999, Text: "x"}, a) }, wire.CodeNotFound},
		{"own", func(a rooms.Answer) { ann.Edit("e3", "", wire.Edit{Message: seq, Text: "better words"}, a) }, ""},
		{"a moderator's", func(a rooms.Answer) { mod.Edit("e4", "", wire.Edit{Message: seq, Text: "moderated words"}, a) }, ""},
		{"a reply to nothing", func(a rooms.Answer) { ann.Chat("e5", "", wire.Chat{Text: "x", ReplyTo: seq + 999}, a) }, wire.CodeNotFound},
		{"clear by a member", func(a rooms.Answer) { ann.Clear("e6", "", wire.Clear{}, a) }, wire.CodeForbidden},
		{"a reaction", func(a rooms.Answer) {
			bob.React("e7", "", wire.Reaction{Message: seq, Emoji: "👍", On: true}, a)
		}, ""},
		{"delete another's", func(a rooms.Answer) { bob.Delete("e8", "", wire.Delete{Message: seq}, a) }, wire.CodeForbidden},
		{"delete own", func(a rooms.Answer) { ann.Delete("e9", "", wire.Delete{Message: seq}, a) }, ""},
		{"delete own, repeated", func(a rooms.Answer) { ann.Delete("e9", "", wire.Delete{Message: seq}, a) }, ""},
	}
	for _, tt := range tests {
		if r := ask(t, tt.request); r.code() != tt.code {
			t.Errorf("%s: %v, want code %q", tt.name, r.err, tt.code)
		}
	}
	bob.next(wire.KindDelete, 1)
	late := h.enter(person("c1", "cas"), "r1", nil)
	window := body[wire.Joined](t, late.next(wire.KindJoined, 1)).History
	if len(window) != 1 {
		t.Fatalf("window has %d messages", len(window))
	}
	if c := body[wire.ChatRecord](t, window[0]); !c.Deleted || c.Text != "" || window[0].Author.User != "ann" {
		t.Errorf("the deleted message is %+v by %v", c, window[0].Author)
	}
}

func TestStateReachesOthers(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	on := true
	ask(t, func(a rooms.Answer) { ann.SetMedia(wire.SetMedia{Camera: &on, Hand: &on}, a) })
	if s := body[wire.Media](t, bob.next(wire.KindMediaState, 1)); !s.Camera || !s.Hand || s.Microphone {
		t.Errorf("media-state = %+v", s)
	}
	ask(t, func(a rooms.Answer) { ann.Typing("", wire.Typing{Typing: true}, a) })
	if s := bob.next(wire.KindTyping, 1); s.From != "a1" || !body[wire.Typing](t, s).Typing {
		t.Errorf("typing = %+v", s)
	}
	seq := ann.say("m1", "done")
	if body[wire.Typing](t, bob.next(wire.KindTyping, 2)).Typing {
		t.Error("a sent message did not clear typing")
	}
	bob.next(wire.KindChat, 1)
	ask(t, func(a rooms.Answer) { bob.Read("", wire.Read{Seq: seq}, a) })
	if s := ann.next(wire.KindRead, 1); body[wire.Read](t, s).Seq != seq || s.From != "b1" {
		t.Errorf("read = %+v", s)
	}
	if r := ask(t, func(a rooms.Answer) { bob.Read("", wire.Read{Seq: seq + 1000}, a) }); r.code() != wire.CodeNotFound {
		t.Errorf("reading what is not there: %v", r.err)
	}
	viewer := person("v1", "vic")
	viewer.Role, viewer.Grants = wire.RoleViewer, wire.RoleGrants(wire.RoleViewer)
	vic := h.enter(viewer, "r1", nil)
	if r := ask(t, func(a rooms.Answer) { vic.SetMedia(wire.SetMedia{Camera: &on}, a) }); r.code() != wire.CodeForbidden {
		t.Errorf("a viewer's camera: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { vic.SetMedia(wire.SetMedia{Hand: &on}, a) }); r.err != nil {
		t.Errorf("a viewer's hand: %v", r.err)
	}
}

func TestModeration(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann := h.enter(guestPerson("a1", "ann"), "r1", nil)
	if role := body[wire.Joined](t, ann.next(wire.KindJoined, 1)).Role; role != wire.RoleModerator {
		t.Fatalf("the first guest is %s", role)
	}
	bob, bob2 := h.enter(guestPerson("b1", "bob"), "r1", nil), h.enter(guestPerson("b2", "bob"), "r1", nil)
	if role := body[wire.Joined](t, bob.next(wire.KindJoined, 1)).Role; role != wire.RoleMember {
		t.Fatalf("the second guest is %s", role)
	}
	do := func(g *guest, m wire.Moderate) wire.ErrorCode {
		return ask(t, func(a rooms.Answer) { g.Moderate(m, a) }).code()
	}
	if code := do(bob, wire.Moderate{Action: wire.ActionLock}); code != wire.CodeForbidden {
		t.Errorf("a member locked the room: %q", code)
	}
	if code := do(ann, wire.Moderate{Action: wire.ActionLock}); code != "" {
		t.Errorf("lock: %q", code)
	}
	bob.next(wire.KindRoom, 1)
	if _, r := h.try(guestPerson("c1", "cas"), "r1", nil); r.code() != wire.CodeRoomLocked {
		t.Errorf("a newcomer at a locked door: %v", r.err)
	}
	ask(t, func(a rooms.Answer) { bob.Leave(a) })
	h.enter(guestPerson("b3", "bob"), "r1", nil) // who was in may come back
	if code := do(ann, wire.Moderate{Action: wire.ActionKick, Participant: "b2"}); code != "" {
		t.Errorf("kick: %q", code)
	}
	bob2.until("removed", func() bool { return bob2.removed == wire.Kicked })
	if r := ask(t, func(a rooms.Answer) { bob2.Chat("x", "", wire.Chat{Text: "still here?"}, a) }); r.code() != wire.CodeNotJoined {
		t.Errorf("a kicked member wrote: %v", r.err)
	}
	do(ann, wire.Moderate{Action: wire.ActionUnlock})
	cas := h.enter(guestPerson("c1", "cas"), "r1", nil)
	if code := do(ann, wire.Moderate{Action: wire.ActionBan, Participant: "c1"}); code != "" {
		t.Errorf("ban: %q", code)
	}
	cas.until("removed", func() bool { return cas.removed == wire.Banned })
	if _, r := h.try(guestPerson("c2", "cas"), "r1", nil); r.code() != wire.CodeForbidden {
		t.Errorf("a banned person came back: %v", r.err)
	}
	if code := do(ann, wire.Moderate{Action: wire.ActionDemote, Participant: "a1"}); code != wire.CodeConflict {
		t.Errorf("the last moderator stepped down: %q", code)
	}
	if code := do(ann, wire.Moderate{Action: wire.ActionEnd}); code != "" {
		t.Errorf("end: %q", code)
	}
	ann.until("ended", func() bool { return ann.removed == wire.Ended })
}

func TestLargeRoomGathers(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	var all []*guest
	for i := range 210 {
		all = append(all, h.enter(person(fmt.Sprintf("p%03d", i), fmt.Sprintf("u%d", i)), "big", nil))
	}
	for i := range 20 {
		all[i].say(wire.RequestID(fmt.Sprint("m", i)), "x")
	}
	for _, g := range all {
		g.next(wire.KindChat, 20)
	}
	first := all[0]
	first.until("all others announced", func() bool {
		seen := map[wire.ParticipantID]bool{}
		for _, e := range first.frames {
			if e.Type == wire.KindPresence {
				var p wire.Presence
				if json.Unmarshal(e.Data, &p) == nil && p.Event == wire.PresenceJoined {
					seen[p.Participant.ID] = true
				}
			}
		}
		return len(seen) == 209 && !seen["p000"]
	})
}

func TestRoomFull(t *testing.T) {
	h := newHouse(t, rooms.Options{Capacity: 1})
	h.enter(person("a1", "ann"), "r1", nil)
	if _, r := h.try(person("b1", "bob"), "r1", nil); r.code() != wire.CodeRoomFull {
		t.Errorf("a second person in a room for one: %v", r.err)
	}
}

func TestClosedRegistryRefuses(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann := h.enter(person("a1", "ann"), "r1", nil)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, r := h.try(person("b1", "bob"), "r1", nil); r.code() != wire.CodeUnavailable {
		t.Errorf("join after close: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { ann.Chat("x", "", wire.Chat{Text: "x"}, a) }); r.err == nil {
		t.Error("a message was taken after close")
	}
}

// Silence ends typing after wire.TypingTimeout, and a lost session after wire.ReconnectWindow.
func TestSilenceEnds(t *testing.T) {
	t.Parallel() // it waits for the real clock: the log under the room is a real one
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	ask(t, func(a rooms.Answer) { bob.Typing("", wire.Typing{Typing: true}, a) })
	if body[wire.Typing](t, ann.next(wire.KindTyping, 2)).Typing {
		t.Error("typing did not end")
	}
	bob.Disconnect()
	gone := body[wire.Presence](t, ann.next(wire.KindPresence, 3))
	if gone.Event != wire.PresenceLeft || gone.Reason != "lost" {
		t.Errorf("after the window ann saw %+v", gone)
	}
}

// What a room is and what was said in it outlive the process; what was deleted does not.
func TestRestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	h, closeHouse := openHouse(t, folder, rooms.Options{})
	ann, bob := h.enter(guestPerson("a1", "ann"), "r1", nil), h.enter(guestPerson("b1", "bob"), "r1", nil)
	epoch := body[wire.Joined](t, ann.next(wire.KindJoined, 1)).Epoch
	seen := ann.say("m1", "words that stay")
	gone := ann.say("m2", "words-that-must-vanish")
	ann.next(wire.KindChat, 2)
	ask(t, func(a rooms.Answer) {
		ann.Edit("m3", "", wire.Edit{Message: gone, Text: "words-that-must-vanish too"}, a)
	})
	ann.next(wire.KindEdit, 1)
	ask(t, func(a rooms.Answer) { ann.Delete("m4", "", wire.Delete{Message: gone}, a) })
	ann.next(wire.KindDelete, 1)
	ask(t, func(a rooms.Answer) { ann.Moderate(wire.Moderate{Action: wire.ActionLock}, a) })
	until(t, "the deleted text is gone from storage", func() bool { return !stored(t, folder, "words-that-must-vanish") })
	closeHouse()
	_ = bob

	h, closeHouse = openHouse(t, folder, rooms.Options{})
	defer closeHouse()
	if _, r := h.try(guestPerson("c1", "cas"), "r1", nil); r.code() != wire.CodeRoomLocked {
		t.Errorf("the lock did not survive: %v", r.err)
	}
	back := h.enter(guestPerson("b1", "bob"), "r1", &wire.Cursor{Seq: seen, Epoch: epoch})
	joined := body[wire.Joined](t, back.next(wire.KindJoined, 1))
	if !joined.Recovered || joined.Epoch != epoch || len(joined.History) != 2 {
		t.Errorf("resume over a restart: recovered=%v, %d messages", joined.Recovered, len(joined.History))
	}
	if c := body[wire.ChatRecord](t, joined.History[0]); !c.Deleted {
		t.Errorf("the erased message came back as %+v", c)
	}
	boss := h.enter(guestPerson("a1", "ann"), "r1", nil)
	again := body[wire.Joined](t, boss.next(wire.KindJoined, 1))
	if again.Role != wire.RoleModerator || !*again.Room.Locked {
		t.Errorf("after the restart: role %s, locked %v", again.Role, *again.Room.Locked)
	}
	if len(again.History) != 2 || !strings.Contains(string(again.History[0].Data), "words that stay") {
		t.Errorf("the window has %d messages", len(again.History))
	}
	cleared := boss.stored("m5", func(a rooms.Answer) { boss.Clear("m5", "", wire.Clear{}, a) })
	if e := back.next(wire.KindClear, 1); e.Seq != cleared {
		t.Errorf("clear came as seq %d, want %d", e.Seq, cleared)
	}
	until(t, "the cleared text is gone from storage", func() bool { return !stored(t, folder, "words that stay") })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

// stored reports whether text stands in any file under folder.
func stored(t *testing.T, folder, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go while the log runs
		}
		data, err := os.ReadFile(path)
		found = found || err == nil && bytes.Contains(data, []byte(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A join that an older connection had under way must not take the place of the newer one.
func TestOlderConnectionStaysOut(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	newer, older := person("a1", "ann"), person("a1", "ann")
	newer.Connection, older.Connection = 2, 1
	ann := h.enter(newer, "r1", nil)
	if _, r := h.try(older, "r1", nil); r.code() != wire.CodeConflict {
		t.Errorf("the older connection joined: %v", r.err)
	}
	ann.say("m1", "still here")
	ann.next(wire.KindChat, 1)
}

// A member whose new token is not for the room is put out.
func TestExpel(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	bob.Expel()
	bob.until("put out", func() bool { return bob.removed == wire.Denied })
	if p := body[wire.Presence](t, ann.next(wire.KindPresence, 2)); p.Event != wire.PresenceLeft {
		t.Errorf("ann saw %+v", p)
	}
}
