package main

import (
	"bufio"
	"bytes"
	"context"
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
	readBuffer = 4 << 10
	// A client that waits longer than this for an answer has lost it.
	answerTimeout = 20 * time.Second
)

// A conn is one client. One goroutine reads; write and ask may be called from any.
type conn struct {
	// Set by dial, then constant.
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

// dial connects to a server and upgrades.
func dial(ctx context.Context, addr string) (*conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	buffered, err := upgrade(raw, addr)
	if err != nil {
		raw.Close()
		return nil, err
	}
	c := &conn{raw: raw, done: make(chan struct{})}
	go c.read(buffered)
	return c, nil
}

// upgrade does the opening handshake (RFC 6455 section 4.1). The key is constant: nothing here defends against
// caching proxies. It returns what came behind the response.
func upgrade(raw net.Conn, addr string) ([]byte, error) {
	_ = raw.SetDeadline(time.Now().Add(answerTimeout))
	defer func() { _ = raw.SetDeadline(time.Time{}) }() // an error means that it is closed
	_, err := io.WriteString(raw, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
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
		return nil, fmt.Errorf("the server did not upgrade: %s", response.Status)
	}
	early := make([]byte, reader.Buffered())
	_, err = io.ReadFull(reader, early)
	return early, err
}

// read hands every line of every frame to who wants it, until the connection ends.
func (c *conn) read(early []byte) {
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
func (c *conn) frames(buf []byte) (used, need int, err error) {
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

func (c *conn) lines(frame []byte) {
	for len(frame) > 0 {
		line, rest, _ := bytes.Cut(frame, newline)
		frame = rest
		if want := c.wanted.Load(); want != nil && (isKind(line, want.kind) || isKind(line, kindError)) {
			if c.wanted.CompareAndSwap(want, nil) {
				want.line <- bytes.Clone(line)
			}
		}
		if fn := c.listener.Load(); fn != nil {
			(*fn)(line)
		}
	}
}

// listen has fn called with every line from now on, on the reading goroutine. The line is only valid meanwhile.
func (c *conn) listen(fn func(line []byte)) { c.listener.Store(&fn) }

// write sends one text frame.
func (c *conn) write(payload []byte) error { return c.writeFrame(opText, payload) }

func (c *conn) writeFrame(op byte, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendFrame(c.out[:0], op, payload)
	_, err := c.raw.Write(c.out)
	return err
}

// ask sends a request and returns the first line of that kind. One at a time.
func (c *conn) ask(request []byte, kind string) ([]byte, error) {
	want := &wanted{kind: []byte(kind), line: make(chan []byte, 1)}
	c.wanted.Store(want)
	if err := c.write(request); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case line := <-want.line:
		if isKind(line, kindError) {
			return nil, fmt.Errorf("the server answers %s", line)
		}
		return line, nil
	case <-c.done:
		return nil, fmt.Errorf("waiting for %s: %w", kind, c.err)
	case <-timeout.C:
		return nil, fmt.Errorf("no %s within %v", kind, answerTimeout)
	}
}

// drop ends the connection without a word, as a network that fails does.
func (c *conn) drop() {
	c.raw.Close()
	<-c.done
}

// bye ends the connection in order: a client that is done.
func (c *conn) bye() {
	_ = c.writeFrame(opClose, binary.BigEndian.AppendUint16(nil, 1000))
	c.drop()
}

var (
	newline      = []byte{'\n'}
	typeIs       = []byte(`{"type":"`)
	textIs       = []byte(`"text":"`)
	kindError    = []byte("error")
	kindChat     = []byte("chat")
	kindAck      = []byte("ack")
	kindJoined   = []byte("joined")
	kindPresence = []byte("presence")
	eventJoined  = []byte(`"event":"joined"`)
	chatWithin   = []byte(`{"type":"chat"`) // a message in a joined's history
)

// isKind reports whether a line is of a type. Both servers write the type first.
func isKind(line, kind []byte) bool {
	n := len(typeIs)
	return len(line) > n+len(kind) && line[n+len(kind)] == '"' && bytes.Equal(line[n:n+len(kind)], kind) &&
		bytes.Equal(line[:n], typeIs)
}

// sentAt reads the time that a chat message bears at the start of its text; 0 = none.
func sentAt(line []byte) int64 {
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
