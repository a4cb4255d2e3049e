package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	textBytes   = 200 // of every chat message
	stampDigits = 19  // nanoseconds since 1970 at the start of its text
	connectors  = 32  // people who connect at the same time while a scenario is set up
)

var filler = strings.Repeat(" The quick brown fox jumps over the lazy dog.", textBytes)[:textBytes-stampDigits]

// A person is one client with its identity and how far it has read.
type person struct {
	*conn
	user   string
	token  string
	ticket string
	room   string
	seq    uint64
	epoch  string
	sent   atomic.Int64 // chat messages
	spoke  atomic.Int64 // when the last one was written, in a closed loop, in nanoseconds since 1970
}

// mint makes a token for a user that is good for every room.
func mint(secret, user string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "name": "Person " + user, "rooms": []string{"*"}, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
}

// enter connects and authenticates.
func enter(ctx context.Context, s *server, secret, user string) (*person, error) {
	token, err := mint(secret, user)
	if err != nil {
		return nil, err
	}
	p := &person{user: user, token: token}
	return p, p.connect(ctx, s)
}

// connect opens a connection and shows token and ticket.
func (p *person) connect(ctx context.Context, s *server) error {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return err
	}
	p.conn = c
	request, err := json.Marshal(map[string]any{"type": "auth", "id": "auth", "data": map[string]string{"token": p.token, "ticket": p.ticket}})
	if err != nil {
		return err
	}
	line, err := c.ask(request, "connected")
	if err != nil {
		c.drop()
		return err
	}
	var connected struct {
		Data struct {
			Ticket string `json:"ticket"`
		} `json:"data"`
	}
	if err := json.Unmarshal(line, &connected); err != nil {
		c.drop()
		return err
	}
	p.ticket = connected.Data.Ticket
	return nil
}

// joinRequest asks to join; with resume, for what came after the cursor.
func (p *person) joinRequest(room string, resume bool) []byte {
	line := `{"type":"join","id":"join-` + room + `","room":"` + room + `","data":{`
	if resume {
		line += `"since":{"seq":` + strconv.FormatUint(p.seq, 10) + `,"epoch":"` + p.epoch + `"}`
	}
	return []byte(line + "}}")
}

// join enters a room and waits for the answer.
func (p *person) join(room string) error {
	line, err := p.ask(p.joinRequest(room, false), "joined")
	if err != nil {
		return err
	}
	var joined struct {
		Seq  uint64 `json:"seq"`
		Data struct {
			Epoch string `json:"epoch"`
		} `json:"data"`
	}
	if err := json.Unmarshal(line, &joined); err != nil {
		return err
	}
	p.room, p.seq, p.epoch = room, joined.Seq, joined.Data.Epoch
	return nil
}

// leave leaves the room.
func (p *person) leave() error {
	_, err := p.ask([]byte(`{"type":"leave","id":"leave","room":"`+p.room+`"}`), "ack")
	return err
}

// nextChat makes the person's next message, with the time in its text.
func (p *person) nextChat() []byte {
	return chatLine(make([]byte, 0, 320), p.room, p.chatID(p.sent.Add(1)), time.Now())
}

// chatID names a person's nth message.
func (p *person) chatID(n int64) string { return p.user + "." + strconv.FormatInt(n, 10) }

func chatLine(dst []byte, room, id string, at time.Time) []byte {
	dst = append(append(dst, `{"type":"chat","id":"`...), id...)
	dst = append(append(dst, `","room":"`...), room...)
	dst = strconv.AppendInt(append(dst, `","data":{"text":"`...), at.UnixNano(), 10)
	return append(append(dst, filler...), `"}}`...)
}

// say writes n messages one after the other, each when the one before is acknowledged.
func (p *person) say(n int) error {
	for range n {
		if _, err := p.ask(p.nextChat(), "ack"); err != nil {
			return err
		}
	}
	return nil
}

// crowd has n people enter, each into the room that roomOf names; none joins where it names none.
func crowd(ctx context.Context, s *server, secret string, n int, prefix string, roomOf func(i int) string) ([]*person, error) {
	people := make([]*person, n)
	err := inParallel(n, connectors, func(i int) error {
		p, err := enter(ctx, s, secret, prefix+strconv.Itoa(i))
		if err != nil {
			return fmt.Errorf("person %d of %d at %s: %w", i, n, s.name, err)
		}
		people[i] = p
		if room := roomOf(i); room != "" {
			return p.join(room)
		}
		return nil
	})
	return people, err
}

// inParallel calls fn for 0 to n-1, workers at a time, and returns the first error.
func inParallel(n, workers int, fn func(i int) error) error {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		next  int
		first error
	)
	for range min(n, workers) {
		group.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				failed := first != nil
				mu.Unlock()
				if i >= n || failed {
					return
				}
				if err := fn(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return first
}

func noRoom(int) string { return "" }

// roomsOf spreads people over rooms of a size.
func roomsOf(size int) func(i int) string {
	return func(i int) string { return "room-" + strconv.Itoa(i/size) }
}

// part ends everybody's connection.
func part(people []*person) {
	for _, p := range people {
		if p != nil && p.conn != nil {
			p.bye()
		}
	}
}
