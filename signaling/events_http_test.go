package signaling

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"
)

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

// TestBrokenRequest: what did not come whole is not taken, and the same frame comes whole afterwards.
func TestBrokenRequest(t *testing.T) {
	w := newWorld(t)
	c, connected := w.loginByEvents(wire.Auth{Token: "ann"})
	raw, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	frame := line(t, "ping", "p", "", wire.Ping{})
	_, err = fmt.Fprintf(raw, "POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConfab-Frame: 1\r\nContent-Length: 1000\r\n\r\n%s\n",
		connected.Ticket, frame)
	if err != nil {
		t.Fatal(err)
	}
	conn := w.session(connected.Session).conn.(*eventConn)
	eventually(t, "the request is there", func() bool { return conn.sends.Load() == 1 })
	_ = raw.Close()
	eventually(t, "the request is over", func() bool { return conn.sends.Load() == 0 })
	if status, text := c.events.send(frame); status != http.StatusNoContent {
		t.Fatalf("again: %d %s", status, text)
	}
	c.want(wire.KindPong, "p")
	if rest := c.sync("last"); len(rest) > 0 {
		t.Errorf("taken twice: %v", rest)
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
