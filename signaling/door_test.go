package signaling

import (
	"testing"

	"confab/signaling/wire"
)

// door waits until the client is told that want wait, in that order.
func (c *client) door(want ...wire.ParticipantID) {
	c.t.Helper()
	for {
		info := body[wire.RoomInfo](c.want(wire.KindRoom, ""))
		if info.Knocking == nil || len(info.Knocking) != len(want) {
			continue
		}
		for i, p := range info.Knocking {
			if p.ID != want[i] {
				c.t.Fatalf("%s waits as no. %d, want %s", p.ID, i, want[i])
			}
		}
		return
	}
}

// TestKnock waits at a locked door over one connection, loses it, and is let in over the next one.
func TestKnock(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	ann, _, _ := w.enter("ann?role=moderator", room)
	ann.send("moderate", "m1", room, wire.Moderate{Action: wire.ActionLock})
	ann.want(wire.KindAck, "m1")

	bob, connected := w.login("bob")
	bob.send("join", "j1", room, wire.Join{})
	bob.wantError("j1", wire.CodeRoomLocked)
	bob.send("join", "j2", room, wire.Join{Knock: true})
	ann.door(connected.Session)
	bob.send("chat", "c1", room, wire.Chat{Text: "hello?"})
	bob.wantError("c1", wire.CodeNotJoined)
	_ = bob.ws.NetConn().Close()

	bob, resumed := w.loginWith(wire.Auth{Token: "bob", Ticket: connected.Ticket})
	if !resumed.Resumed {
		t.Fatal("the session of one who waits was not resumed")
	}
	bob.send("join", "j3", room, wire.Join{Knock: true})
	ann.door(connected.Session)
	ann.send("moderate", "m2", room, wire.Moderate{Action: wire.ActionAdmit, Participant: connected.Session})
	ann.want(wire.KindAck, "m2")
	bob.want(wire.KindJoined, "j3")
	if n := len(bob.sync("s1")); n != 0 {
		t.Errorf("%d frames after joined", n)
	}

	// Who is denied keeps the connection, and may knock elsewhere.
	cas, away := w.login("cas")
	cas.send("join", "j4", room, wire.Join{Knock: true})
	ann.door(away.Session)
	ann.send("moderate", "m3", room, wire.Moderate{Action: wire.ActionDeny, Participant: away.Session})
	if why := body[wire.Removed](cas.want(wire.KindRemoved, "j4")).Reason; why != wire.Denied {
		t.Errorf("removed as %s", why)
	}
	cas.send("leave", "l1", room, wire.Leave{})
	cas.wantError("l1", wire.CodeNotJoined)
	cas.send("join", "j5", room, wire.Join{Knock: true})
	ann.door(away.Session)
	cas.send("leave", "l2", room, wire.Leave{})
	cas.wantError("j5", wire.CodeCancelled)
	cas.want(wire.KindAck, "l2")
	cas.join(roomName(t))
}
