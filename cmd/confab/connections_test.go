package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"confab/signaling"
	"confab/signaling/wire"
)

const (
	connectionsEnv    = "CONFAB_CONNECTIONS" // a number there makes a long run of TestConnections
	connectionsCount  = 1000
	connectionsAtOnce = 16
	connectionsRooms  = 20
)

// TestConnections has people connect, join a room and disconnect again, in a long run one in ten without a word. Then
// the server holds what it held before the first of them.
func TestConnections(t *testing.T) {
	count, abrupt := connectionsCount, 0
	if text := os.Getenv(connectionsEnv); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", connectionsEnv, err)
		}
		abrupt = 10
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--connection-limit", "0", "--rate-limit", "0", "--bots", "off", "--sfu", "off", "--log-level", "error")
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	p := &passers{server: server, keys: keys}
	for i := range connectionsRooms { // one stays in each, so that it is there before and after
		host, err := p.enter(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		go func() { // who reads nothing would be too slow
			for err := error(nil); err == nil; _, _, err = host.ReadMessage() {
			}
		}()
	}
	p.through(t, 10*connectionsAtOnce, 0) // what is made at the first use of something is no leak
	s := &soak{t: t, server: server}
	rest := p.atRest(t)
	began := time.Now()
	p.through(t, count, abrupt)
	took := time.Since(began)
	// Nothing is left of each: maps and pools keep the size that they had at most.
	const base = 2 << 20
	after := s.settled(rest, base)
	t.Logf("%d connections in %v: %.0f goroutines and %.1f MiB of heap before, %.0f and %.1f MiB after",
		count, took.Round(time.Second), rest[0], rest[1]/(1<<20), after[0], after[1]/(1<<20))
	server.ends(t)
}

// atRest is the least that the server holds within a second in which only those are connected who stay: goroutines, and
// bytes of live heap.
func (p *passers) atRest(t *testing.T) []float64 {
	t.Helper()
	names := []string{"go_goroutines", "go_gc_heap_live_bytes", `confab_sessions{transport="websocket"}`}
	var least []float64
	var since time.Time
	awaitThat(t, "the server is at rest", func() bool {
		now := gauges(t, p.server, names...)
		switch {
		case now[2] != connectionsRooms:
			return false
		case least == nil:
			least, since = now, time.Now()
		}
		least[0], least[1] = min(least[0], now[0]), min(least[1], now[1])
		return time.Since(since) > time.Second
	})
	return least
}

// passers connect and disconnect.
type passers struct {
	server *confab
	keys   *signaling.Keyring
}

// through has so many people pass, every abrupt-th of whom breaks the connection without a word; 0 = none.
func (p *passers) through(t *testing.T, count, abrupt int) {
	t.Helper()
	left := make(chan int, count)
	for i := range count {
		left <- i
	}
	close(left)
	var passing sync.WaitGroup
	for range min(connectionsAtOnce, count) {
		passing.Go(func() {
			for i := range left {
				if t.Failed() {
					return
				}
				if err := p.pass(t.Context(), i, abrupt > 0 && i%abrupt == abrupt-1); err != nil {
					t.Errorf("person %d: %v", i, err)
				}
			}
		})
	}
	passing.Wait()
}

// pass is one who comes and goes.
func (p *passers) pass(ctx context.Context, i int, abrupt bool) error {
	conn, err := p.enter(ctx, i)
	if err != nil {
		return err
	}
	defer conn.Close()
	if abrupt {
		return conn.NetConn().(*net.TCPConn).SetLinger(0) // its end is a reset
	}
	if err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		if _, _, err := conn.ReadMessage(); websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// enter connects as a user of its own, and joins a room.
func (p *passers) enter(ctx context.Context, i int) (_ *websocket.Conn, err error) {
	user, room := fmt.Sprint("u", i), fmt.Sprint("room-", i%connectionsRooms)
	token, err := p.keys.Mint(signaling.Claims{
		User: wire.UserID(user), Name: user, Role: wire.RoleMember, Grants: signaling.RoleGrants(wire.RoleMember),
		Rooms: []string{room}, ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience, ReadBufferSize: 4096, WriteBufferSize: 4096}
	conn, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(p.server.url, "http")+"/ws", nil)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return nil, err
	}
	l := &link{conn: conn}
	if err := l.send(wire.Envelope{ID: "auth"}, wire.KindAuth, wire.Auth{Token: token}); err != nil {
		return nil, err
	}
	if err := l.send(wire.Envelope{ID: "join", Room: wire.RoomID(room)}, wire.KindJoin, wire.Join{}); err != nil {
		return nil, err
	}
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(frame), `"type":"joined"`) {
			return conn, nil
		}
		if strings.Contains(string(frame), `"type":"error"`) {
			return nil, fmt.Errorf("refused: %s", frame)
		}
	}
}
