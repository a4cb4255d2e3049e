package signaling

import (
	"encoding/json"
	"fmt"
	"testing"

	"confab/signaling/wire"
)

// sendIn sends a request about a thread.
func (c *client) sendIn(thread wire.ThreadID, kind wire.Kind, id wire.RequestID, room wire.RoomID, data any) {
	c.t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		c.t.Fatal(err)
	}
	frame, err := json.Marshal(wire.Envelope{Type: kind, ID: id, Room: room, Thread: thread, Data: raw})
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(string(frame))
}

// TestThreads follows a thread over real sockets: its first frame, what is said in it, and what was missed while the
// connection was lost; who does not follow it is told of its summary only.
func TestThreads(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	cas, _, _ := w.enter("cas", room)
	ann, connected, joined := w.enter("ann", room)
	bob, _, _ := w.enter("bob", room)
	bob.send("chat", "root", room, wire.Chat{Text: "Lunch?"})
	root := body[wire.Ack](bob.want(wire.KindAck, "root")).Seq
	thread := wire.ThreadID(fmt.Sprintf("m%d", root))

	ann.sendIn(thread, "subscribe-thread", "s", room, wire.SubscribeThread{})
	first := ann.want(wire.KindThreadHistory, "s")
	history := body[wire.ThreadHistory](first)
	if first.Thread != thread || first.Room != room || len(history.Messages) != 0 || history.Epoch != joined.Epoch {
		t.Fatalf("the first frame: %+v %+v", first, history)
	}
	bob.sendIn(thread, "chat", "t1", room, wire.Chat{Text: "Yes."})
	ack := bob.want(wire.KindAck, "t1")
	if ack.Thread != thread {
		t.Errorf("the acknowledgement: %+v", ack)
	}
	seen := ann.want(wire.KindChat, "t1")
	if seen.Thread != thread || seen.Seq != body[wire.Ack](ack).Seq || seen.Prev != 0 || seen.Author.User != "bob" {
		t.Errorf("the message: %+v", seen)
	}
	bob.sendIn(thread, "typing", "", room, wire.Typing{Typing: true})
	if e := ann.want(wire.KindTyping, ""); e.Thread != thread {
		t.Errorf("typing: %+v", e)
	}
	ann.sendIn(thread, "read", "r", room, wire.Read{Seq: seen.Seq})
	ann.want(wire.KindAck, "r")

	_ = ann.ws.NetConn().Close()
	bob.sendIn(thread, "chat", "t2", room, wire.Chat{Text: "At noon."})
	missed := body[wire.Ack](bob.want(wire.KindAck, "t2")).Seq
	again, resumed := w.loginWith(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if !resumed.Resumed {
		t.Fatal("the session was not resumed")
	}
	again.join(room)
	again.sendIn(thread, "subscribe-thread", "s", room, wire.SubscribeThread{Since: &wire.Cursor{Seq: seen.Seq, Epoch: joined.Epoch}})
	history = body[wire.ThreadHistory](again.want(wire.KindThreadHistory, "s"))
	if !history.Recovered || len(history.Messages) != 1 || history.Messages[0].Seq != missed || history.Messages[0].Prev != seen.Seq {
		t.Errorf("what was missed: %+v", history)
	}

	for {
		e, err := cas.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Thread != "" {
			t.Fatalf("cas got %+v", e)
		}
		if e.Type != wire.KindRoom {
			continue
		}
		if s := body[wire.RoomInfo](e).Threads; len(s) == 1 && s[0].Messages == 2 {
			if s[0].Thread != thread || s[0].Title != "Lunch?" || s[0].Last.Seq != missed {
				t.Errorf("the summary: %+v", s[0])
			}
			break
		}
	}
	bob.sendIn("m999999999", "chat", "x", room, wire.Chat{Text: "nowhere"})
	bob.wantError("x", wire.CodeNotFound)
	again.sendIn(thread, "unsubscribe-thread", "u", room, wire.UnsubscribeThread{})
	again.want(wire.KindAck, "u")
}
