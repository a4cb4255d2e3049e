package rooms

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"confab/signaling/wire"
)

// What is written by hand must be what the wire's types say.
func TestDescribe(t *testing.T) {
	room := &Room{doc: document{Roles: map[wire.UserID]wire.Role{"ann": wire.RoleModerator}}}
	m := &Member{
		Identity: Identity{Participant: "p1", User: "ann", Name: `Ann "<b>" ☂`, Kind: wire.Human, Role: wire.RoleMember},
		room:     room, state: memberReconnecting, joinedAt: time.UnixMilli(1234), media: wire.Media{Camera: true, Hand: true},
	}
	want := wire.Participant{
		ID: "p1", User: "ann", Name: m.Name, Kind: wire.Human, Role: wire.RoleModerator, Status: wire.Reconnecting,
		JoinedAt: 1234, Media: wire.Media{Camera: true, Hand: true},
	}
	if got, plain := string(m.describe()), string(mustJSON(want)); got != plain {
		t.Errorf("describe:\n%s\nwant:\n%s", got, plain)
	}
	for _, role := range []wire.Role{wire.RoleViewer, wire.RoleMember} {
		g := wire.RoleGrants(role)
		if got, plain := string(appendGrants(nil, g)), string(mustJSON(g)); got != plain {
			t.Errorf("grants of %s: %s, want %s", role, got, plain)
		}
	}
}

// The frame that is put together by hand must read as wire.Joined, with nothing left over.
func TestJoinedFrame(t *testing.T) {
	g := NewRegistry(nil, Options{})
	r := newRoom(g, "r1")
	defer r.stopTimers()
	r.reads["ann"] = 7
	r.doc.Locked = true
	m := &Member{Identity: Identity{Participant: "p1", User: "ann", Name: "Ann", Kind: wire.Human, Role: wire.RoleMember, Grants: wire.RoleGrants(wire.RoleMember)}, room: r, state: memberOnline, joinedAt: time.UnixMilli(5)}
	r.order, r.members["p1"] = []*Member{m}, m
	var head wire.Envelope
	if err := json.Unmarshal(r.joinedFrame(m, "req-1", nil), &head); err != nil {
		t.Fatal(err)
	}
	var got wire.Joined
	if err := json.Unmarshal(head.Data, &got); err != nil {
		t.Fatal(err)
	}
	locked := true
	want := wire.Joined{
		Self: got.Participants[0], Role: wire.RoleMember, Grants: m.Grants, Participants: got.Participants,
		History: []wire.Envelope{}, Threads: []wire.ThreadSummary{}, Bots: []wire.BotInfo{}, Runs: []wire.RunState{},
		Media: wire.MediaSetup{Mode: wire.Mesh, ICEServers: []wire.ICEServer{}},
		Room:  &wire.RoomInfo{Locked: &locked, Mode: wire.Mesh, Recording: new(bool), Hearing: &[]wire.BotID{}}, Reads: map[wire.UserID]wire.Seq{"ann": 7},
	}
	if !reflect.DeepEqual(got, want) || head.ID != "req-1" || head.Room != "r1" || head.Type != wire.KindJoined {
		t.Errorf("joined: %+v\nwant %+v\nin %+v", got, want, head)
	}
}
