package rooms_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// from is id at an address.
func from(address string, id rooms.Identity) rooms.Identity {
	id.Address = netip.MustParsePrefix(address)
	return id
}

func (g *guest) bans(t *testing.T) []wire.Ban {
	t.Helper()
	r := ask(t, func(a rooms.Answer) { g.Bans(a) })
	list, ok := r.body.(wire.BanList)
	if !ok {
		t.Fatalf("bans: %v, %v", r.body, r.err)
	}
	return list.Bans
}

func ban(who wire.ParticipantID) wire.Moderate {
	return wire.Moderate{Action: wire.ActionBan, Participant: who}
}

func TestBans(t *testing.T) {
	const street, elsewhere = "203.0.113.7/32", "2001:db8:1:2::/64"
	h := newHouse(t, rooms.Options{})
	ann := h.enter(from(street, moderator("a1", "ann")), "r1", nil)
	bob := h.enter(from(street, guestPerson("b1", "bob")), "r1", nil)
	neighbour := h.enter(from(street, guestPerson("n1", "nia")), "r1", nil)
	if code := ann.moderates(t, ban("b1")); code != "" {
		t.Fatalf("ban: %s", code)
	}
	tests := []struct {
		who  rooms.Identity
		want wire.ErrorCode
	}{
		{from(elsewhere, guestPerson("b2", "bob")), wire.CodeForbidden},        // the user
		{from(street, guestPerson("b3", "bob-again")), wire.CodeForbidden},     // the address
		{from(elsewhere, guestPerson("c1", "cas")), ""},                        // another guest
		{from(street, person("d1", "dee")), ""},                                // an account at the address
		{from(street, guestPerson("n2", "nia")), ""},                           // who is in the meeting already
		{from("203.0.113.8/32", guestPerson("e1", "eve")), ""},                 // the next address
		{guestPerson("f1", "fay"), ""},                                         // of no known address
		{from(elsewhere, moderator("b4", "bob")), wire.CodeForbidden},          // a ban holds for every role
		{from(street, person("n3", "nia-with-another-account-there")), ""},     //
		{from(street, guestPerson("g1", "bob-once-more")), wire.CodeForbidden}, // still
	}
	for _, test := range tests {
		g, r := h.try(test.who, "r1", nil)
		if r.code() != test.want {
			t.Errorf("%s of %s: %q, want %q", test.who.Participant, test.who.User, r.code(), test.want)
		}
		if r.err == nil {
			ask(t, func(a rooms.Answer) { g.Leave(a) })
		}
	}
	if list := ann.bans(t); len(list) != 1 || list[0].User != "bob" || list[0].Name != "bob" || list[0].At == 0 {
		t.Errorf("bans: %+v", list)
	}
	if r := ask(t, func(a rooms.Answer) { neighbour.Bans(a) }); r.code() != wire.CodeForbidden {
		t.Errorf("a member saw the bans: %v", r.err)
	}
	if code := neighbour.moderates(t, wire.Moderate{Action: wire.ActionUnban, User: "bob"}); code != wire.CodeForbidden {
		t.Errorf("a member took a ban back: %q", code)
	}
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionUnban, User: "bob"}); code != "" {
		t.Errorf("unban: %q", code)
	}
	if code := ann.moderates(t, wire.Moderate{Action: wire.ActionUnban, User: "bob"}); code != wire.CodeNotFound {
		t.Errorf("unban again: %q", code)
	}
	h.enter(from(street, guestPerson("b5", "bob-again")), "r1", nil)
	if list := ann.bans(t); len(list) != 0 {
		t.Errorf("bans after unban: %+v", list)
	}
	_ = bob
}

// What is banned of an address ends with the meeting, and a private one, which may be a proxy's, is not banned.
func TestAddressBanEnds(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann := h.enter(moderator("a1", "ann"), "r1", nil)
	h.enter(from("203.0.113.7/32", guestPerson("b1", "bob")), "r1", nil)
	h.enter(from("10.0.0.1/32", guestPerson("c1", "cas")), "r1", nil)
	ann.moderates(t, ban("b1"))
	ann.moderates(t, ban("c1"))
	h.enter(from("10.0.0.1/32", guestPerson("c2", "cas-again")), "r1", nil)
	if _, r := h.try(from("203.0.113.7/32", guestPerson("b2", "bob-again")), "r1", nil); r.code() != wire.CodeForbidden {
		t.Errorf("in the same meeting: %v", r.err)
	}
	ann.moderates(t, moderate(wire.ActionEnd))
	h.enter(from("203.0.113.7/32", guestPerson("b2", "bob-again")), "r1", nil)
	if _, r := h.try(guestPerson("b3", "bob"), "r1", nil); r.code() != wire.CodeForbidden {
		t.Errorf("the user, in the next meeting: %v", r.err)
	}
}

// Bans of a room that was stored by an earlier version: the users alone.
func TestBansOfEarlierVersion(t *testing.T) {
	bubble(t, &memory{doc: []byte(`{"bans":["old",{"user":"new","name":"New","at":5}]}`)}, func(h *house) {
		ann := h.enter(moderator("a1", "ann"), "r1", nil)
		if list := ann.bans(h.t); len(list) != 2 || list[0] != (wire.Ban{User: "new", Name: "New", At: 5}) || list[1] != (wire.Ban{User: "old"}) {
			h.t.Errorf("bans: %+v", list)
		}
		if _, r := h.try(person("o1", "old"), "r1", nil); r.code() != wire.CodeForbidden {
			h.t.Errorf("banned by an earlier version: %v", r.err)
		}
	})
}

func TestCapacity(t *testing.T) {
	capacity := func(n int) wire.Moderate { return wire.Moderate{Action: wire.ActionCapacity, Capacity: n} }
	h := newHouse(t, rooms.Options{Capacity: 4, RoomCapacity: 2})
	host := h.enter(moderator("a1", "ann"), "r1", nil)
	h.enter(person("b1", "bob"), "r1", nil)
	if _, r := h.try(person("c1", "cas"), "r1", nil); r.code() != wire.CodeRoomFull {
		t.Errorf("a third in a room for two: %v", r.err)
	}
	if code := host.moderates(t, capacity(5)); code != wire.CodeConflict {
		t.Errorf("more than the server allows: %q", code)
	}
	if code := host.moderates(t, capacity(3)); code != "" {
		t.Errorf("capacity: %q", code)
	}
	h.enter(person("c1", "cas"), "r1", nil)
	if _, r := h.try(person("d1", "dee"), "r1", nil); r.code() != wire.CodeRoomFull {
		t.Errorf("a fourth in a room for three: %v", r.err)
	}
	if code := host.moderates(t, capacity(1)); code != "" { // who is inside stays
		t.Errorf("capacity below those inside: %q", code)
	}
	host.say("m1", "still here")
	guests := newHouse(t, rooms.Options{})
	if code := guests.enter(guestPerson("g1", "gus"), "r1", nil).moderates(t, capacity(1)); code != wire.CodeForbidden {
		t.Errorf("a guest who moderates set what outlives the meeting: %q", code)
	}
}

// Of many who come at once exactly as many get in as there are places, and a place that somebody leaves is given once.
func TestRoomFullAtOnce(t *testing.T) {
	const places, comers = 7, 40
	h := newHouse(t, rooms.Options{Capacity: places})
	var inside, full atomic.Int64
	var members sync.Map
	rush := func(round int) {
		var all sync.WaitGroup
		for i := range comers {
			all.Go(func() {
				id := fmt.Sprintf("p%d-%d", round, i)
				g, r := h.try(person(id, id), "r1", nil)
				switch r.code() {
				case "":
					inside.Add(1)
					members.Store(g, true)
				case wire.CodeRoomFull:
					full.Add(1)
				default:
					t.Errorf("join: %v", r.err)
				}
			})
		}
		all.Wait()
	}
	rush(1)
	if inside.Load() != places || full.Load() != comers-places {
		t.Errorf("%d came in and %d did not, of %d for %d places", inside.Load(), full.Load(), comers, places)
	}
	members.Range(func(g, _ any) bool {
		ask(t, func(a rooms.Answer) { g.(*guest).Leave(a) })
		return false
	})
	rush(2)
	if inside.Load() != places+1 {
		t.Errorf("%d came to one place", inside.Load()-places)
	}
}
