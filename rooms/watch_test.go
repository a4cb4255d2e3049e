package rooms_test

import (
	"errors"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// watch asks for a hold and returns it with the answer.
func (h *house) watch(id rooms.Identity, room wire.RoomID, of wire.ParticipantID) (*rooms.Watch, error) {
	h.t.Helper()
	answered := make(chan error, 1)
	w := h.Watch(id, room, of, func(_ wire.ServerMessage, err error) { answered <- err })
	return w, <-answered
}

func wantCode(t *testing.T, err error, code wire.ErrorCode) {
	t.Helper()
	if problem, ok := errors.AsType[*wire.Error](err); !ok || problem.Code != code {
		t.Errorf("%v; want %s", err, code)
	}
}

func isGone(w *rooms.Watch) bool {
	select {
	case <-w.Gone():
		return true
	case <-time.After(patience):
		return false
	}
}

func TestWatch(t *testing.T) {
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 2, BackToMesh: time.Millisecond})
	viewer := person("", "vera")
	_, err := h.watch(viewer, "call", "a1")
	wantCode(t, err, wire.CodeNotFound)
	ada := h.enter(person("a1", "ada"), "call", nil)
	_, err = h.watch(viewer, "call", "b1")
	wantCode(t, err, wire.CodeNotFound)

	w, err := h.watch(viewer, "call", "a1")
	if err != nil {
		t.Fatal(err)
	}
	if got := ada.mode(t, 1); got.Mode != wire.SFU || got.Reason != "a viewer" {
		t.Errorf("somebody watches: %+v", got)
	}
	w.Leave()
	w.Leave()
	if got := ada.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("nobody watches any more: %+v", got)
	}
	if !isGone(w) || ada.count(wire.KindPresence) != 0 {
		t.Errorf("after it has left; ada saw %d changes of presence", ada.count(wire.KindPresence))
	}

	w, err = h.watch(viewer, "call", "a1")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, ada.Leave)
	if !isGone(w) {
		t.Error("whom it watched has left, and it has not been told")
	}
	w.Leave()
}

// What keeps people out of a room keeps viewers out too.
func TestWatchObeys(t *testing.T) {
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 2})
	boss := person("a1", "ada")
	boss.Role = wire.RoleModerator
	ada := h.enter(boss, "call", nil)
	h.enter(person("v1", "vera"), "call", nil)
	w, err := h.watch(person("", "vera"), "call", "a1")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, func(a rooms.Answer) { ada.Moderate(wire.Moderate{Action: wire.ActionBan, Participant: "v1"}, a) })
	if !isGone(w) {
		t.Error("its person is banned, and it watches on")
	}
	_, err = h.watch(person("", "vera"), "call", "a1")
	wantCode(t, err, wire.CodeForbidden)
	ask(t, func(a rooms.Answer) { ada.Moderate(wire.Moderate{Action: wire.ActionLock}, a) })
	_, err = h.watch(person("", "linus"), "call", "a1")
	wantCode(t, err, wire.CodeRoomLocked)
}

func TestWatchWithoutSFU(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	h.enter(person("a1", "ada"), "call", nil)
	_, err := h.watch(person("", "vera"), "call", "a1")
	wantCode(t, err, wire.CodeNotFound)
}
