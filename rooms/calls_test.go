package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// notebook is an SFU that does nothing but note what rooms say.
type notebook struct {
	mu    sync.Mutex
	notes []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, fmt.Sprintf(format, args...))
}

func (n *notebook) has(line string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.notes, line)
}

func (n *notebook) Signal(room wire.RoomID, from wire.ParticipantID, grants wire.Grants, msg wire.Signal, answer func(wire.ServerMessage, error)) {
	n.note("signal %s %s %s %t", room, from, msg.Description.Type, grants.Subscribe)
	answer(wire.Ack{}, nil)
}

func (n *notebook) Subscribe(room wire.RoomID, from wire.ParticipantID, _ wire.Grants, msg wire.SubscribeMedia, answer func(wire.ServerMessage, error)) {
	n.note("subscribe %s %s %s/%s", room, from, msg.Participant, msg.Source)
	answer(wire.Ack{}, nil)
}

func (n *notebook) SetGrants(room wire.RoomID, of wire.ParticipantID, grants wire.Grants) {
	n.note("grants %s %s %v", room, of, grants.Publish)
}

func (n *notebook) Leave(room wire.RoomID, who wire.ParticipantID) { n.note("leave %s %s", room, who) }

var offer = wire.Signal{Description: &wire.SessionDescription{Type: "offer"}}

func screen(on bool) wire.SetMedia { return wire.SetMedia{Screen: &on} }

func (g *guest) mode(t *testing.T, n int) wire.MediaMode {
	t.Helper()
	return body[wire.MediaMode](t, g.next(wire.KindMediaMode, n))
}

func TestModeFollowsWhatTheRoomNeeds(t *testing.T) {
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 2, BackToMesh: time.Millisecond})
	ada := h.enter(person("a1", "ada"), "call", nil)
	first := body[wire.Joined](t, ada.next(wire.KindJoined, 1))
	if first.Media.Mode != wire.Mesh || !first.Media.SFU || first.Room.Mode != wire.Mesh {
		t.Errorf("alone: %+v, room %+v", first.Media, first.Room)
	}
	grace := h.enter(person("g1", "grace"), "call", nil)

	ask(t, func(a rooms.Answer) { grace.SetMedia(screen(true), a) })
	if got := ada.mode(t, 1); got.Mode != wire.SFU || got.Reason != "screen" {
		t.Errorf("a screen is shared: %+v", got)
	}
	ask(t, func(a rooms.Answer) { grace.SetMedia(screen(false), a) })
	if got := ada.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("the share has ended: %+v", got)
	}

	linus := h.enter(person("l1", "linus"), "call", nil)
	if got := ada.mode(t, 3); got.Mode != wire.SFU || got.Reason != "more than 2 participants" {
		t.Errorf("three are there: %+v", got)
	}
	if got := body[wire.Joined](t, linus.next(wire.KindJoined, 1)); got.Media.Mode != wire.SFU || linus.count(wire.KindMediaMode) != 0 {
		t.Errorf("the third one: %+v and %d changes", got.Media, linus.count(wire.KindMediaMode))
	}
	ask(t, linus.Leave)
	if got := ada.mode(t, 4); got.Mode != wire.Mesh {
		t.Errorf("two are left: %+v", got)
	}

	ask(t, func(a rooms.Answer) { ada.RequestMode(wire.RequestMode{Mode: wire.SFU}, a) })
	if got := grace.mode(t, 5); got.Mode != wire.SFU || got.Reason != "unreachable" {
		t.Errorf("ada cannot reach grace: %+v", got)
	}
	// The room outlives her connection, and what she said with it.
	again := h.enter(rooms.Identity{Participant: "a1", User: "ada", Kind: wire.Human, Role: wire.RoleMember,
		Grants: wire.RoleGrants(wire.RoleMember), Connection: 1}, "call", nil)
	if got := body[wire.Joined](t, again.next(wire.KindJoined, 1)); got.Media.Mode != wire.SFU {
		t.Errorf("back again: %+v", got.Media)
	}
	ask(t, again.Leave)
	if got := grace.mode(t, 6); got.Mode != wire.Mesh {
		t.Errorf("grace is alone: %+v", got)
	}
}

// What leaves the mesh only for a moment changes nothing: the room waits before it goes back.
func TestModeWaitsBeforeItGoesBack(t *testing.T) {
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 2, BackToMesh: time.Hour})
	ada := h.enter(person("a1", "ada"), "call", nil)
	for range 3 {
		ask(t, func(a rooms.Answer) { ada.SetMedia(screen(true), a) })
		ask(t, func(a rooms.Answer) { ada.SetMedia(screen(false), a) })
	}
	ask(t, func(a rooms.Answer) { ada.SetMedia(screen(true), a) })
	ada.say("m1", "still here")
	ada.next(wire.KindChat, 1)
	if n := ada.count(wire.KindMediaMode); n != 1 {
		t.Errorf("%d changes of the mode; want 1", n)
	}
}

func TestIngressNeedsTheSFU(t *testing.T) {
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 4})
	camera := person("c1", "studio")
	camera.Kind = wire.Ingress
	g := h.enter(camera, "call", nil)
	if got := body[wire.Joined](t, g.next(wire.KindJoined, 1)); got.Media.Mode != wire.SFU {
		t.Errorf("with an ingress: %+v", got.Media)
	}
}

func TestSignalsForTheSFU(t *testing.T) {
	sfu := &notebook{}
	h := newHouse(t, rooms.Options{SFU: sfu})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	ada := h.enter(person("a1", "ada"), "call", nil)
	if r := ask(t, func(a rooms.Answer) { ada.SignalSFU(offer, a) }); r.err != nil || !sfu.has("signal call a1 offer true") {
		t.Errorf("an offer: %v, noted %q", r.err, sfu.notes)
	}
	watch := wire.SubscribeMedia{Participant: "b1", Source: wire.Camera, Enabled: true}
	if r := ask(t, func(a rooms.Answer) { ada.Subscribe(watch, a) }); r.err != nil || !sfu.has("subscribe call a1 b1/camera") {
		t.Errorf("a subscription: %v, noted %q", r.err, sfu.notes)
	}
	for enabled, code := range map[bool]wire.ErrorCode{true: wire.CodeNotFound, false: ""} {
		ghost := wire.SubscribeMedia{Participant: "ghost", Source: wire.Camera, Enabled: enabled}
		r := ask(t, func(a rooms.Answer) { ada.Subscribe(ghost, a) })
		if problem := wire.AsError(r.err); (problem == nil) != (code == "") || problem != nil && problem.Code != code || sfu.has("subscribe call a1 ghost/camera") {
			t.Errorf("a subscription of nobody, %t: %v, noted %q", enabled, r.err, sfu.notes)
		}
	}

	// What the SFU says comes from it, state only in its newest value.
	h.Deliver("call", "a1", wire.PublishMedia{Source: wire.Camera, Layers: 2})
	h.Deliver("call", "nobody", wire.PublishMedia{Source: wire.Camera})
	h.Deliver("elsewhere", "a1", wire.PublishMedia{Source: wire.Camera})
	got := ada.next(wire.KindPublishMedia, 1)
	if got.From != wire.TheSFU || got.To != "a1" || body[wire.PublishMedia](t, got).Layers != 2 {
		t.Errorf("from the SFU: %+v", got)
	}

	// Signals wait for one who is reconnecting.
	ada.Disconnect()
	h.Deliver("call", "a1", wire.Signal{Candidate: json.RawMessage("null"), Generation: 7})
	again := h.enter(rooms.Identity{Participant: "a1", User: "ada", Kind: wire.Human, Role: wire.RoleMember,
		Grants: wire.RoleGrants(wire.RoleMember), Connection: 1}, "call", nil)
	if got := body[wire.Signal](t, again.next(wire.KindSignal, 1)); got.Generation != 7 {
		t.Errorf("what waited: %+v", got)
	}
	if sfu.has("leave call a1") {
		t.Error("the SFU was told that one who is reconnecting has left")
	}

	// Grants follow the role.
	ask(t, func(a rooms.Answer) {
		boss.Moderate(wire.Moderate{Action: wire.ActionDemote, Participant: "a1"}, a)
	})
	if !sfu.has("grants call a1 []") {
		t.Errorf("demoted to a viewer, noted %q", sfu.notes)
	}
	ask(t, again.Leave)
	if !sfu.has("leave call a1") {
		t.Errorf("she has left, noted %q", sfu.notes)
	}
}

func TestWithoutSFU(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ada := h.enter(person("a1", "ada"), "call", nil)
	for name, request := range map[string]func(rooms.Answer){
		"signal":    func(a rooms.Answer) { ada.SignalSFU(offer, a) },
		"subscribe": func(a rooms.Answer) { ada.Subscribe(wire.SubscribeMedia{}, a) },
		"mode":      func(a rooms.Answer) { ada.RequestMode(wire.RequestMode{Mode: wire.SFU}, a) },
	} {
		if r := ask(t, request); r.code() != wire.CodeNotFound {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	ask(t, func(a rooms.Answer) { ada.SetMedia(screen(true), a) })
	if n := ada.count(wire.KindMediaMode); n != 0 {
		t.Errorf("%d changes of the mode", n)
	}
	if r := ask(t, ada.ICEServers); r.err != nil {
		t.Errorf("ice-servers: %v", r.err)
	}
}

func TestJoinedBearsTheParticipantsOwnICEServers(t *testing.T) {
	want := wire.ICEServers{TTL: 60, ICEServers: []wire.ICEServer{
		{URLs: []string{"stun:stun.example:3478"}},
		{URLs: []string{"turn:turn.example:3478?transport=udp", "turns:turn.example:5349"}, Username: `1:"a1"`, Credential: "s"},
	}}
	h := newHouse(t, rooms.Options{ICE: func(id wire.ParticipantID) wire.ICEServers {
		if id != "a1" {
			t.Errorf("asked for %s", id)
		}
		return want
	}})
	ada := h.enter(person("a1", "ada"), "call", nil)
	got := body[wire.Joined](t, ada.next(wire.KindJoined, 1)).Media
	if fmt.Sprint(got.ICEServers) != fmt.Sprint(want.ICEServers) || got.TTL != 60 || got.SFU {
		t.Errorf("joined has %+v; want %+v", got, want)
	}
}

// What a moderator mutes of an encoder stays off when its user publishes again, until a moderator unmutes it or the
// meeting ends. A person turns on again what is theirs.
func TestMutedEncoder(t *testing.T) {
	sfu := &notebook{}
	h := newHouse(t, rooms.Options{SFU: sfu, MeshMax: 4, BackToMesh: 1})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	do := func(g *guest, action wire.Action, whom wire.ParticipantID, source wire.Source) reply {
		t.Helper()
		return ask(t, func(a rooms.Answer) {
			g.Moderate(wire.Moderate{Action: action, Participant: whom, Source: source}, a)
		})
	}
	on := true
	publish := func(g *guest, media wire.SetMedia) wire.ErrorCode {
		t.Helper()
		return ask(t, func(a rooms.Answer) { g.SetMedia(media, a) }).code()
	}
	encoder := func(id string) rooms.Identity {
		e := person(id, "obs")
		e.Kind = wire.Ingress
		return e
	}
	first := h.enter(encoder("e1"), "call", nil)
	if code := publish(first, wire.SetMedia{Microphone: &on, Camera: &on, Screen: &on}); code != "" {
		t.Fatal(code)
	}
	if r := do(first, wire.ActionMute, "b1", ""); r.code() != wire.CodeForbidden {
		t.Errorf("a member mutes: %v", r.err)
	}
	for _, c := range []struct {
		source wire.Source
		grants string
	}{
		{"", "[camera screen screen-audio]"}, {wire.Screen, "[camera]"},
	} {
		if r := do(boss, wire.ActionMute, "e1", c.source); r.err != nil || !sfu.has("grants call e1 "+c.grants) {
			t.Fatalf("mute %q: %v; the SFU has heard %v", c.source, r.err, sfu.notes)
		}
	}
	if r := do(boss, wire.ActionMute, "e1", wire.ScreenAudio); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("the sound of a screen that is muted: %+v", r)
	}
	if code := publish(first, wire.SetMedia{Microphone: &on}); code != wire.CodeForbidden {
		t.Errorf("it turns itself on: %q", code)
	}
	ask(t, func(a rooms.Answer) { first.Leave(a) })

	second := h.enter(encoder("e2"), "call", nil)
	if !sfu.has("grants call e2 [camera]") {
		t.Errorf("who comes again: the SFU has heard %v", sfu.notes)
	}
	if code := publish(second, wire.SetMedia{Microphone: &on}); code != wire.CodeForbidden {
		t.Errorf("it comes again and turns itself on: %q", code)
	}
	if r := do(boss, wire.ActionUnmute, "e2", ""); r.err != nil || !sfu.has("grants call e2 [microphone camera]") {
		t.Errorf("unmute: %v; the SFU has heard %v", r.err, sfu.notes)
	}
	if r := do(boss, wire.ActionUnmute, "e2", ""); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("unmute again: %+v", r)
	}
	if code := publish(second, wire.SetMedia{Microphone: &on}); code != "" {
		t.Errorf("unmuted, it is still off: %q", code)
	}

	ada := h.enter(person("a1", "ada"), "call", nil)
	for range 2 {
		if code := publish(ada, wire.SetMedia{Microphone: &on}); code != "" {
			t.Errorf("a person: %q", code)
		}
		if r := do(boss, wire.ActionMute, "a1", ""); r.err != nil {
			t.Error(r.err)
		}
	}
	if r := do(boss, wire.ActionUnmute, "a1", ""); r.code() != wire.CodeForbidden {
		t.Errorf("a person's microphone is turned on by another: %v", r.err)
	}

	if r := do(boss, wire.ActionEnd, "", ""); r.err != nil {
		t.Fatal(r.err)
	}
	third := h.enter(encoder("e3"), "call", nil)
	if code := publish(third, wire.SetMedia{Screen: &on}); code != "" {
		t.Errorf("in the next meeting: %q", code)
	}
}
