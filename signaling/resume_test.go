package signaling

import (
	"encoding/base64"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// presenceOf reads on until a presence with this event about this participant comes.
func (c *client) presenceOf(id wire.ParticipantID, event wire.PresenceEvent) wire.Presence {
	c.t.Helper()
	for {
		p := body[wire.Presence](c.want(wire.KindPresence, ""))
		if p.Participant.ID == id && p.Event == event {
			return p
		}
	}
}

// TestResumeAfterLoss loses a connection and takes the session up again within the window.
func TestResumeAfterLoss(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	bob, _, _ := w.enter("bob", room)
	ann, connected, joined := w.enter("ann", room)
	bob.presenceOf(connected.Session, wire.PresenceJoined)

	_ = ann.ws.NetConn().Close()
	if p := bob.presenceOf(connected.Session, wire.PresenceUpdated); p.Participant.Status != wire.Reconnecting {
		t.Fatalf("after the loss: %+v", p)
	}
	bob.send("chat", "c", room, wire.Chat{Text: "missed"})
	seq := body[wire.Ack](bob.want(wire.KindAck, "c")).Seq

	again, resumed := w.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if !resumed.Resumed || resumed.Session != connected.Session {
		t.Fatalf("resumed: %+v", resumed)
	}
	again.send("join", "j", room, wire.Join{Since: &wire.Cursor{Seq: seq - 1, Epoch: joined.Epoch}})
	back := body[wire.Joined](again.want(wire.KindJoined, "j"))
	if back.Self.ID != connected.Session || len(back.Participants) != 2 || len(back.History) != 1 {
		t.Errorf("joined again: %+v", back)
	}
	if p := bob.presenceOf(connected.Session, wire.PresenceUpdated); p.Participant.Status != wire.Online {
		t.Errorf("after the return: %+v", p)
	}
}

// TestTakeover resumes a session whose connection is still up: the old one is closed with 4010 and its place in the
// room goes over.
func TestTakeover(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	bob, _, _ := w.enter("bob", room)
	old, connected, _ := w.enter("ann", room)
	fresh, resumed := w.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if !resumed.Resumed || resumed.Session != connected.Session {
		t.Fatalf("resumed: %+v", resumed)
	}
	old.wantClose(wire.CloseReplaced)
	fresh.join(room)
	for range 3 { // joined, reconnecting, online: never left
		if p := body[wire.Presence](bob.want(wire.KindPresence, "")); p.Event == wire.PresenceLeft {
			t.Fatalf("presence: %+v", p)
		} else if p.Event == wire.PresenceUpdated && p.Participant.Status == wire.Online {
			break
		}
	}
	eventually(t, "the old session is gone", func() bool { return len(w.hub.appendAll(nil)) == 2 })
	if w.Sessions("ann") != 1 || w.session(connected.Session) == nil {
		t.Error("the old connection's end has taken the new session out of the index")
	}
	bob.send("chat", "c", room, wire.Chat{Text: "hello"})
	fresh.want(wire.KindChat, "c")
}

func TestGoodbyeLeavesAtOnce(t *testing.T) {
	for _, code := range []int{1000, 1001} {
		w := newWorld(t)
		room := roomName(t)
		bob, _, _ := w.enter("bob", room)
		ann, connected, _ := w.enter("ann", room)
		ann.closeWith(code)
		ann.wantClose(wire.CloseCode(code)) // the echo
		bob.presenceOf(connected.Session, wire.PresenceLeft)
		_, again := w.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
		if again.Resumed {
			t.Errorf("code %d: the session was ended and is resumed", code)
		}
	}
}

// TestTicketIsNoGood shows that a ticket which cannot be used is no error.
func TestTicketIsNoGood(t *testing.T) {
	w := newWorld(t)
	ann, connected := w.login("ann")
	raw, err := base64.RawURLEncoding.DecodeString(connected.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), raw...)
	flipped[20] ^= 1
	elsewhere := ticket{incarnation: w.incarnation + 1, issued: time.Now(), session: newSessionID(), user: "ann"}
	stale := elsewhere
	stale.issued = time.Now().Add(-ticketMaxAge - time.Minute)
	living := elsewhere
	living.session = connected.Session
	unknown := elsewhere
	unknown.incarnation = w.incarnation
	tests := []struct {
		name, token, ticket string
		resumed             bool
	}{
		{"no base64", "ann", "!!", false},
		{"too short", "ann", "AQ", false},
		{"damaged", "ann", base64.RawURLEncoding.EncodeToString(flipped), false},
		{"another user's", "bob", connected.Ticket, false},
		{"signed with another key", "ann", elsewhere.sign([]byte("ffffffffffffffffffffffffffffffff")), false},
		{"of this process, session unknown", "ann", unknown.sign(testKey), false},
		{"of another process, too old", "ann", stale.sign(testKey), false},
		{"of another process, lives here", "ann", living.sign(testKey), false},
		{"of another process", "ann", elsewhere.sign(testKey), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := w.loginWith(wire.Auth{Token: tt.token, Ticket: tt.ticket})
			if got.Resumed != tt.resumed {
				t.Errorf("resumed: %v", got.Resumed)
			}
			if tt.resumed != (got.Session == elsewhere.session) || got.Session == connected.Session {
				t.Errorf("session %s", got.Session)
			}
		})
	}
	ann.sync("p") // nobody has taken it over
}

func TestResumeWindowEnds(t *testing.T) {
	w := newWorld(t)
	ann, connected := w.login("ann")
	_ = ann.ws.NetConn().Close()
	eventually(t, "the loss is noticed", func() bool { return w.session(connected.Session) == nil })
	w.later(wire.ReconnectWindow)
	_, again := w.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if again.Resumed {
		t.Error("resumed after the window")
	}
}

// TestResumeAcrossRestart shows a ticket to the server's next life, over the same log.
func TestResumeAcrossRestart(t *testing.T) {
	room := roomName(t)
	before := newWorld(t)
	ann, connected, joined := before.enter("ann", room)
	ann.send("chat", "c", room, wire.Chat{Text: "before"})
	seq := body[wire.Ack](ann.want(wire.KindAck, "c")).Seq
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	after := newWorld(t, func(o *Options) { o.Registry = rooms.NewRegistry(testLog, rooms.Options{}) })
	again, resumed := after.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if !resumed.Resumed || resumed.Session != connected.Session {
		t.Fatalf("resumed: %+v", resumed)
	}
	again.send("join", "j", room, wire.Join{Since: &wire.Cursor{Seq: seq, Epoch: joined.Epoch}})
	back := body[wire.Joined](again.want(wire.KindJoined, "j"))
	if !back.Recovered || len(back.History) != 0 || back.Self.ID != connected.Session {
		t.Errorf("joined: %+v", back)
	}
}
