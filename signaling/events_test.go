package signaling

import (
	"bytes"
	"fmt"
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

// TestBeginSession goes through what POST /session can be asked.
func TestBeginSession(t *testing.T) {
	auth := `{"type":"auth","id":"a","data":{"token":"ann"}}`
	tests := []struct {
		name, body string
		header     []string
		status     int
		code       wire.ErrorCode // empty = connected
	}{
		{"auth", auth, nil, 200, ""},
		{"the largest", auth + strings.Repeat("\n", wire.MaxAuthFrameBytes-len(auth)), nil, 200, ""},
		{"too large", auth + strings.Repeat("\n", wire.MaxAuthFrameBytes-len(auth)+1), nil, 413, wire.CodeTooLarge},
		{"a bad token", `{"type":"auth","data":{"token":"bad"}}`, nil, 401, wire.CodeUnauthorized},
		{"another message", `{"type":"ping"}`, nil, 401, wire.CodeUnauthorized},
		{"keys that cannot be had", `{"type":"auth","data":{"token":"down"}}`, nil, 503, wire.CodeUnavailable},
		{"a verifier that panics", `{"type":"auth","data":{"token":"panic"}}`, nil, 500, wire.CodeInternal},
		{"no JSON", "hello", nil, 400, wire.CodeBadMessage},
		{"nothing", "", nil, 400, wire.CodeBadMessage},
		{"not UTF-8", "{\"type\":\"auth\",\"data\":{\"token\":\"\xff\"}}", nil, 400, wire.CodeBadMessage},
		{"a page of ours", auth, []string{"Origin", "https://chat.example"}, 200, ""},
		{"a page of others", auth, []string{"Origin", "https://evil.example"}, 403, wire.CodeForbidden},
		{"a page without an origin", auth, []string{"Origin", "null"}, 403, wire.CodeForbidden},
	}
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://chat.example"} })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/session", "/api/session"} {
				e := w.eventClient()
				status, header, text := e.do("POST", path, tt.body, tt.header...)
				want := fmt.Sprintf(`{"error":{"code":%q,"message":`, tt.code)
				if tt.code == "" {
					want = `{"type":"connected","id":"a","data":{"session":`
				}
				if status != tt.status || !strings.HasPrefix(text, want) || header.Get("Cache-Control") != "no-store" {
					t.Errorf("%d %v %s", status, header, text)
				}
			}
		})
	}
	w.later(streamWait)
	eventually(t, "sessions that nobody reads have ended", func() bool { return len(w.hub.appendAll(nil)) == 0 })
	eventually(t, "and are given back", func() bool {
		w.addresses.mu.Lock()
		defer w.addresses.mu.Unlock()
		for _, a := range w.addresses.all {
			if a.connections != 0 {
				return false
			}
		}
		return true
	})
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
	eventually(t, "the session is over", func() bool {
		status, _, _ := e.do("GET", "/events", "")
		return status == http.StatusUnauthorized
	})
}

// TestSend goes through what POST /send can be asked.
func TestSend(t *testing.T) {
	w := newWorld(t)
	c, connected := w.loginByEvents(wire.Auth{Token: "ann"})
	_, socket := w.login("bob")
	other := ticket{incarnation: w.incarnation, serial: 1 << 40, issued: time.Now(), session: connected.Session, user: "ann"}
	elsewhere := ticket{incarnation: w.incarnation + 1, issued: time.Now(), session: connected.Session, user: "ann"}
	ping := func(id string) string { return line(t, "ping", wire.RequestID(id), "", wire.Ping{}) }
	bearer := "Bearer " + connected.Ticket
	tests := []struct {
		name, auth, number, body string
		status                   int
		taken                    bool
	}{
		{"without a number", bearer, "", ping("0"), 204, true},
		{"numbered", bearer, "7", ping("1"), 204, true},
		{"again", bearer, "7", ping("2"), 204, false},
		{"an earlier one, late", bearer, "3", ping("3"), 204, false},
		{"the next", "bearer  " + connected.Ticket, "8", ping("4"), 204, true},
		{"nothing", bearer, "9", "", 204, false},
		{"a number that is none", bearer, "x", ping("5"), 400, false},
		{"zero", bearer, "0", ping("6"), 400, false},
		{"more than counts exactly", bearer, "9007199254740992", ping("7"), 400, false},
		{"the largest", bearer, "10", ping("8") + strings.Repeat("\n", wire.MaxFrameBytes-len(ping("8"))), 204, true},
		{"too large", bearer, "11", ping("9") + strings.Repeat("\n", wire.MaxFrameBytes-len(ping("9"))+1), 413, false},
		{"what was too large, smaller", bearer, "11", ping("10"), 204, true},
		{"nobody", "", "", ping("11"), 401, false},
		{"another scheme", "Basic " + connected.Ticket, "", ping("12"), 401, false},
		{"a damaged ticket", bearer + "A", "", ping("13"), 401, false},
		{"another connection's", "Bearer " + other.sign(testKey), "", ping("14"), 401, false},
		{"another process's", "Bearer " + elsewhere.sign(testKey), "", ping("15"), 401, false},
		{"a WebSocket's", "Bearer " + socket.Ticket, "", ping("16"), 401, false},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, text := c.events.do("POST", "/send", tt.body, "Authorization", tt.auth, frameHeader, tt.number)
			if status != tt.status || status >= 400 && !strings.HasPrefix(text, `{"error":{"code":`) {
				t.Errorf("%d %s", status, text)
			}
			c.t = t
			taken := false
			c.events.number = uint64(1000 + i)
			after := wire.RequestID("after-" + strconv.Itoa(i))
			if _, _, text := c.events.do("POST", "/send", ping(string(after))); text != "" {
				t.Fatal(text)
			}
			for {
				env, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				if env.ID == after {
					break
				}
				taken = true
			}
			if taken != tt.taken {
				t.Errorf("taken: %v", taken)
			}
		})
	}
}

// TestRepeatedAtOnce sends one frame many times at the same time: it is taken once, and too many requests are refused.
func TestRepeatedAtOnce(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	c, connected := w.loginByEvents(wire.Auth{Token: "ann"})
	c.join(room)
	conn := w.session(connected.Session).conn.(*eventConn)
	conn.reading.Lock() // as if a frame were being handled
	frame := line(t, "typing", "t", room, wire.Typing{Typing: true})
	statuses := make([]int, maxSends+3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(len(statuses), func(i int) {
			statuses[i], _, _ = c.events.do("POST", "/send", frame, frameHeader, "2")
		})
	}()
	eventually(t, "as many as may wait", func() bool { return conn.sends.Load() == maxSends })
	conn.reading.Unlock()
	<-done
	taken := 0
	for _, status := range statuses {
		switch status {
		case http.StatusNoContent:
			taken++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("status %d", status)
		}
	}
	if taken < maxSends {
		t.Errorf("statuses %v", statuses)
	}
	c.events.number = 2
	acks := 0
	for _, env := range c.sync("p") {
		if env.Type == wire.KindAck {
			acks++
		}
	}
	if acks != 1 {
		t.Errorf("%d answers", acks)
	}
}

// TestPreflight asks as browsers do for a page of another origin.
func TestPreflight(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://chat.example"} })
	e := w.eventClient()
	for _, path := range []string{"/session", "/events", "/send", "/api/send"} {
		status, h, _ := e.do("OPTIONS", path, "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST")
		if status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://chat.example" ||
			h.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type, Confab-Frame" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, status, h)
		}
		status, h, _ = e.do("OPTIONS", path, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		if status != http.StatusForbidden || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s, a foreign page: %d %v", path, status, h)
		}
	}
	status, h, _ := e.do("POST", "/session", line(t, "auth", "", "", wire.Auth{Token: "ann"}), "Origin", "https://chat.example")
	if status != http.StatusOK || h.Get("Access-Control-Allow-Origin") != "https://chat.example" || h.Get("Vary") != "Origin" {
		t.Errorf("the answer: %d %v", status, h)
	}
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
