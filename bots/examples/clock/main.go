// Clock is a bot outside of the server: it tells the time to who mentions it, by the protocol (signaling/PROTOCOL.md).
//
//	export CONFAB_TOKEN=$(confab token --user clock --name Clock --kind bot --rooms lobby)
//	go run ./bots/examples/clock ws://127.0.0.1:8080/ws lobby
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

type object = map[string]any

type envelope struct {
	Type, Thread string
	Seq          uint64
	Author       struct{ Kind, Name string }
	Data         struct { // what matters of all types together
		Ticket, Epoch, Text, Code, Message string
		Self                               struct{ Name string }
		History                            []envelope
	}
}

type bot struct {
	conn               *websocket.Conn
	room, name, ticket string // ticket takes the session up again
	epoch              string // of seq; empty = it was not in the room yet
	seq                uint64 // how far it has read
}

func main() {
	b := &bot{room: os.Args[2]}
	for {
		err := b.session(os.Args[1], os.Getenv("CONFAB_TOKEN"))
		fmt.Fprintln(os.Stderr, "clock:", err)
		if c, ok := errors.AsType[*websocket.CloseError](err); ok && (c.Code == websocket.ClosePolicyViolation || c.Code >= 4500) {
			os.Exit(1) // the token is not good, or a moderator has put it out
		}
		time.Sleep(rand.N(3 * time.Second)) // when a server restarts, not all come back at once
	}
}

// session is one connection. What was said since the one before is in its joined.
func (b *bot) session(url, token string) (err error) {
	dialer := websocket.Dialer{Subprotocols: []string{"confab.v1"}, HandshakeTimeout: 10 * time.Second}
	if b.conn, _, err = dialer.Dial(url, nil); err != nil {
		return err
	}
	defer b.conn.Close()
	alive := func() error { return b.conn.SetReadDeadline(time.Now().Add(time.Minute)) } // the server pings every 25 s
	pong := b.conn.PingHandler()
	b.conn.SetPingHandler(func(data string) error { return errors.Join(alive(), pong(data)) })
	err = errors.Join(alive(), b.conn.WriteJSON(object{"type": "auth", "data": object{"token": token, "ticket": b.ticket}}),
		b.conn.WriteJSON(object{"type": "join", "room": b.room, "data": object{"since": object{"seq": b.seq, "epoch": b.epoch}}}))
	for frame := []byte(nil); err == nil; {
		_, frame, err = b.conn.ReadMessage()
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			var e envelope
			_ = json.Unmarshal(line, &e) // bodies of other types have other fields
			err = errors.Join(err, b.take(e))
		}
	}
	return err
}

func (b *bot) take(e envelope) (err error) {
	switch {
	case e.Type == "connected":
		b.ticket = e.Data.Ticket
	case e.Type == "error" && e.Data.Code != "unauthorized": // after which the connection is closed anyway
		return errors.New(e.Data.Message)
	case e.Type == "joined":
		for _, m := range e.Data.History {
			if b.epoch == e.Data.Epoch && m.Seq > b.seq {
				err = errors.Join(err, b.take(m))
			}
		}
		b.name, b.epoch, b.seq = strings.ToLower(e.Data.Self.Name), e.Data.Epoch, e.Seq
	case e.Type == "chat" && e.Author.Kind != "bot" && strings.Contains(strings.ToLower(e.Data.Text), "@"+b.name):
		// Bots are not answered, so that they come to an end. An answer given again has the same id: it is stored once.
		err = b.conn.WriteJSON(object{
			"type": "chat", "room": b.room, "thread": e.Thread, "id": fmt.Sprintf("answer-%.40s-%d", e.Thread, e.Seq),
			"data": object{"text": "It is " + time.Now().UTC().Format("15:04 MST") + ", " + e.Author.Name, "replyTo": e.Seq},
		})
	}
	if e.Thread == "" {
		b.seq = max(b.seq, e.Seq)
	}
	return err
}
