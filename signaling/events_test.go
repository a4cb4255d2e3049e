package signaling

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"
)

// TestConversation has the same conversation over each transport: what is said, repeated, missed and resumed.
func TestConversation(t *testing.T) {
	overEach(t, func(t *testing.T, w *world, login func(wire.Auth) (*client, wire.Connected)) {
		room := roomName(t)
		bob, _, _ := w.enter("bob", room)
		ann, connected := login(wire.Auth{Token: "ann"})
		if connected.Resumed || connected.User.ID != "ann" || connected.HeartbeatMS != 30_000 || connected.Limits.MessageBytes != wire.MaxFrameBytes {
			t.Errorf("connected: %+v", connected)
		}
		joined := ann.join(room)
		bob.presenceOf(connected.Session, wire.PresenceJoined)

		ann.send("chat", "once", room, wire.Chat{Text: "hello"})
		first := body[wire.Ack](ann.want(wire.KindAck, "once"))
		ann.send("chat", "once", room, wire.Chat{Text: "hello"})
		if again := body[wire.Ack](ann.want(wire.KindAck, "once")); !again.Duplicate || again.Seq != first.Seq {
			t.Errorf("the same again: %+v after %+v", again, first)
		}
		bob.want(wire.KindChat, "once")

		ann.drop()
		if p := bob.presenceOf(connected.Session, wire.PresenceUpdated); p.Participant.Status != wire.Reconnecting {
			t.Fatalf("after the loss: %+v", p)
		}
		bob.send("chat", "missed", room, wire.Chat{Text: "missed"})
		bob.want(wire.KindAck, "missed")
		back, resumed := login(wire.Auth{Token: "ann", Ticket: connected.Ticket})
		if !resumed.Resumed || resumed.Session != connected.Session || resumed.Ticket == connected.Ticket {
			t.Fatalf("resumed: %+v", resumed)
		}
		back.send("join", "j", room, wire.Join{Since: &wire.Cursor{Seq: first.Seq, Epoch: joined.Epoch}})
		if got := body[wire.Joined](back.want(wire.KindJoined, "j")); !got.Recovered || len(got.History) != 1 || got.History[0].ID != "missed" {
			t.Errorf("joined again: %+v", got)
		}
		if p := bob.presenceOf(connected.Session, wire.PresenceUpdated); p.Participant.Status != wire.Online {
			t.Errorf("after the return: %+v", p)
		}

		back.leave()
		bob.presenceOf(connected.Session, wire.PresenceLeft)
		if _, after := login(wire.Auth{Token: "ann", Ticket: resumed.Ticket}); after.Resumed {
			t.Error("a session that was ended is resumed")
		}
	})
}

// TestMoveBetweenTransports takes a live session over in every direction: the old connection is closed with 4010, and
// nobody sees anybody leave.
func TestMoveBetweenTransports(t *testing.T) {
	for from, begin := range transports {
		for to, resume := range transports {
			t.Run(from+" to "+to, func(t *testing.T) {
				w := newWorld(t)
				room := roomName(t)
				bob, _, _ := w.enter("bob", room)
				old, connected := begin(w, wire.Auth{Token: "ann"})
				old.join(room)
				fresh, resumed := resume(w, wire.Auth{Token: "ann", Ticket: connected.Ticket})
				if !resumed.Resumed || resumed.Session != connected.Session {
					t.Fatalf("resumed: %+v", resumed)
				}
				old.wantClose(wire.CloseReplaced)
				if old.events != nil {
					if status, text := old.events.send(pings(t, 1)); status != http.StatusUnauthorized {
						t.Errorf("a late frame of the old connection: %d %s", status, text)
					}
				}
				fresh.join(room)
				for {
					p := body[wire.Presence](bob.want(wire.KindPresence, ""))
					if p.Event == wire.PresenceLeft {
						t.Fatalf("presence: %+v", p)
					}
					if p.Event == wire.PresenceUpdated && p.Participant.Status == wire.Online {
						break
					}
				}
				bob.send("chat", "c", room, wire.Chat{Text: "hello"})
				fresh.want(wire.KindChat, "c")
				eventually(t, "the old session is gone", func() bool { return len(w.hub.appendAll(nil)) == 2 })
				if w.Sessions("ann") != 1 {
					t.Errorf("%d sessions", w.Sessions("ann"))
				}
			})
		}
	}
}

// TestEnds goes through the reasons for which the server ends a session: each is told with the same code.
func TestEnds(t *testing.T) {
	tests := []struct {
		name  string
		token string
		end   func(w *world, c *client, room wire.RoomID)
		code  wire.CloseCode
	}{
		{"silent", "ann", func(w *world, c *client, _ wire.RoomID) {
			w.later(2*wire.Heartbeat - time.Second)
			c.sync("p")
			w.later(2 * wire.Heartbeat)
		}, wire.CloseSilent},
		{"expired", "ann?exp=" + strconv.FormatInt(time.Now().Add(30*time.Second).Unix(), 10), func(w *world, c *client, _ wire.RoomID) {
			w.later(40 * time.Second)
			c.sync("p")
			w.later(17 * time.Second)
		}, wire.CloseTokenExpired},
		{"too many errors", "ann", func(_ *world, c *client, _ wire.RoomID) {
			c.raw(strings.Repeat("{}\n", wire.MaxErrors))
		}, wire.CloseTooManyErrors},
		{"kicked", "ann", func(w *world, _ *client, room wire.RoomID) {
			boss, _, joined := w.enter("boss?role=moderator", room)
			for _, p := range joined.Participants {
				if p.User == "ann" {
					boss.send("moderate", "k", room, wire.Moderate{Action: wire.ActionKick, Participant: p.ID})
				}
			}
			boss.want(wire.KindAck, "k")
		}, wire.CloseKicked},
		{"not UTF-8", "ann", func(_ *world, c *client, _ wire.RoomID) { c.raw("{\"type\":\"\xff\"}") }, wire.CloseInvalidPayload},
		{"sent away", "ann", func(w *world, c *client, _ wire.RoomID) {
			go func() { _ = w.Drain(w.t.Context()) }()
			if got := body[wire.SystemStatus](c.want(wire.KindSystemStatus, "")); got.ReconnectAfterMS <= 0 {
				c.t.Errorf("status: %+v", got)
			}
		}, wire.CloseServiceRestart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			overEach(t, func(t *testing.T, w *world, login func(wire.Auth) (*client, wire.Connected)) {
				room := roomName(t)
				c, _ := login(wire.Auth{Token: tt.token})
				c.join(room)
				tt.end(w, c, room)
				c.wantClose(tt.code)
			})
		})
	}
}

// TestSlowClients does not read what it asks for.
func TestSlowClients(t *testing.T) {
	overEach(t, func(t *testing.T, w *world, login func(wire.Auth) (*client, wire.Connected)) {
		c, connected := login(wire.Auth{Token: "ann"})
		c.flood(pings(t, 1000))
		eventually(t, "it is counted as too slow", func() bool { return count(t, w.metrics.slow) == 1 })
		eventually(t, "it is gone", func() bool { return w.session(connected.Session) == nil })
		if _, back := login(wire.Auth{Token: "ann", Ticket: connected.Ticket}); !back.Resumed {
			t.Error("it cannot resume")
		}
	})
}

// TestRates counts messages and connections of each transport against the same limits.
func TestRates(t *testing.T) {
	const rate = 10
	overEach(t, func(t *testing.T, w *world, login func(wire.Auth) (*client, wire.Connected)) {
		c, _ := login(wire.Auth{Token: "ann"})
		c.raw(pings(t, rate*burstSeconds+20))
		c.wantError(wire.RequestID(strconv.Itoa(rate*burstSeconds+19)), wire.CodeRateLimited)
		login(wire.Auth{Token: "ann"})
		e := w.eventClient()
		status, header, text := e.do("POST", "/session", line(t, "auth", "", "", wire.Auth{Token: "ann"}))
		if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" || !strings.Contains(text, `"rate-limited"`) {
			t.Errorf("a third connection of the address: %d %s", status, text)
		}
		c.leave()
		eventually(t, "its place is free again", func() bool {
			status, _, _ := e.do("POST", "/session", line(t, "auth", "", "", wire.Auth{Token: "ann"}))
			return status == http.StatusOK
		})
	}, func(o *Options) { o.RateLimit, o.ConnectionLimit = rate, 2 })
}

// TestEvents looks at the stream itself: its headers, its first bytes, the comments, and that there is one.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	e := w.eventClient()
	connected := e.begin(wire.Auth{Token: "ann"})
	if status, text := e.send(pings(t, 1)); status != http.StatusNoContent { // its answer waits for the stream
		t.Fatalf("send: %d %s", status, text)
	}
	header := e.open()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff", "Vary": "Origin", "Access-Control-Allow-Origin": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if e.comments != 1 {
		t.Errorf("%d comments before the first event", e.comments)
	}
	c := &client{t: t, events: e}
	c.want(wire.KindPong, "0")
	if status, _, text := e.do("GET", "/events", ""); status != http.StatusConflict || !strings.Contains(text, `"conflict"`) {
		t.Errorf("a second stream: %d %s", status, text)
	}
	w.later(commentPeriod)
	eventually(t, "a comment is written", func() bool { return w.session(connected.Session).conn.(*eventConn).wrote.Load() > int64(commentPeriod) })
	w.later(time.Second) // nothing is due
	c.sync("p")
	if e.comments != 2 {
		t.Errorf("%d comments", e.comments)
	}
	c.leave()
	if rest, err := io.ReadAll(e.lines); err != nil || len(rest) > 0 {
		t.Errorf("after the goodbye: %q, %v", rest, err)
	}
	eventually(t, "the session is over", func() bool {
		status, _, _ := e.do("GET", "/events", "")
		return status == http.StatusUnauthorized
	})
}

// TestEventsBeginAndEnd begins and ends sessions in every way at the same time, for the race detector and goleak.
func TestEventsBeginAndEnd(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	together(8, func(worker int) {
		ticket, user := "", fmt.Sprint("user", worker)
		for round := range 12 {
			e := w.eventClient()
			ticket = e.begin(wire.Auth{Token: user, Ticket: ticket}).Ticket
			e.send(line(t, "join", "j", room, wire.Join{}))
			if round%3 > 0 { // else nobody ever reads its events
				e.open()
			}
			switch (worker + round) % 4 {
			case 0:
				e.do("DELETE", "/session", "")
			case 1:
				e.send(line(t, "chat", "c", room, wire.Chat{Text: "hi"}))
			case 2:
				w.CloseUser(wire.UserID(user), wire.CloseTryAgainLater, "test")
			case 3: // stays until it is taken over
			}
			if round%2 == 0 && e.cut != nil {
				e.cut()
			}
		}
	})
}

// TestEventsOverHTTP2 has a conversation and an end over HTTP/2.
func TestEventsOverHTTP2(t *testing.T) {
	w := newWorld(t)
	plain := w.http
	w.http = httptest.NewUnstartedServer(w.Handler())
	w.http.EnableHTTP2 = true
	w.http.StartTLS()
	t.Cleanup(plain.Close)
	room := roomName(t)
	c, connected := w.loginByEvents(wire.Auth{Token: "ann"})
	c.join(room)
	c.send("chat", "c", room, wire.Chat{Text: "hello"})
	c.want(wire.KindAck, "c")
	c.drop()
	eventually(t, "the loss is noticed", func() bool { return w.session(connected.Session) == nil })
	again, resumed := w.loginByEvents(wire.Auth{Token: "ann", Ticket: connected.Ticket})
	if !resumed.Resumed {
		t.Error("not resumed")
	}
	slow, _ := w.loginByEvents(wire.Auth{Token: "bob"})
	slow.flood(pings(t, 1000))
	w.CloseUser("ann", wire.CloseTryAgainLater, "enough")
	again.wantClose(wire.CloseTryAgainLater)
	resp, err := w.http.Client().Get(w.http.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("the test went over %s", resp.Proto)
	}
}

// TestConnectionIsKept: a stream that ends in good order leaves the TCP connection below for other requests.
func TestConnectionIsKept(t *testing.T) {
	w := newWorld(t)
	e := w.eventClient()
	e.http.Transport.(*http.Transport).MaxConnsPerHost = 1
	e.begin(wire.Auth{Token: "ann"})
	e.open()
	w.CloseUser("ann", wire.CloseTryAgainLater, "enough")
	(&client{t: t, events: e}).wantClose(wire.CloseTryAgainLater)
	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !reused || resp.StatusCode != http.StatusOK {
		t.Errorf("the same connection: %v, %s", reused, resp.Status)
	}
}

// TestRelayedWhitespace: what a client wrote between its tokens must not end a line of another's stream.
func TestRelayedWhitespace(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	bob, _, _ := w.enter("bob", room)
	c, connected := w.loginByEvents(wire.Auth{Token: "ann"})
	c.join(room)
	bob.raw(fmt.Sprintf(`{"type":"webrtc-signal","id":"s","room":%q,"to":%q,"data":{"candidate":null,%s"odd":1}}`, room, connected.Session, "\r \r"))
	bob.want(wire.KindAck, "s")
	if got := c.want(wire.KindSignal, ""); string(got.Data) != `{"candidate":null,   "odd":1}` {
		t.Errorf("relayed: %q", got.Data)
	}
	for _, tt := range []struct{ frame, want string }{
		{"", ""}, {"a", "data: a\n\n"}, {"a\nb\r\n\nc", "data: a\n\ndata: b\n\ndata: c\n\n"}, {"a\rb\r\rc", "data: a b  c\n\n"},
	} {
		var events bytes.Buffer
		if writeEvents(&events, []byte(tt.frame)); events.String() != tt.want {
			t.Errorf("%q: %q, want %q", tt.frame, events.String(), tt.want)
		}
	}
}

// TestTransportsAreCounted apart.
func TestTransportsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.login("ann")
	w.loginByEvents(wire.Auth{Token: "bob"})
	w.loginByEvents(wire.Auth{Token: "cy"})
	_, text := w.get("/metrics", nil)
	for _, want := range []string{
		`confab_sessions{transport="websocket"} 1`, `confab_sessions{transport="events"} 2`,
		`confab_connections_total{outcome="accepted",transport="events"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// BenchmarkRoundTrip sends a ping and reads its pong.
func BenchmarkRoundTrip(b *testing.B) {
	for name, login := range transports {
		b.Run(name, func(b *testing.B) {
			c, _ := login(newWorld(b), wire.Auth{Token: "ann"})
			frame := line(b, "ping", "p", "", wire.Ping{})
			for b.Loop() {
				c.raw(frame)
				if _, err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
