package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// testIdentity: what a client writes into fields of the server is ignored, and names are cleaned.
func testIdentity(t *testing.T, base string) {
	ada, grace := newTalker(t, base, "ada", "who"), newTalker(t, base, "grace", "who")
	ada.send(`{"type":"chat","id":"lie","room":"who","from":"p-somebody","author":{"user":"grace","name":"Grace","kind":"bot"},` +
		`"seq":1,"prev":7,"ts":1,"data":{"text":"it was Grace","edited":5,"deleted":true,"reactions":{"x":["grace"]}}}`)
	env := grace.until(func(env wire.Envelope) bool { return env.Type == wire.KindChat })
	var body wire.ChatRecord
	if err := json.Unmarshal(env.Data, &body); err != nil {
		t.Fatal(err)
	}
	if env.Author == nil || env.Author.User != "ada" || env.Author.Kind != wire.Human || env.From == "p-somebody" || env.From == "" || env.TS < 1e12 {
		t.Errorf("the message says from %q, author %v, ts %d", env.From, env.Author, env.TS)
	}
	if body.Edited != 0 || body.Deleted || body.Reactions != nil || body.Text != "it was Grace" {
		t.Errorf("the message has %+v", body)
	}
	for kind, data := range map[string]string{"edit": `{"message":%d,"text":"I said nothing"}`, "delete": `{"message":%d}`} {
		grace.send(fmt.Sprintf(`{"type":%q,"id":"i","room":"who","data":`+data+`}`, kind, env.Seq))
		grace.wantError("i", wire.CodeForbidden)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "odd", "name": "A\x00d\x1ba\r\n\u202eevil" + strings.Repeat("x", 200), "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	k := dialTalker(t, base)
	k.send(authFrame(token))
	var connected wire.Connected
	if err := json.Unmarshal(k.next().Data, &connected); err != nil {
		t.Fatal(err)
	}
	name := connected.User.Name
	if strings.ContainsAny(name, "\x00\x1b\r\n\u202e") || len([]rune(name)) > wire.MaxDisplayName || !strings.HasPrefix(name, "Ada") {
		t.Errorf("the name became %q", name)
	}
	ada.send(`{"type":"chat","id":"nul","room":"who","data":{"text":"a\u0000b\ud800c"}}`)
	env = grace.until(func(env wire.Envelope) bool { return env.ID == "nul" })
	if err := json.Unmarshal(env.Data, &body); err != nil || body.Text != "a\x00b\ufffdc" {
		t.Errorf("escapes became %q, %v", body.Text, err)
	}
}

// testBatches: what is good in a frame takes effect whatever stands beside it; a repeat takes effect once.
func testBatches(t *testing.T, base string) {
	ada := newTalker(t, base, "ada", "batch")
	ada.send("\n" + `{"type":"chat","id":"one","room":"batch","data":{"text":"1"}}` + "\n" + `{"type":"chat","id":"two"` + "\n\r\n" +
		`{"type":"chat","id":"three","room":"batch","data":{"text":"3"}}` + "\n\n")
	got := make(map[string]int)
	for len(got) < 5 {
		env := ada.next()
		if env.Type == wire.KindPresence {
			continue
		}
		got[string(env.Type)+" "+string(env.ID)]++
	}
	for _, want := range []string{"ack one", "chat one", "error ", "ack three", "chat three"} {
		if got[want] != 1 {
			t.Errorf("%q came %d times; all is %v", want, got[want], got)
		}
	}
	var first wire.Ack
	for n := range 3 {
		ada.send(fmt.Sprintf(`{"type":"chat","id":"again","room":"batch","data":{"text":"text %d"}}`, n))
		env := ada.until(func(env wire.Envelope) bool { return env.ID == "again" && env.Type == wire.KindAck })
		var ack wire.Ack
		if err := json.Unmarshal(env.Data, &ack); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = ack
		}
		if ack.Seq != first.Seq || ack.Duplicate != (n > 0) {
			t.Errorf("repeat %d: %+v; the first was %+v", n, ack, first)
		}
	}
	ada.send(`{"type":"history","id":"h","room":"batch","data":{}}`)
	var page wire.HistoryPage
	if err := json.Unmarshal(ada.answer("h").Data, &page); err != nil {
		t.Fatal(err)
	}
	texts := ""
	for _, env := range page.Messages {
		var body wire.ChatRecord
		if err := json.Unmarshal(env.Data, &body); err != nil {
			t.Fatal(err)
		}
		texts += body.Text + "|"
	}
	if texts != "1|3|text 0|" {
		t.Errorf("the room holds %q", texts)
	}
	other := newTalker(t, base, "grace", "batch") // ids are a user's own
	other.send(`{"type":"chat","id":"again","room":"batch","data":{"text":"Grace's"}}`)
	var ack wire.Ack
	env := other.until(func(env wire.Envelope) bool { return env.ID == "again" && env.Type == wire.KindAck })
	if err := json.Unmarshal(env.Data, &ack); err != nil || ack.Duplicate {
		t.Errorf("another user's message of the same id: %+v %v", ack, err)
	}
	other.send(`{"type":"ping","id":"a","id":"b"}` + "\n" + `{"type":"teleport","type":"ping","id":"c"}`) // the last one counts
	for _, id := range []string{"b", "c"} {
		if env := other.answer(id); env.Type != wire.KindPong {
			t.Errorf("%s got %s", id, env.Type)
		}
	}
}

// testBadConnections: what breaks the transport's rules ends the connection with the code for it.
func testBadConnections(t *testing.T, base string) {
	masked := func(first byte, payload string) []byte { // a frame with a mask of zeros (RFC 6455 section 5.2)
		return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	}
	for _, c := range []struct {
		name string
		code wire.CloseCode
		send func(k *talker)
	}{
		{"binary frame", wire.CloseUnsupported, func(k *talker) { k.sendAs(websocket.BinaryMessage, `{"type":"ping"}`) }},
		{"invalid UTF-8", wire.CloseInvalidPayload, func(k *talker) { k.send("{\"type\":\"ping\",\"id\":\"\xff\xfe\"}") }},
		{"oversized frame", wire.CloseTooBig, func(k *talker) { k.send(strings.Repeat(" ", wire.MaxFrameBytes+1)) }},
		{"oversized in fragments", wire.CloseTooBig, func(k *talker) {
			k.sendRaw(masked(0x01, strings.Repeat(" ", 100)))
			for range 1 + wire.MaxFrameBytes/100 {
				k.sendRaw(masked(0x00, strings.Repeat(" ", 100)))
			}
		}},
		{"compressed frame", wire.CloseProtocolError, func(k *talker) { k.sendRaw(masked(0xc1, "\xca\xcf\x07\x00")) }},
		{"reserved opcode", wire.CloseProtocolError, func(k *talker) { k.sendRaw(masked(0x83, "x")) }},
		{"no mask", wire.CloseProtocolError, func(k *talker) { k.sendRaw([]byte{0x81, 1, 'x'}) }},
		{"100 errors", wire.CloseTooManyErrors, func(k *talker) { k.send(strings.Repeat("x\n", wire.MaxErrors)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalker(t, base, "mallory", "bad")
			c.send(k)
			k.wantClose(c.code)
		})
	}
	t.Run("99 errors", func(t *testing.T) {
		k := newTalker(t, base, "mallory")
		k.send(strings.Repeat("x\n", wire.MaxErrors-1))
		k.wantPong()
	})
	t.Run("the largest frame", func(t *testing.T) {
		k := newTalker(t, base, "mallory")
		k.send(strings.Repeat(" ", wire.MaxFrameBytes))
		k.wantPong()
	})
	t.Run("over 4 KiB before auth", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(`{"type":"auth","data":{"token":"` + strings.Repeat("x", wire.MaxAuthFrameBytes) + `"}}`)
		k.wantClose(wire.CloseTooBig)
	})
	t.Run("something else before auth", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(`{"type":"join","id":"i","room":"calm"}`)
		k.wantError("i", wire.CodeUnauthorized)
		k.wantClose(wire.ClosePolicy)
	})
}

// testFloods: 10,000 messages a second from one client, and a client that asks for much and reads nothing.
func testFloods(t *testing.T, base string) {
	t.Run("10,000 messages", func(t *testing.T) {
		k := newTalker(t, base, "mallory", "bad")
		go func() {
			for n := range 10_000 {
				frame := fmt.Appendf(nil, `{"type":"chat","id":"f%d","room":"bad","data":{"text":"spam"}}`, n)
				if err := k.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
					return // it is being closed, as it should be
				}
			}
		}()
		k.wantError(k.flooded(), wire.CodeRateLimited)
		k.wantClose(wire.CloseTooManyErrors)
	})
	t.Run("reads nothing", func(t *testing.T) {
		loud := newTalker(t, base, "ada", "loud")
		for range 20 {
			loud.send(`{"type":"chat","room":"loud","data":{"text":"` + strings.Repeat("x", wire.MaxTextBytes) + `"}}`)
			loud.until(func(env wire.Envelope) bool { return env.Type == wire.KindChat })
		}
		deaf := newTalker(t, base, "deaf", calmRoom, "loud")
		tcp, ok := deaf.conn.NetConn().(*net.TCPConn)
		if !ok {
			t.Fatalf("the connection is a %T", deaf.conn.NetConn())
		}
		_ = tcp.SetReadBuffer(4 << 10) // so that the system does not read for it
		const asked = `{"type":"history","room":"loud","data":{"limit":256}}` + "\n"
		deaf.send(strings.Repeat(asked, 150))
		awaitThat(t, "the server gives up on it", func() bool {
			_, metrics := do(t, http.MethodGet, base+"/metrics", "")
			return strings.Contains(metrics, "confab_slow_consumers_total 1")
		})
		_ = tcp.SetReadBuffer(1 << 20)
		if err := deaf.drain(); !cutAsTooSlow(err) {
			t.Errorf("it ended with %v; want 4009, or a cut where the close frame cannot be written", err)
		}
		loud.wantPong()
	})
}

// drain reads what the system still holds, and returns how the connection ended.
func (k *talker) drain() error {
	for {
		if _, err := k.tryNext(); err != nil {
			return err
		}
	}
}

// cutAsTooSlow: 4009, or an end without a word where nothing more could be written.
func cutAsTooSlow(err error) bool {
	return websocket.IsCloseError(err, int(wire.CloseTooSlow), websocket.CloseAbnormalClosure) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// flooded returns the id of the first error, and leaves it to be read.
func (k *talker) flooded() string {
	k.t.Helper()
	env := k.until(func(env wire.Envelope) bool { return env.Type == wire.KindError })
	k.lines = append([]wire.Envelope{env}, k.lines...)
	return string(env.ID)
}

// testHandshakes: what is wrong is refused before the upgrade, with a status and a code.
func testHandshakes(t *testing.T, base string) {
	socket := "ws" + strings.TrimPrefix(base, "http") + "/ws"
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"unknown subprotocol", http.Header{"Sec-Websocket-Protocol": {"confab.v99, chat"}}, http.StatusBadRequest},
		{"foreign origin", http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		{"origin null", http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{"origin that looks like ours", http.Header{"Origin": {strings.Replace(base, "127.0.0.1", "127.0.0.1.evil.example", 1)}}, http.StatusForbidden},
		{"old version", http.Header{"Sec-Websocket-Version": {"8"}}, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/ws", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
			for name, values := range c.header {
				request.Header[name] = values
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != c.status {
				t.Errorf("got %s; want %d", response.Status, c.status)
			}
		})
	}
	t.Run("compression is not agreed on", func(t *testing.T) {
		dialer := websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}
		conn, response, err := dialer.DialContext(t.Context(), socket, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer response.Body.Close()
		if agreed := response.Header.Get("Sec-Websocket-Extensions"); agreed != "" {
			t.Errorf("the server agrees on %q", agreed)
		}
	})
	t.Run("token in the URL", func(t *testing.T) {
		conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), socket+"?token="+mintToken(t, "old", "*"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		defer conn.Close()
		var connected wire.Connected
		if env := next(t, conn); env.Type != wire.KindConnected || json.Unmarshal(env.Data, &connected) != nil || !connected.Deprecated {
			t.Errorf("got %s %s; want connected with deprecated", env.Type, env.Data)
		}
	})
	t.Run("bad token in the URL", func(t *testing.T) {
		conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), socket+"?token=nonsense", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		defer conn.Close()
		k := &talker{t: t, conn: conn}
		k.wantError("", wire.CodeUnauthorized)
		k.wantClose(wire.ClosePolicy)
	})
}

// testWaiting: who connects and says nothing, or says it very slowly, is sent away in time.
func testWaiting(t *testing.T, base string) {
	started := time.Now()
	silent := dialTalker(t, base)
	slow, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("GET /ws HTTP/1.1\r\nHost: x\r\n")); err != nil {
		t.Fatal(err)
	}
	trickled := make(chan error, 1)
	go func() { // one more byte of its headers at a time
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := slow.Write([]byte("X")); err != nil {
				trickled <- err
				return
			}
		}
	}()
	silent.wantClose(wire.ClosePolicy)
	if took := time.Since(started); took < badAuthTimeout || took > badAuthTimeout+patience/2 {
		t.Errorf("the silent client was sent away after %v; its time is %v", took, badAuthTimeout)
	}
	select {
	case err := <-trickled:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the slow client ended by itself: %v", err)
		}
	case <-time.After(patience):
		t.Errorf("the slow client still holds a connection after %v", time.Since(started))
	}
}
