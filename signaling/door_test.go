package signaling

import (
	"net/http"
	"testing"

	"github.com/gorilla/websocket"

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

// loginFrom logs in as a browser does that stands behind a proxy, or says so.
func (w *world) loginFrom(address, token string) *client {
	w.t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(w.url("/ws"), http.Header{"X-Forwarded-For": {address}})
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	w.t.Cleanup(func() { _ = ws.Close() })
	c := &client{t: w.t, ws: ws}
	c.send("auth", "", "", wire.Auth{Token: token})
	c.want(wire.KindConnected, "")
	return c
}

// TestBanOfAnAddress bans a guest, who comes again under another name: by the address that a trusted proxy gives, and not
// by one that the guest claims to have.
func TestBanOfAnAddress(t *testing.T) {
	for _, test := range []struct {
		name    string
		proxies []string
		want    wire.ErrorCode // to the same address; "" = may join
	}{
		{"behind a proxy", []string{"127.0.0.0/8", "::1"}, wire.CodeForbidden},
		{"without one", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.TrustedProxies = test.proxies })
			room := roomName(t)
			ann, _, _ := w.enter("ann?role=moderator", room)
			bob := w.loginFrom("203.0.113.7", "bob?guest=1")
			at := bob.join(room).Self.ID
			ann.send("moderate", "m1", room, wire.Moderate{Action: wire.ActionBan, Participant: at})
			ann.want(wire.KindAck, "m1")
			bob.wantClose(wire.CloseBanned)

			again := w.loginFrom("203.0.113.7", "bobby?guest=1")
			if test.want == "" {
				again.join(room)
			} else {
				again.send("join", "j1", room, wire.Join{})
				again.wantError("j1", test.want)
			}
			w.loginFrom("203.0.113.8", "cas?guest=1").join(room)

			ann.send("bans", "b1", room, wire.Bans{})
			if list := body[wire.BanList](ann.want(wire.KindBans, "b1")).Bans; len(list) != 1 || list[0].User != "bob" {
				t.Errorf("bans: %+v", list)
			}
			ann.send("moderate", "m2", room, wire.Moderate{Action: wire.ActionUnban, User: "bob"})
			ann.want(wire.KindAck, "m2")
			w.loginFrom("203.0.113.7", "bob?guest=1").join(room)
		})
	}
}
