package driver

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// TextBytes is how long the text of a chat message is where nobody says otherwise.
	TextBytes = 200
	// MinTextBytes is what a text has at least: the time at which it was sent, in nanoseconds since 1970.
	MinTextBytes = stampDigits
	// MaxTextBytes is what it has at most.
	MaxTextBytes = 8 << 10
	// Connectors is how many people connect at the same time.
	Connectors = 32

	stampDigits = 19
)

var filler = strings.Repeat(" The quick brown fox jumps over the lazy dog.", MaxTextBytes/40)

// A Person is one client with its identity and how far it has read.
type Person struct {
	*Conn
	User   string // with which chat ids begin
	Token  string
	Ticket string
	Room   string
	Seq    uint64
	Epoch  string
	Sent   atomic.Int64 // chat messages
}

// Mint makes a token for a user that is good for every room.
func Mint(secret []byte, user string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "name": "Person " + user, "rooms": []string{"*"}, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(secret)
}

// Connect opens a connection and shows token and ticket. Errors: as Dial's, and what the server answers.
func (p *Person) Connect(ctx context.Context, s Server) error {
	c, err := Dial(ctx, s)
	if err != nil {
		return err
	}
	p.Conn = c
	request, err := json.Marshal(map[string]any{"type": "auth", "id": "auth", "data": map[string]string{"token": p.Token, "ticket": p.Ticket}})
	if err != nil {
		return err
	}
	line, err := c.Ask(request, "connected")
	if err != nil {
		c.Drop()
		return err
	}
	var connected struct {
		Data struct {
			Ticket string `json:"ticket"`
		} `json:"data"`
	}
	if err := json.Unmarshal(line, &connected); err != nil {
		c.Drop()
		return err
	}
	p.Ticket = connected.Data.Ticket
	return nil
}

// JoinRequest asks to join; with resume, for what came after the cursor.
func (p *Person) JoinRequest(room string, resume bool) []byte {
	line := `{"type":"join","id":"join-` + room + `","room":"` + room + `","data":{`
	if resume {
		line += `"since":{"seq":` + strconv.FormatUint(p.Seq, 10) + `,"epoch":"` + p.Epoch + `"}`
	}
	return []byte(line + "}}")
}

// Join enters a room and waits for the answer, which it returns.
func (p *Person) Join(room string) ([]byte, error) {
	line, err := p.Ask(p.JoinRequest(room, false), "joined")
	if err != nil {
		return nil, err
	}
	var joined struct {
		Seq  uint64 `json:"seq"`
		Data struct {
			Epoch string `json:"epoch"`
		} `json:"data"`
	}
	if err := json.Unmarshal(line, &joined); err != nil {
		return nil, err
	}
	p.Room, p.Seq, p.Epoch = room, joined.Seq, joined.Data.Epoch
	return line, nil
}

// Leave leaves the room.
func (p *Person) Leave() error {
	_, err := p.Ask([]byte(`{"type":"leave","id":"leave","room":"`+p.Room+`"}`), "ack")
	return err
}

// NextChat makes the person's next message, with the time in its text.
func (p *Person) NextChat() []byte {
	id := p.User + "." + strconv.FormatInt(p.Sent.Add(1), 10)
	return ChatLine(make([]byte, 0, TextBytes+120), p.Room, id, time.Now(), TextBytes)
}

// ChatLine appends a chat message whose text has so many bytes, from MinTextBytes to MaxTextBytes, and begins with the time.
func ChatLine(dst []byte, room, id string, at time.Time, bytes int) []byte {
	dst = append(append(dst, `{"type":"chat","id":"`...), id...)
	dst = append(append(dst, `","room":"`...), room...)
	dst = strconv.AppendInt(append(dst, `","data":{"text":"`...), at.UnixNano(), 10)
	return append(append(dst, filler[:bytes-stampDigits]...), `"}}`...)
}

// Say writes n messages one after the other, each when the one before is acknowledged.
func (p *Person) Say(n int) error {
	for range n {
		if _, err := p.Ask(p.NextChat(), "ack"); err != nil {
			return err
		}
	}
	return nil
}

// InParallel calls fn for 0 to n-1, workers at a time, and returns the first error.
func InParallel(n, workers int, fn func(i int) error) error {
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

// Await waits until something is so, at most so long, and reports whether it was.
func Await(most time.Duration, reached func() bool) bool {
	for end := time.Now().Add(most); ; {
		if reached() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
}
