package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// A talker sends what a test wants, well formed or not, and reads what comes line by line.
type talker struct {
	t     *testing.T
	conn  *websocket.Conn
	lines []wire.Envelope // read, and not looked at yet

	ticket string // of its session
}

// dialTalker opens a socket and does not authenticate.
func dialTalker(t *testing.T, base string) *talker {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience}
	conn, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(base, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &talker{t: t, conn: conn}
}

// newTalker authenticates and joins.
func newTalker(t *testing.T, base, user string, rooms ...string) *talker {
	t.Helper()
	k := resumeTalker(t, base, user, "")
	for _, room := range rooms {
		k.send(`{"type":"join","id":"j","room":"` + room + `"}`)
		if env := k.answer("j"); env.Type != wire.KindJoined {
			t.Fatalf("joining %s: got %s %s", room, env.Type, env.Data)
		}
	}
	return k
}

// resumeTalker authenticates with the ticket of an earlier session.
func resumeTalker(t *testing.T, base, user, ticket string) *talker {
	t.Helper()
	k := dialTalker(t, base)
	auth, err := json.Marshal(wire.Auth{Token: mintToken(t, user, "*"), Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	k.send(`{"type":"auth","id":"a","data":` + string(auth) + `}`)
	env := k.next()
	var connected wire.Connected
	if env.Type != wire.KindConnected || json.Unmarshal(env.Data, &connected) != nil {
		t.Fatalf("got %s %s; want connected", env.Type, env.Data)
	}
	k.ticket = connected.Ticket
	return k
}

func authFrame(token string) string {
	return `{"type":"auth","id":"a","data":{"token":"` + token + `"}}`
}

func (k *talker) send(frame string) {
	k.t.Helper()
	k.sendAs(websocket.TextMessage, frame)
}

func (k *talker) sendAs(kind int, frame string) {
	k.t.Helper()
	if err := k.conn.WriteMessage(kind, []byte(frame)); err != nil {
		k.t.Fatal(err)
	}
}

// sendRaw writes bytes that are no message of the WebSocket library.
func (k *talker) sendRaw(raw []byte) {
	k.t.Helper()
	if _, err := k.conn.NetConn().Write(raw); err != nil {
		k.t.Fatal(err)
	}
}

// next returns the next line.
func (k *talker) next() wire.Envelope {
	k.t.Helper()
	env, err := k.tryNext()
	if err != nil {
		k.t.Fatal(err)
	}
	return env
}

func (k *talker) tryNext() (wire.Envelope, error) {
	for len(k.lines) == 0 {
		_, frame, err := k.conn.ReadMessage()
		if err != nil {
			return wire.Envelope{}, err
		}
		wire.Lines(frame, func(line []byte) bool {
			var env wire.Envelope
			err = json.Unmarshal(line, &env)
			k.lines = append(k.lines, env)
			return err == nil
		})
		if err != nil {
			return wire.Envelope{}, err
		}
	}
	env := k.lines[0]
	k.lines = k.lines[1:]
	return env, nil
}

// answer skips lines until the one with this id that is no logged message.
func (k *talker) answer(id string) wire.Envelope {
	k.t.Helper()
	return k.until(func(env wire.Envelope) bool {
		return string(env.ID) == id && env.Seq == 0 || env.Type == wire.KindJoined
	})
}

func (k *talker) until(match func(wire.Envelope) bool) wire.Envelope {
	k.t.Helper()
	for {
		if env := k.next(); match(env) {
			return env
		}
	}
}

// wantError expects the error with this id, which is empty where none could be read.
func (k *talker) wantError(id string, code wire.ErrorCode) {
	k.t.Helper()
	env := k.until(func(env wire.Envelope) bool { return env.Type == wire.KindError })
	var body wire.ErrorBody
	if err := json.Unmarshal(env.Data, &body); err != nil {
		k.t.Fatal(err)
	}
	if string(env.ID) != id || body.Code != code || body.Message == "" || body.Retryable != code.Retryable() {
		k.t.Errorf("got the error %s for id %q: %s; want %s for %q", body.Code, env.ID, body.Message, code, id)
	}
}

// wantPong checks that the connection works.
func (k *talker) wantPong() {
	k.t.Helper()
	k.send(`{"type":"ping","id":"still"}`)
	if env := k.answer("still"); env.Type != wire.KindPong {
		k.t.Errorf("got %s; want pong", env.Type)
	}
}

// wantClose reads to the end and expects this code.
func (k *talker) wantClose(code wire.CloseCode) {
	k.t.Helper()
	for {
		_, err := k.tryNext()
		if err == nil {
			continue
		}
		closed, ok := errors.AsType[*websocket.CloseError](err)
		if !ok || closed.Code != int(code) {
			k.t.Errorf("the connection ended with %v; want code %d", err, code)
		}
		return
	}
}

const (
	calmRoom  = "calm"
	calmPause = 50 * time.Millisecond
	// calmBound is far more than a message takes, and far less than it would if somebody else could hold up a room.
	calmBound = 3 * time.Second
)

// A bystander chats in a room of its own with another one, and notes whatever disturbs it.
type bystander struct {
	name string
	conn *websocket.Conn

	mu      sync.Mutex
	sent    int               // guarded by mu
	heard   map[string]int    // messages by sender: how many in a row; guarded by mu
	slowest time.Duration     // guarded by mu
	faults  []string          // guarded by mu
	others  map[wire.Kind]int // what else came, by type; guarded by mu
	done    chan struct{}     // closed when it reads no more
}

// bystanders starts two of them. The returned function ends them and reports what disturbed them.
func bystanders(t *testing.T, base string) (finish func()) {
	t.Helper()
	over := make(chan struct{})
	pair := make([]*bystander, 2)
	for i := range pair {
		k := newTalker(t, base, "bystander-"+strconv.Itoa(i), calmRoom)
		_ = k.conn.SetReadDeadline(time.Time{})
		b := &bystander{name: "bystander-" + strconv.Itoa(i), conn: k.conn, heard: make(map[string]int), others: make(map[wire.Kind]int), done: make(chan struct{})}
		pair[i] = b
		go b.listen(over)
	}
	var writing sync.WaitGroup
	for _, b := range pair {
		writing.Go(func() { b.talk(over) })
	}
	return func() {
		t.Helper()
		close(over)
		writing.Wait()
		awaitThat(t, "the bystanders have heard everything", func() bool { return pair[0].knows(pair) && pair[1].knows(pair) })
		for _, b := range pair {
			b.conn.Close()
			<-b.done
			b.mu.Lock()
			t.Logf("%s: %d sent, heard %v, the slowest after %v, beside that %v", b.name, b.sent, b.heard, b.slowest, b.others)
			for _, fault := range b.faults {
				t.Errorf("%s: %s", b.name, fault)
			}
			b.mu.Unlock()
		}
	}
}

func (b *bystander) talk(over chan struct{}) {
	tick := time.NewTicker(calmPause)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-b.done:
			return
		case <-tick.C:
		}
		b.mu.Lock()
		b.sent++
		text := fmt.Sprintf("%s %d %d", b.name, b.sent, time.Now().UnixNano())
		id := fmt.Sprintf("%s.%d", b.name, b.sent)
		b.mu.Unlock()
		err := b.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"chat","id":"`+id+`","room":"`+calmRoom+`","data":{"text":"`+text+`"}}`))
		if err != nil {
			return // the reader notes it
		}
	}
}

func (b *bystander) listen(over chan struct{}) {
	defer close(b.done)
	for {
		_, frame, err := b.conn.ReadMessage()
		if err != nil {
			select {
			case <-over:
			default:
				b.fault("its connection ended: %v", err)
			}
			return
		}
		wire.Lines(frame, func(line []byte) bool {
			b.take(line)
			return true
		})
	}
}

func (b *bystander) take(line []byte) {
	var env wire.Envelope
	var body wire.ChatRecord
	if err := json.Unmarshal(line, &env); err != nil {
		b.fault("what came is not JSON: %q", line)
		return
	}
	b.mu.Lock()
	b.others[env.Type]++
	b.mu.Unlock()
	switch env.Type {
	case wire.KindChat:
	case wire.KindError:
		b.fault("an error: %s", line)
		return
	default:
		return
	}
	var sender string
	var number int
	var at int64
	if err := json.Unmarshal(env.Data, &body); err != nil {
		b.fault("a chat that cannot be read: %q", line)
		return
	}
	if _, err := fmt.Sscanf(body.Text, "%s %d %d", &sender, &number, &at); err != nil || env.Author == nil || string(env.Author.User) != sender {
		b.fault("a message that no bystander wrote: %q", line)
		return
	}
	took := time.Since(time.Unix(0, at))
	b.mu.Lock()
	expected := b.heard[sender] + 1
	b.heard[sender] = number
	b.slowest = max(b.slowest, took)
	b.mu.Unlock()
	if number != expected {
		b.fault("message %d of %s came where %d was due", number, sender, expected)
	}
	if took > calmBound {
		b.fault("message %d of %s took %v", number, sender, took)
	}
}

func (b *bystander) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) < 5 {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// knows reports whether b has heard all that the pair has sent, or never will.
func (b *bystander) knows(pair []*bystander) bool {
	select {
	case <-b.done:
		return true
	default:
	}
	for _, other := range pair {
		other.mu.Lock()
		sent := other.sent
		other.mu.Unlock()
		b.mu.Lock()
		heard := b.heard[other.name]
		b.mu.Unlock()
		if heard < sent {
			return false
		}
	}
	return true
}
