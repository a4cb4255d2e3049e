package signaling

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// TestFirstMessage goes through everything that a connection can begin with.
func TestFirstMessage(t *testing.T) {
	tests := []struct {
		name  string
		frame string
		code  wire.ErrorCode // of the error that answers; empty = connected
		id    wire.RequestID
		close wire.CloseCode
	}{
		{name: "auth", frame: `{"type":"auth","data":{"token":"ann"}}`},
		{name: "auth with an id", frame: `{"type":"auth","id":"x","data":{"token":"ann"}}`, id: "x"},
		{name: "the old message", frame: `{"type":"authenticate","token":"ann"}`},
		{name: "the old message without a token", frame: `{"type":"authenticate"}`, code: wire.CodeUnauthorized, close: wire.ClosePolicy},
		{name: "empty lines before", frame: "\n\n" + `{"type":"auth","data":{"token":"ann"}}` + "\n"},
		{name: "a bad token", frame: `{"type":"auth","id":"x","data":{"token":"bad"}}`, id: "x", code: wire.CodeUnauthorized, close: wire.ClosePolicy},
		{name: "no token", frame: `{"type":"auth","data":{}}`, code: wire.CodeUnauthorized, close: wire.ClosePolicy},
		{name: "keys that cannot be had", frame: `{"type":"auth","data":{"token":"down"}}`, code: wire.CodeUnavailable, close: wire.CloseTryAgainLater},
		{name: "another type", frame: `{"type":"ping","id":"p"}`, id: "p", code: wire.CodeUnauthorized, close: wire.ClosePolicy},
		{name: "no JSON", frame: `hello`, code: wire.CodeBadMessage, close: wire.ClosePolicy},
		{name: "a token of the wrong type", frame: `{"type":"auth","data":{"token":7}}`, code: wire.CodeBadMessage, close: wire.ClosePolicy},
		{name: "a long client", frame: `{"type":"auth","data":{"token":"ann","client":"` + strings.Repeat("x", 129) + `"}}`, code: wire.CodeBadMessage, close: wire.ClosePolicy},
		{name: "a verifier that panics", frame: `{"type":"auth","data":{"token":"panic"}}`, close: wire.CloseInternalError},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := w.dial("/ws")
			c.t = t
			c.raw(tt.frame)
			switch {
			case tt.code == "" && tt.close == 0:
				got := body[wire.Connected](c.want(wire.KindConnected, tt.id))
				if got.User.ID != "ann" || got.Resumed || got.Deprecated || len(got.Session) != sessionIDLen || got.Ticket == "" {
					t.Errorf("connected: %+v", got)
				}
				if got.HeartbeatMS != 30_000 || got.Limits != (wire.Limits{MessageBytes: 64 << 10, History: 256}) {
					t.Errorf("connected: %+v", got)
				}
			case tt.code != "":
				c.wantError(tt.id, tt.code)
				c.wantClose(tt.close)
			default:
				c.wantClose(tt.close)
			}
		})
	}
}

func TestFrameLimits(t *testing.T) {
	w := newWorld(t)
	auth := `{"type":"auth","data":{"token":"ann"}}`
	pad := func(line string, size int) string { return line + strings.Repeat("\n", size-len(line)) }

	t.Run("4 KiB before authentication", func(t *testing.T) {
		c := w.dial("/ws")
		c.t = t
		c.raw(pad(auth, wire.MaxAuthFrameBytes))
		c.want(wire.KindConnected, "")
	})
	t.Run("more before authentication", func(t *testing.T) {
		c := w.dial("/ws")
		c.t = t
		c.raw(pad(auth, wire.MaxAuthFrameBytes+1))
		c.wantClose(wire.CloseTooBig)
	})
	t.Run("64 KiB after it", func(t *testing.T) {
		c, _ := w.login("ann")
		c.t = t
		c.raw(pad(`{"type":"ping","id":"p"}`, wire.MaxFrameBytes))
		c.want(wire.KindPong, "p")
	})
	t.Run("more after it", func(t *testing.T) {
		c, _ := w.login("ann")
		c.t = t
		c.raw(pad(`{"type":"ping","id":"p"}`, 4*wire.MaxFrameBytes))
		c.wantClose(wire.CloseTooBig)
	})
	t.Run("64 KiB at once after a token in the URL", func(t *testing.T) {
		c := w.dial("/ws?token=ann")
		c.t = t
		c.raw(pad(`{"type":"ping","id":"p"}`, wire.MaxFrameBytes))
		c.want(wire.KindConnected, "")
		c.want(wire.KindPong, "p")
	})
	t.Run("binary", func(t *testing.T) {
		c, _ := w.login("ann")
		c.t = t
		if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte("x")); err != nil {
			t.Fatal(err)
		}
		c.wantClose(wire.CloseUnsupported)
	})
	t.Run("not UTF-8", func(t *testing.T) {
		c, _ := w.login("ann")
		c.t = t
		c.raw("{\"type\":\"\xff\"}")
		c.wantClose(wire.CloseInvalidPayload)
	})
}

// TestTokenInURL checks the old way to connect: accepted, marked, and counted apart.
func TestTokenInURL(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws?token=ann")
	got := body[wire.Connected](c.want(wire.KindConnected, ""))
	if !got.Deprecated || got.User.ID != "ann" || got.Resumed {
		t.Errorf("connected: %+v", got)
	}
	c.join(roomName(t))

	bad := w.dial("/api/ws?token=bad")
	bad.wantError("", wire.CodeUnauthorized)
	bad.wantClose(wire.ClosePolicy)

	w.login("bob")
	for labels, want := range map[[2]string]float64{
		{"url", "ok"}: 1, {"url", "unauthorized"}: 1, {"message", "ok"}: 1,
	} {
		if got := count(t, w.metrics.auths.WithLabelValues(labels[0], labels[1])); got != want {
			t.Errorf("authentications %v: %v, want %v", labels, got, want)
		}
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://chat.example"} })
	tests := []struct {
		name   string
		header http.Header
		status int
		code   wire.ErrorCode
	}{
		{"no WebSocket", http.Header{"Connection": {"close"}}, 400, wire.CodeBadMessage},
		{"foreign origin", http.Header{"Origin": {"https://evil.example"}}, 403, wire.CodeForbidden},
		{"opaque origin", http.Header{"Origin": {"null"}}, 403, wire.CodeForbidden},
		{"unknown subprotocol", http.Header{"Sec-Websocket-Protocol": {"confab.v9, other"}}, 400, wire.CodeBadMessage},
		{"old version", http.Header{"Sec-Websocket-Version": {"8"}}, 400, wire.CodeBadMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
			for k, v := range tt.header {
				header[k] = v
			}
			resp, text := w.get("/ws", header)
			if resp.StatusCode != tt.status || !strings.Contains(text, fmt.Sprintf(`{"error":{"code":%q,"message":`, tt.code)) {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
	eventually(t, "refused connections are given back", func() bool {
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

func TestOriginAndSubprotocolAccepted(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Origins = []string{"https://Chat.example/"} })
	host := strings.TrimPrefix(w.http.URL, "http://")
	for _, origin := range []string{"", "http://" + host, "https://" + host, "https://chat.example"} {
		for _, protocols := range [][]string{nil, {"confab.v1"}, {"confab.v2", "confab.v1"}} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			dialer := &websocket.Dialer{Subprotocols: protocols}
			ws, resp, err := dialer.Dial(w.url("/ws"), header)
			if err != nil {
				t.Fatalf("origin %q, subprotocols %v: %v", origin, protocols, err)
			}
			_ = resp.Body.Close()
			want := ""
			if protocols != nil {
				want = wire.Subprotocol
			}
			if got := ws.Subprotocol(); got != want {
				t.Errorf("subprotocol %q, want %q", got, want)
			}
			_ = ws.Close()
		}
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ConnectionLimit = 2 })
	first := w.dial("/ws") // counts before it has authenticated
	w.login("ann")
	_, resp, err := websocket.DefaultDialer.Dial(w.url("/ws"), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("a third connection: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	_ = first.ws.Close()
	eventually(t, "a place is free again", func() bool {
		ws, resp, err := websocket.DefaultDialer.Dial(w.url("/ws"), nil)
		if err == nil {
			_ = ws.Close()
		}
		_ = resp.Body.Close()
		return err == nil
	})
}

func TestAuthAttemptsPerAddress(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.ConnectionLimit = 1000 })
	limited := false
	for range authBurst/failedAuthCost + 5 {
		c := w.dial("/ws")
		c.send("auth", "", "", wire.Auth{Token: "bad"})
		env, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if got := body[wire.ErrorBody](env); got.Code == wire.CodeRateLimited {
			if got.RetryAfterMS <= 0 {
				t.Errorf("retryAfterMs is %d", got.RetryAfterMS)
			}
			c.wantClose(wire.CloseTryAgainLater)
			limited = true
			break
		}
		c.wantClose(wire.ClosePolicy)
	}
	if !limited {
		t.Error("one address may guess for ever")
	}
	w.clock.skew.Add(int64(time.Minute))
	w.login("ann") // and waits no longer than that
}

// TestTimeouts moves the server's clock.
func TestTimeouts(t *testing.T) {
	t.Run("no auth", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.AuthTimeout = 5 * time.Second })
		c := w.dial("/ws")
		w.later(4 * time.Second)
		c.send("auth", "", "", wire.Auth{Token: "ann"}) // still in time
		c.want(wire.KindConnected, "")
		late := w.dial("/ws")
		w.later(5 * time.Second)
		late.wantClose(wire.ClosePolicy)
		c.sync("p") // the other is untouched
	})
	t.Run("silent", func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.login("ann")
		w.later(2*wire.Heartbeat - time.Second)
		c.sync("p1") // a message is a sign of life
		w.later(2*wire.Heartbeat - time.Second)
		now := int64(w.clock.now())
		if err := c.ws.WriteControl(websocket.PongMessage, nil, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a pong is a sign of life", func() bool {
			for _, s := range w.hub.appendAll(nil) {
				return s.seen.Load() >= now
			}
			return false
		})
		w.later(2*wire.Heartbeat - time.Second)
		c.sync("p2")
		w.later(2 * wire.Heartbeat)
		c.wantClose(wire.CloseSilent)
	})
	t.Run("token expired", func(t *testing.T) {
		w := newWorld(t)
		exp := time.Now().Add(20 * time.Second).Unix()
		c, connected := w.login(fmt.Sprintf("ann?exp=%d", exp))
		if connected.ExpiresAt != exp*1000 {
			t.Errorf("expiresAt %d, want %d", connected.ExpiresAt, exp*1000)
		}
		w.later(40 * time.Second)
		c.sync("p") // expired, and may still refresh
		c.send("refresh", "r", "", wire.Refresh{Token: fmt.Sprintf("ann?exp=%d", exp+60)})
		c.want(wire.KindAck, "r")
		w.later(30 * time.Second)
		c.sync("p")
		w.later(59 * time.Second)
		c.wantClose(wire.CloseTokenExpired)
	})
}
