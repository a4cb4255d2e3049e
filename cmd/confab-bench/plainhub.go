package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/olahol/melody"
)

// hubHistory is how many messages of a room the plain hub keeps, as many as confab shows.
const hubHistory = 256

// A plainHub is what everything is compared with: a chat server as one writes it in an afternoon with melody,
// BroadcastFilter and a slice. It speaks as much of the protocol as the driver does. Everything is kept in memory
// only. It is not meant to be slow: rooms have a lock each, a message is encoded once, and nothing is logged.
type plainHub struct {
	melody *melody.Melody
	secret []byte

	mu    sync.Mutex
	rooms map[string]*hubRoom // guarded by mu
}

type hubRoom struct {
	mu      sync.Mutex
	seq     uint64
	history []hubLine
	members map[string]hubPerson // by session
}

type hubLine struct {
	seq  uint64
	line []byte
}

type hubPerson struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A hubMessage is any message of the hub.
type hubMessage struct {
	Type string          `json:"type"`
	ID   string          `json:"id,omitempty"`
	Room string          `json:"room,omitempty"`
	From *hubPerson      `json:"from,omitempty"`
	Seq  uint64          `json:"seq,omitempty"`
	TS   int64           `json:"ts,omitempty"`
	Data json.RawMessage `json:"data"`
}

// servePlainHub serves at addr until the process is ended.
func servePlainHub(addr string) error {
	return http.ListenAndServe(addr, newPlainHub(os.Getenv(secretEnv)))
}

func newPlainHub(secret string) http.Handler {
	h := &plainHub{melody: melody.New(), secret: []byte(secret), rooms: make(map[string]*hubRoom)}
	h.melody.Config.MaxMessageSize = 64 << 10 // the default of 512 bytes ends the connection at the first long message
	h.melody.HandleMessage(h.received)
	h.melody.HandleDisconnect(func(s *melody.Session) { h.leave(s) })
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		_ = h.melody.HandleRequest(w, r) // a refusal has been answered
	})
	return mux
}

func (h *plainHub) received(s *melody.Session, frame []byte) {
	var msg hubMessage
	if err := json.Unmarshal(frame, &msg); err != nil {
		h.answer(s, hubMessage{Type: "error"}, map[string]string{"code": "bad-message"})
		return
	}
	if _, ok := s.Get("me"); !ok && msg.Type != "auth" {
		h.answer(s, hubMessage{Type: "error", ID: msg.ID}, map[string]string{"code": "unauthorized"})
		return
	}
	switch msg.Type {
	case "auth":
		h.auth(s, msg)
	case "join":
		h.join(s, msg)
	case "leave":
		h.leave(s)
		h.answer(s, hubMessage{Type: "ack", ID: msg.ID}, nil)
	case "chat":
		h.chat(s, msg)
	default:
		h.answer(s, hubMessage{Type: "error", ID: msg.ID}, map[string]string{"code": "unknown-type"})
	}
}

// answer sends one message to one session.
func (h *plainHub) answer(s *melody.Session, msg hubMessage, data any) {
	line, err := encode(msg, data)
	if err == nil {
		_ = s.Write(line) // an error means that the session has ended
	}
}

func encode(msg hubMessage, data any) ([]byte, error) {
	if data == nil {
		data = struct{}{}
	}
	body, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	msg.Data = body
	return json.Marshal(msg)
}

func (h *plainHub) auth(s *melody.Session, msg hubMessage) {
	var data struct {
		Token string `json:"token"`
	}
	claims := struct {
		jwt.RegisteredClaims
		Name string `json:"name"`
	}{}
	err := json.Unmarshal(msg.Data, &data)
	if err == nil {
		_, err = jwt.ParseWithClaims(data.Token, &claims, func(*jwt.Token) (any, error) { return h.secret, nil },
			jwt.WithValidMethods([]string{"HS256"}))
	}
	if err != nil {
		h.answer(s, hubMessage{Type: "error", ID: msg.ID}, map[string]string{"code": "unauthorized"})
		return
	}
	me := hubPerson{ID: claims.Subject, Name: claims.Name}
	s.Set("me", me)
	h.answer(s, hubMessage{Type: "connected", ID: msg.ID}, me)
}

// join answers with who is there, replays what the client has not seen, and tells the others.
func (h *plainHub) join(s *melody.Session, msg hubMessage) {
	var data struct {
		Since struct {
			Seq uint64 `json:"seq"`
		} `json:"since"`
	}
	if err := json.Unmarshal(msg.Data, &data); err != nil {
		h.answer(s, hubMessage{Type: "error", ID: msg.ID}, map[string]string{"code": "bad-message"})
		return
	}
	me := personOf(s)
	room := h.room(msg.Room)
	room.mu.Lock()
	defer room.mu.Unlock()
	h.broadcast(msg.Room, hubMessage{Type: "presence"}, map[string]any{"event": "joined", "participant": me})
	room.members[me.ID] = me
	s.Set("room", msg.Room)
	members := make([]hubPerson, 0, len(room.members))
	for _, person := range room.members {
		members = append(members, person)
	}
	h.answer(s, hubMessage{Type: "joined", ID: msg.ID, Room: msg.Room, Seq: room.seq}, map[string]any{"participants": members})
	var missed [][]byte
	for _, old := range room.history {
		if old.seq > data.Since.Seq {
			missed = append(missed, old.line)
		}
	}
	if len(missed) > 0 { // in one frame: melody drops what goes beyond 256 messages waiting, and says nothing
		_ = s.Write(bytes.Join(missed, []byte{'\n'}))
	}
}

func (h *plainHub) leave(s *melody.Session) {
	name := roomOf(s)
	if name == "" {
		return
	}
	s.Set("room", "")
	me := personOf(s)
	room := h.room(name)
	room.mu.Lock()
	defer room.mu.Unlock()
	delete(room.members, me.ID)
	h.broadcast(name, hubMessage{Type: "presence"}, map[string]any{"event": "left", "participant": me})
}

func (h *plainHub) chat(s *melody.Session, msg hubMessage) {
	name := roomOf(s)
	if name == "" || name != msg.Room {
		h.answer(s, hubMessage{Type: "error", ID: msg.ID}, map[string]string{"code": "not-joined"})
		return
	}
	me := personOf(s)
	room := h.room(name)
	room.mu.Lock()
	defer room.mu.Unlock()
	room.seq++
	out := hubMessage{Type: "chat", ID: msg.ID, From: &me, Seq: room.seq, TS: time.Now().UnixMilli()}
	h.answer(s, hubMessage{Type: "ack", ID: msg.ID, Seq: room.seq}, nil)
	if line := h.broadcast(name, out, msg.Data); line != nil {
		room.history = append(room.history, hubLine{room.seq, line})
		if len(room.history) > hubHistory {
			room.history = room.history[1:]
		}
	}
}

// broadcast tells everyone in a room and returns the message as it was sent.
func (h *plainHub) broadcast(room string, msg hubMessage, data any) []byte {
	msg.Room = room
	line, err := encode(msg, data)
	if err != nil {
		return nil
	}
	_ = h.melody.BroadcastFilter(line, func(other *melody.Session) bool { return roomOf(other) == room })
	return line
}

func (h *plainHub) room(name string) *hubRoom {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.rooms[name]
	if room == nil {
		room = &hubRoom{members: make(map[string]hubPerson)}
		h.rooms[name] = room
	}
	return room
}

func roomOf(s *melody.Session) string {
	name, _ := s.Get("room")
	room, _ := name.(string)
	return room
}

func personOf(s *melody.Session) hubPerson {
	me, _ := s.Get("me")
	person, ok := me.(hubPerson)
	if !ok {
		panic(fmt.Sprintf("a session without a person: %v", me)) // received lets nobody through without auth
	}
	return person
}
