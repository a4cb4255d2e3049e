// Package driver is the client side of measurements: many connections to a server from one process, at as little cost as
// there can be, because they often share the cores with what is measured.
//
// Frames are parsed by hand, and lines are looked into without being decoded where that will do. A Conn has one reading
// goroutine, which ends with the connection; who wants to see every line has it called on that goroutine (Listen).
//
// The package knows of the protocol what measurements need, and imports nothing of the server's.
package driver

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// AnswerTimeout is how long a client waits for an answer before it has lost it.
	AnswerTimeout = 20 * time.Second

	readBuffer = 4 << 10
)

// A Conn is one client. One goroutine reads; Write and Ask may be called from any, Ask by one at a time.
type Conn struct {
	// Set by Dial, then constant.
	raw  net.Conn
	done chan struct{} // closed when the reader has ended
	err  error         // why; read it after done

	listener atomic.Pointer[func(line []byte)]
	wanted   atomic.Pointer[wanted]

	mu  sync.Mutex
	out []byte // guarded by mu
}

// wanted is an answer that somebody waits for: the first line of this kind, or an error.
type wanted struct {
	kind []byte
	line chan []byte // of capacity 1
}

// A Server is where clients connect.
type Server struct {
	Addr string      // host and port
	Host string      // of the request; empty = Addr
	TLS  *tls.Config // nil = in the clear
}

// A RefusedError says that a server did not upgrade.
type RefusedError struct {
	Status int // of HTTP
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server did not upgrade: %d %s", e.Status, http.StatusText(e.Status))
}

// Dial connects to a server and upgrades. Errors: *RefusedError, and those of the network.
func Dial(ctx context.Context, s Server) (*Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	if s.TLS != nil {
		raw = tls.Client(raw, s.TLS)
	}
	buffered, err := upgrade(raw, cmp.Or(s.Host, s.Addr))
	if err != nil {
		raw.Close()
		return nil, err
	}
	c := &Conn{raw: raw, done: make(chan struct{})}
	go c.read(buffered)
	return c, nil
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why it has ended, after Done.
func (c *Conn) Err() error { return c.err }

// upgrade does the opening handshake (RFC 6455 section 4.1). The key is constant: nothing here defends against
// caching proxies. It returns what came behind the response.
func upgrade(raw net.Conn, host string) ([]byte, error) {
	_ = raw.SetDeadline(time.Now().Add(AnswerTimeout))
	defer func() { _ = raw.SetDeadline(time.Time{}) }() // an error means that it is closed
	_, err := io.WriteString(raw, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(raw, 1024)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, &RefusedError{response.StatusCode}
	}
	early := make([]byte, reader.Buffered())
	_, err = io.ReadFull(reader, early)
	return early, err
}

// read hands every line of every frame to who wants it, until the connection ends.
func (c *Conn) read(early []byte) {
	defer close(c.done)
	defer c.raw.Close()
	buf := make([]byte, readBuffer)
	have := copy(buf, early)
	for {
		used, need, err := c.frames(buf[:have])
		if err != nil {
			c.err = err
			return
		}
		have = copy(buf, buf[used:have])
		switch {
		case need > len(buf):
			buf = append(make([]byte, 0, need), buf[:have]...)[:need]
		case have == 0 && len(buf) > readBuffer:
			buf = make([]byte, readBuffer) // a large frame is rare: a history
		}
		n, err := c.raw.Read(buf[have:])
		have += n
		if err != nil {
			c.err = err
			return
		}
	}
}

// frames handles the whole frames in buf; used is what they take, need the size of the frame that is not whole.
func (c *Conn) frames(buf []byte) (used, need int, err error) {
	for {
		op, payload, size, ok, err := parseFrame(buf[used:])
		if err != nil || !ok {
			return used, size, err
		}
		used += size
		switch op {
		case opText:
			c.lines(payload)
		case opPing:
			if err := c.writeFrame(opPong, payload); err != nil {
				return used, 0, err
			}
		case opClose:
			return used, 0, closeError(payload)
		}
	}
}

func closeError(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("closed without a code")
	}
	return fmt.Errorf("closed with %d %s", binary.BigEndian.Uint16(payload), payload[2:])
}

func (c *Conn) lines(frame []byte) {
	for len(frame) > 0 {
		line, rest, _ := bytes.Cut(frame, newline)
		frame = rest
		if want := c.wanted.Load(); want != nil && (IsKind(line, want.kind) || IsKind(line, KindError)) {
			if c.wanted.CompareAndSwap(want, nil) {
				want.line <- bytes.Clone(line)
			}
		}
		if fn := c.listener.Load(); fn != nil {
			(*fn)(line)
		}
	}
}

// Listen has fn called with every line from now on, on the reading goroutine. The line is only valid meanwhile.
func (c *Conn) Listen(fn func(line []byte)) { c.listener.Store(&fn) }

// Write sends one text frame.
func (c *Conn) Write(payload []byte) error { return c.writeFrame(opText, payload) }

func (c *Conn) writeFrame(op byte, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendFrame(c.out[:0], op, payload)
	_, err := c.raw.Write(c.out)
	return err
}

// Ask sends a request and returns the first line of that kind. One at a time.
func (c *Conn) Ask(request []byte, kind string) ([]byte, error) {
	want := &wanted{kind: []byte(kind), line: make(chan []byte, 1)}
	c.wanted.Store(want)
	if err := c.Write(request); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(AnswerTimeout)
	defer timeout.Stop()
	select {
	case line := <-want.line:
		if IsKind(line, KindError) {
			return nil, fmt.Errorf("the server answers %s", line)
		}
		return line, nil
	case <-c.done:
		return nil, fmt.Errorf("waiting for %s: %w", kind, c.err)
	case <-timeout.C:
		return nil, fmt.Errorf("no %s within %v", kind, AnswerTimeout)
	}
}

// Drop ends the connection without a word, as a network that fails does.
func (c *Conn) Drop() {
	c.raw.Close()
	<-c.done
}

// Bye ends the connection in order: a client that is done.
func (c *Conn) Bye() {
	_ = c.writeFrame(opClose, binary.BigEndian.AppendUint16(nil, 1000))
	c.Drop()
}

// The types of lines, and other marks in them.
var (
	KindError    = []byte("error")
	KindChat     = []byte("chat")
	KindAck      = []byte("ack")
	KindJoined   = []byte("joined")
	KindPresence = []byte("presence")
	EventJoined  = []byte(`"event":"joined"`)
	ChatWithin   = []byte(`{"type":"chat"`) // a message in a joined's history

	newline = []byte{'\n'}
	typeIs  = []byte(`{"type":"`)
	idIs    = []byte(`"id":"`)
	textIs  = []byte(`"text":"`)
)

// IsKind reports whether a line is of a type. Both servers write the type first.
func IsKind(line, kind []byte) bool {
	n := len(typeIs)
	return len(line) > n+len(kind) && line[n+len(kind)] == '"' && bytes.Equal(line[n:n+len(kind)], kind) &&
		bytes.Equal(line[:n], typeIs)
}

// SentAt reads the time that a chat message bears at the start of its text; 0 = none.
func SentAt(line []byte) int64 {
	i := bytes.Index(line, textIs)
	if i < 0 || len(line) < i+len(textIs)+stampDigits {
		return 0
	}
	var at int64
	for _, digit := range line[i+len(textIs) : i+len(textIs)+stampDigits] {
		at = at*10 + int64(digit-'0')
	}
	return at
}

// IDOf returns the first id in a line: the line's own. It is only valid as long as the line.
func IDOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, idIs)
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	return id
}
