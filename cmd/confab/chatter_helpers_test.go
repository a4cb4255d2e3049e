package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling"
	"confab/signaling/wire"
)

// testSecret signs the tokens of the servers that these tests start.
const testSecret = "0123456789abcdef0123456789abcdef-of-tests"

// mintToken makes a token for a member of the rooms.
func mintToken(t *testing.T, user string, rooms ...string) string {
	t.Helper()
	return mintRole(t, user, wire.RoleMember, rooms...)
}

// mintModerator makes a token for a moderator of every room.
func mintModerator(t *testing.T, user string) string {
	t.Helper()
	return mintRole(t, user, wire.RoleModerator, "*")
}

func mintRole(t *testing.T, user string, role wire.Role, rooms ...string) string {
	t.Helper()
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Mint(signaling.Claims{
		User: wire.UserID(user), Name: user, Role: role, Grants: signaling.RoleGrants(role),
		Rooms: rooms, ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A chatter is a client that does what the protocol asks of clients: it keeps its ticket and a cursor for each
// room, joins again with them after a loss, sends what is not acknowledged again under the same id, takes a window
// in place of its view when the server cannot fill the gap, and looks at prev for holes. In each room it writes its
// next message when the one before is acknowledged.
type chatter struct {
	// Set by newChatter, then constant.
	base   string
	nodes  []string // of a cluster: each connection goes to one of them; nil = to base
	token  string
	user   string
	budget int           // messages to write into each room
	acked  *atomic.Int64 // acknowledgements of all chatters

	mu       sync.Mutex
	ticket   string           // guarded by mu
	views    map[string]*view // by room; guarded by mu, as what they hold
	problems []string         // what the protocol does not allow; guarded by mu
	resumed  int              // connections that got the earlier session back; guarded by mu
	filled   int              // joins that filled a gap; guarded by mu
	asked    time.Duration    // how long the server has asked it to wait before it comes back; guarded by mu
	drained  time.Duration    // the last such wait that it has kept; 0 = none; guarded by mu
	back     time.Time        // when it was connected again after that; guarded by mu
}

// A view is what a client has of a room.
type view struct {
	joined  bool // on this connection
	cursor  wire.Cursor
	seen    []logged
	sent    int            // messages written; the last one may be on its way
	flying  wire.RequestID // not acknowledged yet; empty = none
	acked   map[wire.RequestID]wire.Seq
	windows int // times that a window took the place of the view
}

// logged is one message as the server names it.
type logged struct {
	seq wire.Seq
	id  wire.RequestID
}

func newChatter(t *testing.T, base, user string, budget int, acked *atomic.Int64, rooms ...string) *chatter {
	t.Helper()
	c := &chatter{base: base, user: user, token: mintToken(t, user, rooms...), budget: budget, acked: acked, views: make(map[string]*view)}
	for _, room := range rooms {
		c.views[room] = &view{acked: make(map[wire.RequestID]wire.Seq)}
	}
	return c
}

// run stays connected until ctx ends.
func (c *chatter) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.live(ctx); err != nil && ctx.Err() == nil {
			select { // as PROTOCOL.md asks: a random wait, and what the server asks for
			case <-time.After(max(rand.N(100*time.Millisecond), c.takeAsked())):
			case <-ctx.Done():
			}
		}
	}
}

// takeAsked is how long the server has asked to wait, once.
func (c *chatter) takeAsked() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	if c.asked = 0; asked > 0 {
		c.drained = asked
	}
	return asked
}

// live is one connection.
func (c *chatter) live(ctx context.Context) error {
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience}
	base := c.base
	if len(c.nodes) > 0 {
		base = c.nodes[rand.N(len(c.nodes))]
	}
	conn, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(base, "http")+"/ws", http.Header{})
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	link := &link{conn: conn}
	c.mu.Lock()
	for _, v := range c.views {
		v.joined = false
	}
	auth := wire.Auth{Token: c.token, Ticket: c.ticket}
	c.mu.Unlock()
	if err := link.send(wire.Envelope{ID: "auth"}, wire.KindAuth, auth); err != nil {
		return err
	}
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		wire.Lines(frame, func(line []byte) bool {
			var env wire.Envelope
			if err = json.Unmarshal(line, &env); err == nil {
				err = c.take(link, env)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
}

// A link writes to a connection from several goroutines.
type link struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

func (l *link) send(head wire.Envelope, kind wire.Kind, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn.WriteMessage(websocket.TextMessage, wire.AppendEnvelope(nil, head, kind, data))
}

// take handles one line from the server.
func (c *chatter) take(l *link, env wire.Envelope) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.views[string(env.Room)]
	if v == nil && env.Room != "" {
		c.problem("a message of a room that was never joined: %s", env.Room)
		return nil
	}
	switch env.Type {
	case wire.KindConnected:
		return c.connected(l, env)
	case wire.KindSystemStatus:
		var body wire.SystemStatus
		if err := json.Unmarshal(env.Data, &body); err != nil {
			return err
		}
		c.asked = time.Duration(body.ReconnectAfterMS) * time.Millisecond
	case wire.KindJoined:
		return c.joined(l, v, env)
	case wire.KindChat:
		return c.heard(l, v, env)
	case wire.KindAck:
		return c.stored(l, v, env)
	case wire.KindError:
		return c.refused(l, v, env)
	}
	return nil
}

func (c *chatter) connected(l *link, env wire.Envelope) error {
	var body wire.Connected
	if err := json.Unmarshal(env.Data, &body); err != nil {
		return err
	}
	c.ticket = body.Ticket
	if c.drained > 0 && c.back.IsZero() {
		c.back = time.Now()
	}
	if body.Resumed {
		c.resumed++
	}
	for room, v := range c.views {
		if err := c.join(l, room, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *chatter) join(l *link, room string, v *view) error {
	var body wire.Join
	if v.cursor.Epoch != "" {
		since := v.cursor
		body.Since = &since
	}
	return l.send(wire.Envelope{ID: "join", Room: wire.RoomID(room)}, wire.KindJoin, body)
}

func (c *chatter) joined(l *link, v *view, env wire.Envelope) error {
	var body wire.Joined
	if err := json.Unmarshal(env.Data, &body); err != nil {
		return err
	}
	switch {
	case body.Recovered && v.cursor.Epoch == "":
		c.problem("recovered without a cursor in %s", env.Room)
	case body.Recovered:
		c.filled++
	case v.cursor.Epoch != "":
		v.windows++
		v.seen = nil
	}
	if !body.Recovered {
		v.cursor = wire.Cursor{}
	}
	v.cursor.Epoch = body.Epoch
	for _, old := range body.History {
		c.add(v, old, "history of "+string(env.Room))
	}
	v.cursor.Seq, v.joined = max(v.cursor.Seq, env.Seq), true
	return c.write(l, v, env.Room)
}

// add takes in one logged message.
func (c *chatter) add(v *view, env wire.Envelope, where string) {
	if env.Seq <= v.cursor.Seq {
		c.problem("%s: seq %d after %d", where, env.Seq, v.cursor.Seq)
		return
	}
	v.cursor.Seq = env.Seq
	v.seen = append(v.seen, logged{env.Seq, env.ID})
}

func (c *chatter) heard(l *link, v *view, env wire.Envelope) error {
	if !v.joined {
		c.problem("chat in %s before joined", env.Room)
		return nil
	}
	if env.Prev != 0 && env.Prev > v.cursor.Seq {
		c.problem("a hole on one connection in %s: %d names %d as the one before, %d was", env.Room, env.Seq, env.Prev, v.cursor.Seq)
		v.joined = false
		return c.join(l, string(env.Room), v)
	}
	c.add(v, env, "room "+string(env.Room))
	return nil
}

func (c *chatter) stored(l *link, v *view, env wire.Envelope) error {
	if env.ID != v.flying {
		if _, known := v.acked[env.ID]; !known {
			c.problem("an acknowledgement of %q in %s, where %q is on its way", env.ID, env.Room, v.flying)
		}
		return nil
	}
	var body wire.Ack
	if err := json.Unmarshal(env.Data, &body); err != nil {
		return err
	}
	if body.Seq == 0 {
		c.problem("%q was acknowledged without a seq", env.ID)
	}
	v.acked[env.ID], v.flying = body.Seq, ""
	c.acked.Add(1)
	return c.write(l, v, env.Room)
}

// refused sends again what may succeed later.
func (c *chatter) refused(l *link, v *view, env wire.Envelope) error {
	var body wire.ErrorBody
	if err := json.Unmarshal(env.Data, &body); err != nil {
		return err
	}
	switch {
	case env.ID == "auth":
		return errors.New(string(body.Code))
	case !body.Retryable:
		c.problem("error %s for %q in %s: %s", body.Code, env.ID, env.Room, body.Message)
		return nil
	case v == nil:
		return nil
	}
	time.AfterFunc(100*time.Millisecond, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		if env.ID == "join" {
			err = c.join(l, string(env.Room), v)
		} else {
			err = c.write(l, v, env.Room)
		}
		if err != nil {
			l.conn.Close() // the reader sees it and connects anew
		}
	})
	return nil
}

// write sends what is on its way again, or the next message.
func (c *chatter) write(l *link, v *view, room wire.RoomID) error {
	if !v.joined {
		return nil
	}
	if v.flying == "" {
		if v.sent >= c.budget {
			return nil
		}
		v.sent++
		v.flying = wire.RequestID(fmt.Sprintf("%s.%s.%d", c.user, room, v.sent))
	}
	return l.send(wire.Envelope{ID: v.flying, Room: room}, wire.KindChat, wire.Chat{Text: "message " + strconv.Itoa(v.sent) + " of " + c.user})
}

// problem notes what must not happen. mu is held.
func (c *chatter) problem(format string, args ...any) {
	if len(c.problems) < 10 {
		c.problems = append(c.problems, c.user+": "+fmt.Sprintf(format, args...))
	}
}

// complete reports whether c has written all it wants and sees count messages in every room.
func (c *chatter) complete(count int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.views {
		if len(v.acked) < c.budget || len(v.seen) < count {
			return false
		}
	}
	return true
}

// pageAll reads a room's whole log through history, as one who comes for the first time.
func pageAll(t *testing.T, base, room string) []logged {
	t.Helper()
	conn, first := connect(t, base, mintToken(t, "reader", room))
	defer conn.Close()
	if first.Type != wire.KindConnected {
		t.Fatalf("got %s; want connected", first.Type)
	}
	l := &link{conn: conn}
	ask := func(id string, kind wire.Kind, body, answer any) {
		t.Helper()
		if err := l.send(wire.Envelope{ID: wire.RequestID(id), Room: wire.RoomID(room)}, kind, body); err != nil {
			t.Fatal(err)
		}
		for {
			env := next(t, conn)
			if env.ID != wire.RequestID(id) {
				continue
			}
			if err := json.Unmarshal(env.Data, answer); err != nil || env.Type == wire.KindError {
				t.Fatalf("%s in %s: %s %v", kind, room, env.Data, err)
			}
			return
		}
	}
	var joined wire.Joined
	ask("join", wire.KindJoin, wire.Join{}, &joined)
	var all []logged
	page := wire.HistoryPage{More: true}
	for before := wire.Seq(0); page.More; {
		page = wire.HistoryPage{}
		ask("page", wire.KindHistory, wire.History{Before: before, Limit: 100}, &page)
		var part []logged
		for _, env := range page.Messages {
			part = append(part, logged{env.Seq, env.ID})
		}
		all = slices.Concat(part, all)
		if len(part) == 0 {
			break
		}
		before = part[0].seq
	}
	return all
}
