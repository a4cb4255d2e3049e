package signaling

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// TestExactlyOneAnswer sends one request of every kind, good and bad, and counts the answers to each id.
func TestExactlyOneAnswer(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	other, otherConnected, _ := w.enter("bob", room)
	c, _, _ := w.enter("ann?role=moderator", room)
	c.send("chat", "seed", room, wire.Chat{Text: "seed"})
	seq := body[wire.Ack](c.want(wire.KindAck, "seed")).Seq

	type request struct {
		frame string
		want  wire.Kind
		code  wire.ErrorCode
	}
	requests := map[wire.RequestID]request{}
	add := func(kind wire.Kind, room wire.RoomID, data any, want wire.Kind, code wire.ErrorCode) {
		id := wire.RequestID(fmt.Sprintf("r%d", len(requests)))
		requests[id] = request{line(t, kind, id, room, data), want, code}
	}
	addRaw := func(format string, code wire.ErrorCode) {
		id := wire.RequestID(fmt.Sprintf("r%d", len(requests)))
		requests[id] = request{fmt.Sprintf(format, id), wire.KindError, code}
	}
	add("ping", "", wire.Ping{}, wire.KindPong, "")
	add("refresh", "", wire.Refresh{Token: "ann?role=moderator"}, wire.KindAck, "")
	add("refresh", "", wire.Refresh{Token: "bob"}, wire.KindError, wire.CodeUnauthorized)
	add("refresh", "", wire.Refresh{Token: "bad"}, wire.KindError, wire.CodeUnauthorized)
	add("refresh", "", wire.Refresh{Token: "panic"}, wire.KindError, wire.CodeInternal)
	add("auth", "", wire.Auth{Token: "ann"}, wire.KindError, wire.CodeConflict)
	add("chat", room, wire.Chat{Text: "hello"}, wire.KindAck, "")
	add("chat", room, wire.Chat{}, wire.KindError, wire.CodeBadMessage)
	add("chat", room, wire.Chat{Text: strings.Repeat("x", wire.MaxTextBytes+1)}, wire.KindError, wire.CodeTooLarge)
	add("chat", "", wire.Chat{Text: "where"}, wire.KindError, wire.CodeBadMessage)
	add("chat", "elsewhere", wire.Chat{Text: "hello"}, wire.KindError, wire.CodeNotJoined)
	add("edit", room, wire.Edit{Message: seq, Text: "edited"}, wire.KindAck, "")
	add("edit", room, wire.Edit{Message: seq + 1<<40, Text: "edited"}, wire.KindError, wire.CodeNotFound)
	add("reaction", room, wire.Reaction{Message: seq, Emoji: "👍", On: true}, wire.KindAck, "")
	add("read", room, wire.Read{Seq: seq}, wire.KindAck, "")
	add("typing", room, wire.Typing{Typing: true}, wire.KindAck, "")
	add("history", room, wire.History{}, wire.KindHistory, "")
	add("media-state", room, map[string]bool{"hand": true}, wire.KindAck, "")
	add("moderate", room, wire.Moderate{Action: wire.ActionLock}, wire.KindAck, "")
	add("moderate", room, wire.Moderate{Action: "dance"}, wire.KindError, wire.CodeBadMessage)
	add("webrtc-signal", room, map[string]any{"candidate": nil}, wire.KindError, wire.CodeBadMessage) // no to
	add("subscribe-thread", room, wire.SubscribeThread{}, wire.KindError, wire.CodeBadMessage)
	add("subscribe-thread", room, wire.SubscribeThread{Private: "nobody"}, wire.KindError, wire.CodeNotFound)
	add("unsubscribe-thread", room, wire.UnsubscribeThread{}, wire.KindAck, "")
	add("subscribe-media", room, wire.SubscribeMedia{}, wire.KindError, wire.CodeBadMessage)
	add("subscribe-media", room, wire.SubscribeMedia{Participant: "p", Source: wire.Camera}, wire.KindError, wire.CodeNotFound) // no SFU
	add("media-mode", room, wire.RequestMode{Mode: wire.SFU}, wire.KindError, wire.CodeNotFound)
	add("ice-servers", room, wire.ICEServersRequest{}, wire.KindICEServers, "")
	add("dance", "", map[string]any{}, wire.KindError, wire.CodeUnknownType)
	add("joined", room, map[string]any{}, wire.KindError, wire.CodeUnknownType) // a server's message
	add("join", "", wire.Join{}, wire.KindError, wire.CodeBadMessage)
	add("join", room, wire.Join{}, wire.KindJoined, "") // again: it catches up
	add("leave", "elsewhere", wire.Leave{}, wire.KindError, wire.CodeNotJoined)
	addRaw(`{"type":"chat","id":%q,"room":"UPPER","data":{}}`, wire.CodeBadMessage)
	addRaw(`{"type":"chat","id":%q,"room":7}`, wire.CodeBadMessage)
	addRaw(`{"type":"chat","id":%q,"data":"text"}`, wire.CodeBadMessage)
	addRaw(`{"id":%q}`, wire.CodeBadMessage)
	toBob := wire.RequestID("signal")
	requests[toBob] = request{fmt.Sprintf(`{"type":"webrtc-signal","id":"signal","room":%q,"to":%q,"from":"forged","data":{"candidate":null, "odd":1}}`,
		room, otherConnected.Session), wire.KindAck, ""}

	frame := make([]string, 0, len(requests))
	for _, r := range requests {
		frame = append(frame, r.frame)
	}
	got := map[wire.RequestID]int{}
	for _, part := range [][]string{frame[:len(frame)/2], frame[len(frame)/2:]} {
		c.raw(strings.Join(part, "\n"))
	}
	for len(got) < len(requests) {
		env, err := c.next()
		if err != nil {
			for id, r := range requests {
				if got[id] == 0 {
					t.Errorf("no answer to %.200s", r.frame)
				}
			}
			t.Fatal(err)
		}
		want, ok := requests[env.ID]
		if !ok || env.Type == wire.KindChat || env.Type == wire.KindEdit || env.Type == wire.KindReaction {
			continue // what the room tells everyone
		}
		got[env.ID]++
		if env.Type != want.want {
			t.Errorf("%.200s was answered with %s %.200s", want.frame, env.Type, env.Data)
		} else if env.Type == wire.KindError && body[wire.ErrorBody](env).Code != want.code {
			t.Errorf("%.200s was answered with %.200s", want.frame, env.Data)
		}
	}
	for _, env := range c.sync("last") {
		if _, ok := requests[env.ID]; ok && env.Type != wire.KindChat && env.Type != wire.KindEdit && env.Type != wire.KindReaction {
			t.Errorf("a second answer to %s: %s", env.ID, env.Type)
		}
	}
	relayed := other.want(wire.KindSignal, "")
	if string(relayed.Data) != `{"candidate":null, "odd":1}` || relayed.From == "forged" || relayed.From == "" {
		t.Errorf("relayed: %+v %s", relayed, relayed.Data)
	}
}

// TestWithoutID: failures are told, successes are not, and ping always has its pong.
func TestWithoutID(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	c, _, _ := w.enter("ann", room)
	c.sync("before")
	c.send("typing", "", room, wire.Typing{Typing: true})
	c.send("ping", "", "", wire.Ping{})
	c.send("dance", "", "", wire.Ping{})
	c.send("history", "h", room, wire.History{}) // passes through the room after the others
	var kinds []wire.Kind
	for {
		env, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if env.Type == wire.KindHistory {
			break
		}
		if env.Type != wire.KindTyping && env.Type != wire.KindRead {
			kinds = append(kinds, env.Type)
		}
	}
	if fmt.Sprint(kinds) != "[pong error]" {
		t.Errorf("answers: %v", kinds)
	}
}

func TestRoomsOfAToken(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	c, _ := w.login(fmt.Sprintf("ann?rooms=%s,team-*", room))
	c.join(room)
	c.send("join", "team", "team-a", wire.Join{})
	c.want(wire.KindJoined, "team")
	c.send("join", "no", "private", wire.Join{})
	c.wantError("no", wire.CodeForbidden)
	c.send("leave", "l", room, wire.Leave{})
	c.want(wire.KindAck, "l")
	c.send("chat", "c", room, wire.Chat{Text: "still here?"})
	c.wantError("c", wire.CodeNotJoined)
}

func TestRoomsPerSession(t *testing.T) {
	w := newWorld(t)
	c, _ := w.login("ann")
	var last wire.RoomID
	for range wire.MaxRoomsPerSession {
		last = roomName(t)
		c.join(last)
	}
	c.send("join", "more", roomName(t), wire.Join{})
	c.wantError("more", wire.CodeConflict)
	c.send("leave", "l", last, wire.Leave{})
	c.want(wire.KindAck, "l")
	c.join(roomName(t))
}

// TestRemoved: a client that is put out of its last room is closed with the code of the reason.
func TestRemoved(t *testing.T) {
	for action, code := range map[wire.Action]wire.CloseCode{
		wire.ActionKick: wire.CloseKicked, wire.ActionBan: wire.CloseBanned, wire.ActionEnd: wire.CloseRoomEnded,
	} {
		t.Run(string(action), func(t *testing.T) {
			w := newWorld(t)
			room := roomName(t)
			boss, _, _ := w.enter("boss?role=moderator", room)
			ann, connected, _ := w.enter("ann", room)
			elsewhere, second, _ := w.enter("bob", room)
			elsewhere.join(roomName(t))
			for i, id := range []wire.ParticipantID{connected.Session, second.Session} {
				if action == wire.ActionEnd && i > 0 {
					break
				}
				boss.send("moderate", wire.RequestID(fmt.Sprint(i)), room, wire.Moderate{Action: action, Participant: id})
			}
			ann.want(wire.KindRemoved, "")
			ann.wantClose(code)
			elsewhere.want(wire.KindRemoved, "")
			elsewhere.sync("p") // is in another room, so its connection stays
		})
	}
}

func TestRateLimit(t *testing.T) {
	const rate = 10
	w := newWorld(t, func(o *Options) { o.RateLimit = rate })
	c, connected := w.login("ann")
	if connected.Limits.RatePerSecond != rate {
		t.Errorf("limits: %+v", connected.Limits)
	}
	var frame []string
	for i := range rate*burstSeconds + 20 {
		frame = append(frame, line(t, "ping", wire.RequestID(fmt.Sprint(i)), "", wire.Ping{}))
	}
	c.raw(strings.Join(frame, "\n"))
	pongs, limited := 0, 0
	for pongs+limited < len(frame) {
		env, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		switch env.Type {
		case wire.KindPong:
			pongs++
		case wire.KindError:
			limited++
			if got := body[wire.ErrorBody](env); got.Code != wire.CodeRateLimited || got.RetryAfterMS <= 0 || !got.Retryable {
				t.Fatalf("error: %+v", got)
			}
		}
	}
	if pongs < rate*burstSeconds || pongs > rate*burstSeconds+5 {
		t.Errorf("%d messages took effect, want the burst of %d", pongs, rate*burstSeconds)
	}
	w.clock.skew.Add(int64(time.Second))
	c.sync("later")
}

func TestRateLimitOfAnAddress(t *testing.T) {
	const rate = 2
	w := newWorld(t, func(o *Options) { o.RateLimit = rate })
	pings := func(n int) string {
		var frame []string
		for i := range n {
			frame = append(frame, line(t, "ping", wire.RequestID(fmt.Sprint(i)), "", wire.Ping{}))
		}
		return strings.Join(frame, "\n")
	}
	for range addressFactor {
		c, _ := w.login("ann")
		c.raw(pings(rate * burstSeconds))
		c.want(wire.KindPong, wire.RequestID(fmt.Sprint(rate*burstSeconds-1)))
	}
	c, _ := w.login("ann")
	c.raw(pings(rate * burstSeconds))
	for {
		env, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if env.Type == wire.KindError {
			break
		}
		if env.ID == wire.RequestID(fmt.Sprint(rate*burstSeconds-1)) {
			t.Fatal("the address has no limit of its own")
		}
	}
}

func TestTooManyErrors(t *testing.T) {
	w := newWorld(t)
	c, _ := w.login("ann")
	for range wire.MaxErrors - 1 {
		c.raw("{}")
	}
	c.sync("p") // 99 are borne
	w.clock.skew.Add(int64(wire.ErrorWindow + time.Second))
	for range wire.MaxErrors - 1 {
		c.raw("{}")
	}
	c.sync("p") // and 99 more a while later
	c.raw("{}")
	c.wantClose(wire.CloseTooManyErrors)
}

// TestGarbage throws frames without sense at a server and sees that it goes on serving others.
func TestGarbage(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	good, _, _ := w.enter("good", room)
	random := rand.New(rand.NewPCG(1, 2))
	seeds := []string{
		`{"type":"chat","id":"1","room":"` + string(room) + `","data":{"text":"x"}}`,
		`{"type":"join","room":"` + string(room) + `","data":{"since":{"seq":-1}}}`,
		`{"type":"webrtc-signal","to":"sfu","room":"` + string(room) + `","data":{"candidate":{}}}`,
		`{"type":"history","data":{"limit":1e9}}`, "[]", "null", `"`, "{", strings.Repeat("[", 5000),
		`{"type":"` + strings.Repeat("x", 5000) + `"}`,
	}
	sent := 0
	for sent < 10_000 {
		c, _ := w.login("mallory")
		c.join(room)
		for range 250 {
			frame := []byte(seeds[random.IntN(len(seeds))])
			for range random.IntN(4) {
				frame[random.IntN(len(frame))] = byte(' ' + random.IntN(95))
			}
			sent++
			if c.ws.WriteMessage(websocket.TextMessage, frame) != nil {
				break // closed with 4503
			}
		}
		_ = c.ws.Close()
	}
	good.sync("alive")
	good.send("chat", "c", room, wire.Chat{Text: "still here"})
	good.want(wire.KindAck, "c")
}

// TestConnectAndClose opens and ends connections in every way at the same time, for the race detector and goleak.
func TestConnectAndClose(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() {
			ticket := ""
			for round := range 12 {
				ws, resp, err := websocket.DefaultDialer.Dial(w.url("/ws"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				c := &client{t: t, ws: ws}
				_ = ws.WriteMessage(websocket.TextMessage, []byte(line(t, "auth", "", "", wire.Auth{Token: fmt.Sprint("user", worker), Ticket: ticket})))
				env, err := c.next()
				if err != nil {
					t.Error(err)
					return
				}
				ticket = body[wire.Connected](env).Ticket
				_ = ws.WriteMessage(websocket.TextMessage, []byte(line(t, "join", "j", room, wire.Join{})))
				switch (worker + round) % 4 {
				case 0:
					_ = ws.Close()
				case 1:
					_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
				case 2:
					_ = ws.WriteMessage(websocket.TextMessage, []byte(line(t, "chat", "c", room, wire.Chat{Text: "hi"})))
				case 3:
					w.CloseUser(wire.UserID(fmt.Sprint("user", worker)), wire.CloseTryAgainLater, "test")
				}
				if round%2 == 0 {
					_ = ws.Close()
				} else {
					defer ws.Close() // these stay open until the server ends them
				}
			}
		})
	}
	running.Wait()
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	var clients []*client
	for i := range 20 {
		c, _, _ := w.enter(fmt.Sprint("user", i), room)
		clients = append(clients, c)
	}
	unauthenticated := w.dial("/ws")
	drained := make(chan error, 1)
	go func() { drained <- w.Drain(t.Context()) }()
	waits := map[int64]bool{}
	for _, c := range clients {
		status := body[wire.SystemStatus](c.want(wire.KindSystemStatus, ""))
		if status.Status != wire.Draining || status.ReconnectAfterMS <= 0 {
			t.Fatalf("status: %+v", status)
		}
		waits[status.ReconnectAfterMS] = true
		c.wantClose(wire.CloseServiceRestart)
	}
	if len(waits) < 10 {
		t.Errorf("20 clients come back at %d different times", len(waits))
	}
	unauthenticated.wantClose(wire.CloseServiceRestart)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	for path, want := range map[string]int{"/readyz": 503, "/ws": 503, "/healthz": 200} {
		if resp, _ := w.get(path, nil); resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestNotify(t *testing.T) {
	w := newWorld(t)
	c, _ := w.login("ann")
	w.Notify(wire.SystemStatus{Status: wire.Degraded, Message: "slow"})
	if got := body[wire.SystemStatus](c.want(wire.KindSystemStatus, "")); got.Status != wire.Degraded {
		t.Errorf("status: %+v", got)
	}
}
