package rooms_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// knocker is one who asks to be let in; answer gets what its join comes to.
type knocker struct {
	*guest
	answer chan reply
}

func (h *house) knock(id rooms.Identity, room wire.RoomID) *knocker {
	h.t.Helper()
	k := &knocker{guest: &guest{t: h.t}, answer: make(chan reply, 2)}
	k.changed = sync.NewCond(&k.mu)
	k.Member = h.Join(id, room, "k1", wire.Join{Knock: true}, k.guest, func(body wire.ServerMessage, err error) {
		k.answer <- reply{body, err}
	})
	return k
}

func (k *knocker) answered() reply {
	k.t.Helper()
	select {
	case r := <-k.answer:
		return r
	case <-time.After(patience):
		k.t.Fatal("the join was not answered")
		return reply{}
	}
}

// waits fails the test if the join has been answered; the room has done all that was asked before.
func (k *knocker) waits() {
	k.t.Helper()
	select {
	case r := <-k.answer:
		k.t.Errorf("the join was answered: %v, %v", r.body, r.err)
	default:
	}
}

// door waits until the last that g was told of who waits is want.
func (g *guest) door(want ...wire.ParticipantID) {
	g.t.Helper()
	var last []wire.ParticipantID
	g.until(fmt.Sprintf("%v at the door", want), func() bool {
		last = nil
		for _, e := range g.frames {
			if e.Type != wire.KindRoom {
				continue
			}
			if info := body[wire.RoomInfo](g.t, e); info.Knocking != nil {
				last = nil
				for _, p := range info.Knocking {
					last = append(last, p.ID)
				}
			}
		}
		return slices.Equal(last, want)
	})
}

func (g *guest) moderates(t *testing.T, m wire.Moderate) wire.ErrorCode {
	t.Helper()
	return ask(t, func(a rooms.Answer) { g.Moderate(m, a) }).code()
}

// locked is a room with a moderator, a member, and a locked door.
func locked(t *testing.T, opts rooms.Options) (*house, *guest, *guest) {
	t.Helper()
	h := newHouse(t, opts)
	ann, bob := h.enter(moderator("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	if code := ann.moderates(t, moderate(wire.ActionLock)); code != "" {
		t.Fatalf("lock: %s", code)
	}
	return h, ann, bob
}

func TestAdmit(t *testing.T) {
	h, ann, bob := locked(t, rooms.Options{})
	cas := h.knock(person("c1", "cas"), "r1")
	ann.door("c1")
	dee := h.knock(person("d1", "dee"), "r1")
	ann.door("c1", "d1")
	if r := ask(t, func(a rooms.Answer) { cas.Chat("x", "", wire.Chat{Text: "let me in"}, a) }); r.code() != wire.CodeNotJoined {
		t.Errorf("from outside the door: %v", r.err)
	}
	if code := bob.moderates(t, wire.Moderate{Action: wire.ActionAdmit, Participant: "c1"}); code != wire.CodeForbidden {
		t.Errorf("a member admitted: %q", code)
	}
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionAdmit, Participant: "e1"}); code != wire.CodeNotFound {
		t.Errorf("nobody was admitted: %q", code)
	}
	cas.waits()
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionAdmit, Participant: "c1"}); code != "" {
		t.Errorf("admit: %q", code)
	}
	if r := cas.answered(); r.err != nil {
		t.Fatalf("the admitted one: %v", r.err)
	}
	if e := cas.next(wire.KindJoined, 1); e.ID != "k1" || body[wire.Joined](t, e).Room.Knocking != nil {
		t.Errorf("the admitted one, no moderator, got %+v", e)
	}
	bob.next(wire.KindPresence, 1)
	ann.door("d1")
	dee.waits()
	for _, e := range bob.frames {
		if e.Type == wire.KindRoom && body[wire.RoomInfo](t, e).Knocking != nil {
			t.Errorf("a member was told who waits: %s", e.Data)
		}
	}
	// Who was let in may come back, and does not wait.
	ask(t, func(a rooms.Answer) { cas.Leave(a) })
	h.enter(person("c2", "cas"), "r1", nil)
	if _, r := h.try(person("e1", "eve"), "r1", nil); r.code() != wire.CodeRoomLocked {
		t.Errorf("without a knock: %v", r.err)
	}
}

func TestDeny(t *testing.T) {
	h, ann, _ := locked(t, rooms.Options{})
	one, two, other := h.knock(person("c1", "cas"), "r1"), h.knock(person("c2", "cas"), "r1"), h.knock(person("d1", "dee"), "r1")
	ann.door("c1", "c2", "d1")
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionDeny, Participant: "c2"}); code != "" {
		t.Errorf("deny: %q", code)
	}
	for _, k := range []*knocker{one, two} {
		if r := k.answered(); r.err != nil || r.body != nil {
			t.Errorf("the denied one: %v, %v", r.body, r.err)
		}
		if e := k.next(wire.KindRemoved, 1); e.ID != "k1" || body[wire.Removed](t, e).Reason != wire.Denied || k.removed != wire.Denied {
			t.Errorf("the denied one was told %+v", e)
		}
	}
	ann.door("d1")
	other.waits()
	// Nothing keeps them from asking again, but a ban.
	again := h.knock(person("c1", "cas"), "r1")
	ann.door("d1", "c1")
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionBan, Participant: "c1"}); code != "" {
		t.Errorf("ban at the door: %q", code)
	}
	again.answered()
	if again.removed != wire.Banned {
		t.Errorf("banned at the door, and told %q", again.removed)
	}
	if r := h.knock(person("c1", "cas"), "r1").answered(); r.code() != wire.CodeForbidden {
		t.Errorf("a banned one knocks: %v", r.err)
	}
}

// What happens to the room while somebody waits.
func TestDoorFollowsTheRoom(t *testing.T) {
	admit := func(who wire.ParticipantID) wire.Moderate {
		return wire.Moderate{Action: wire.ActionAdmit, Participant: who}
	}
	t.Run("moderators come and go", func(t *testing.T) {
		h, ann, bob := locked(t, rooms.Options{})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		ask(t, func(a rooms.Answer) { ann.Leave(a) })
		cas.waits()
		zoe := h.enter(moderator("z1", "zoe"), "r1", nil)
		if at := body[wire.Joined](t, zoe.next(wire.KindJoined, 1)).Room.Knocking; len(at) != 1 || at[0].Name != "cas" {
			t.Errorf("a moderator who comes later sees %+v", at)
		}
		zoe.moderates(t, wire.Moderate{Action: wire.ActionPromote, Participant: "b1"})
		bob.door("c1")
		zoe.moderates(t, wire.Moderate{Action: wire.ActionDemote, Participant: "b1"})
		bob.door()
		if code := zoe.moderates(t, admit("c1")); code != "" || cas.answered().err != nil {
			t.Errorf("admit: %q", code)
		}
	})
	t.Run("unlocked", func(t *testing.T) {
		h, ann, _ := locked(t, rooms.Options{})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		ann.moderates(t, moderate(wire.ActionUnlock))
		if r := cas.answered(); r.err != nil {
			t.Errorf("when the door opened: %v", r.err)
		}
		ann.door()
	})
	t.Run("ended", func(t *testing.T) {
		h, ann, _ := locked(t, rooms.Options{})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		ann.moderates(t, moderate(wire.ActionEnd))
		if cas.answered(); cas.removed != wire.Ended {
			t.Errorf("when the meeting was ended: %q", cas.removed)
		}
	})
	t.Run("full", func(t *testing.T) {
		h, ann, bob := locked(t, rooms.Options{Capacity: 2})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		if code := ann.moderates(t, admit("c1")); code != wire.CodeRoomFull {
			t.Errorf("admitted into a full room: %q", code)
		}
		cas.waits()
		ask(t, func(a rooms.Answer) { bob.Leave(a) })
		cas.waits() // the place is free, but nobody has let them in
		if code := ann.moderates(t, admit("c1")); code != "" || cas.answered().err != nil {
			t.Errorf("admitted into a room with a place: %q", code)
		}
	})
	t.Run("a new token", func(t *testing.T) {
		h, ann, _ := locked(t, rooms.Options{})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		cas.Update(moderator("c1", "cas"))
		if r := cas.answered(); r.err != nil {
			t.Errorf("as a moderator: %v", r.err)
		}
	})
	t.Run("the server goes down", func(t *testing.T) {
		h, ann, _ := locked(t, rooms.Options{})
		cas := h.knock(person("c1", "cas"), "r1")
		ann.door("c1")
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := cas.answered(); r.code() != wire.CodeUnavailable {
			t.Errorf("the one who waits: %v", r.err)
		}
	})
}

// Who waits keeps the place through a lost connection, and gives it up by leaving.
func TestKnockerReconnects(t *testing.T) {
	h, ann, _ := locked(t, rooms.Options{})
	first := person("c1", "cas")
	first.Connection = 1
	cas := h.knock(first, "r1")
	ann.door("c1")
	h.knock(person("d1", "dee"), "r1")
	ann.door("c1", "d1")
	cas.Disconnect()
	second := first
	second.Connection = 2
	back := h.knock(second, "r1")
	if r := cas.answered(); r.code() != wire.CodeConflict {
		t.Errorf("the join of the lost connection: %v", r.err)
	}
	ann.door("c1", "d1")
	if r := h.knock(first, "r1").answered(); r.code() != wire.CodeConflict {
		t.Errorf("the older connection came again: %v", r.err)
	}
	// Admitted while the connection is lost: it comes in when it is back.
	back.Disconnect()
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionAdmit, Participant: "c1"}); code != "" {
		t.Errorf("admit: %q", code)
	}
	third := first
	third.Connection = 3
	if r := h.knock(third, "r1").answered(); r.err != nil {
		t.Errorf("back after having been admitted: %v", r.err)
	}
	ann.door("d1")
	eve := h.knock(person("e1", "eve"), "r1")
	ann.door("d1", "e1")
	if r := ask(t, func(a rooms.Answer) { eve.Leave(a) }); r.err != nil {
		t.Errorf("leaving the door: %v", r.err)
	}
	if r := eve.answered(); r.code() != wire.CodeCancelled {
		t.Errorf("the join of one who left: %v", r.err)
	}
	ann.door("d1")
}

func TestDoorBounds(t *testing.T) {
	h, ann, _ := locked(t, rooms.Options{})
	for i := range wire.MaxKnocksPerUser {
		h.knock(person(fmt.Sprint("c", i), "cas"), "r1")
	}
	if r := h.knock(person("c9", "cas"), "r1").answered(); r.code() != wire.CodeConflict {
		t.Errorf("one knock too many of a user: %v", r.err)
	}
	for i := range wire.MaxKnocking - wire.MaxKnocksPerUser {
		h.knock(person(fmt.Sprint("p", i), fmt.Sprint("u", i)), "r1")
	}
	if r := h.knock(person("q1", "quu"), "r1").answered(); r.code() != wire.CodeRoomFull {
		t.Errorf("one knock too many: %v", r.err)
	}
	ann.until("everyone at the door is told of", func() bool {
		last := ann.frames[len(ann.frames)-1]
		return last.Type == wire.KindRoom && len(body[wire.RoomInfo](t, last).Knocking) == wire.MaxKnocking
	})
}

// memory is a log without records: what is looked at is time, which a real log would hold up.
type memory struct {
	rooms.Log
	mu  sync.Mutex
	doc []byte
}

func (*memory) Open(context.Context, rooms.Timeline, rooms.Feed) (rooms.Tail, func(), error) {
	return rooms.Tail{Epoch: "e"}, func() {}, nil
}

func (m *memory) LoadState(context.Context, wire.RoomID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc, nil
}

func (m *memory) SaveState(_ context.Context, _ wire.RoomID, doc []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doc = doc
	return nil
}

// bubble runs fn with a house whose time is the test's.
func bubble(t *testing.T, log *memory, fn func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{rooms.NewRegistry(log, rooms.Options{}), t}
		fn(h)
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestKnockTakesItsTime(t *testing.T) {
	bubble(t, &memory{}, func(h *house) {
		ann := h.enter(moderator("a1", "ann"), "r1", nil)
		ann.moderates(h.t, moderate(wire.ActionLock))
		cas := h.knock(person("c1", "cas"), "r1")
		time.Sleep(wire.KnockTimeout - time.Second)
		synctest.Wait()
		cas.waits()
		second := person("c1", "cas")
		second.Connection = 2
		back := h.knock(second, "r1") // its time counts from when it came first
		cas.answered()
		time.Sleep(time.Second)
		synctest.Wait()
		if r := back.answered(); r.code() != wire.CodeTimeout {
			h.t.Errorf("after %s: %v", wire.KnockTimeout, r.err)
		}
		ann.door()
		dee := h.knock(person("d1", "dee"), "r1")
		ann.door("d1")
		dee.Disconnect()
		time.Sleep(wire.ReconnectWindow + time.Second)
		synctest.Wait()
		if r := dee.answered(); r.code() != wire.CodeCancelled {
			h.t.Errorf("a connection that stays lost: %v", r.err)
		}
		ann.door()
	})
}

// Whoever is alone in a locked room may reload the page: nobody slips in meanwhile, and who waits goes on waiting.
func TestLockedRoomStandsEmpty(t *testing.T) {
	bubble(t, &memory{}, func(h *house) {
		ann := h.enter(guestPerson("a1", "ann"), "r1", nil)
		ann.moderates(h.t, moderate(wire.ActionLock))
		cas := h.knock(guestPerson("c1", "cas"), "r1")
		ann.door("c1")
		ask(h.t, func(a rooms.Answer) { ann.Leave(a) })
		time.Sleep(wire.ReconnectWindow - time.Second)
		synctest.Wait()
		cas.waits()
		if _, r := h.try(guestPerson("d1", "dee"), "r1", nil); r.code() != wire.CodeRoomLocked {
			h.t.Errorf("a newcomer at the locked room: %v", r.err)
		}
		ann = h.enter(guestPerson("a2", "ann"), "r1", nil)
		if j := body[wire.Joined](h.t, ann.next(wire.KindJoined, 1)); j.Role != wire.RoleModerator || len(j.Room.Knocking) != 1 || !*j.Room.Locked {
			h.t.Errorf("back after a moment: %s, %+v", j.Role, j.Room)
		}
		ask(h.t, func(a rooms.Answer) { ann.Leave(a) })
		time.Sleep(wire.ReconnectWindow + time.Second)
		synctest.Wait()
		if r := cas.answered(); r.err != nil {
			h.t.Errorf("when the meeting was over: %v", r.err)
		}
		if j := body[wire.Joined](h.t, cas.next(wire.KindJoined, 1)); j.Role != wire.RoleModerator || *j.Room.Locked {
			h.t.Errorf("first in a new meeting: %s, locked %v", j.Role, *j.Room.Locked)
		}
	})
}

// A room that was locked before a restart, and to which nobody comes back, does not keep people waiting.
func TestLockOfLastProcessEnds(t *testing.T) {
	bubble(t, &memory{doc: []byte(`{"locked":true,"admitted":["ann"]}`)}, func(h *house) {
		cas := h.knock(person("c1", "cas"), "r1")
		time.Sleep(50 * time.Second)
		synctest.Wait()
		cas.waits()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if r := cas.answered(); r.err != nil {
			h.t.Errorf("after the time to come back: %v", r.err)
		}
	})
}
