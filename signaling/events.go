package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

const (
	streamWait    = 15 * time.Second       // from the beginning of a session to the request for its events
	commentPeriod = 15 * time.Second       // of a stream on which nothing is said; proxies cut at 30 s and more
	goodbyeWait   = 500 * time.Millisecond // from the end of a stream to a goodbye that went another way
	maxSends      = 4                      // requests of one session at a time; a client has one, and its repetitions

	// streamPadding is a comment at the beginning of a stream, in bytes: what collects that much before it passes
	// anything on shows itself before the first message waits there.
	streamPadding = 2 << 10
	maxEventsKept = 64 << 10 // of a buffer that is used again, in bytes
)

// An eventConn is the connection of a session over HTTP: what the server says is the answer to GET /events
// (Server-Sent Events, HTML section 9.2), what the client says comes with POST /send. There is one stream: with its end
// the connection ends, as a WebSocket does, and the client resumes with its ticket.
//
// The session's read goroutine is whoever holds reading. run owns the end.
type eventConn struct {
	// Set by newEventConn, then constant.
	session *Session
	over    chan struct{} // closed by end: the connection is of no use any more
	goodbye chan struct{} // closed by leave
	ending  sync.Once     // for over
	leaving sync.Once     // for goodbye
	writing chan struct{} // holds one while somebody writes: a lock that can be tried for a while

	sends atomic.Int32 // requests that send, at this moment
	wrote atomic.Int64 // when something was last written, on the server's clock

	reading  sync.Mutex
	taken    uint64      // the number of the last frame; guarded by reading
	closed   bool        // the session has heard its last; guarded by reading
	greeting []byte      // guarded by reading
	problem  *wire.Error // guarded by reading

	mu      sync.Mutex
	stream  *eventStream // nil before it and after it; guarded by mu
	begun   bool         // there is or was a stream; guarded by mu
	said    bool         // all has been said, nothing may be written any more; guarded by mu
	aborted bool         // guarded by mu
}

// An eventStream is the answer to GET /events. Only who holds eventConn.writing may write to it.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// errStreamBusy says that a write to the stream takes too long.
var errStreamBusy = errors.New("signaling: the client does not read its events")

func newEventConn(s *Session) *eventConn {
	return &eventConn{session: s, over: make(chan struct{}), goodbye: make(chan struct{}), writing: make(chan struct{}, 1)}
}

// run ends the session when the connection is over. A goodbye may come a moment after the end of the stream, which a
// browser that leaves the page ends at once.
func (c *eventConn) run() {
	s := c.session
	defer s.server.running.Done()
	<-c.over
	if s.authed.Load() && !s.ending() {
		patience := time.NewTimer(goodbyeWait)
		select {
		case <-c.goodbye:
		case <-patience.C:
		case <-s.server.lifetime.Done():
		}
		patience.Stop()
	}
	c.reading.Lock() // the frame that is being handled is the last
	c.closed = true
	c.reading.Unlock()
	s.server.hub.remove(s)
	s.ended()
}

// begin handles the auth message and whatever comes with it. It returns connected or why there is no session.
func (c *eventConn) begin(body []byte) ([]byte, *wire.Error) {
	s := c.session
	c.reading.Lock()
	defer c.reading.Unlock()
	if s.server.down() { // accepted before the draining began, and known too late to be among those that are sent away
		s.finish(wire.CloseServiceRestart, "the server restarts")
		return nil, errGoingDown()
	}
	s.begin()
	s.receive(body)
	switch {
	case c.problem != nil:
		return nil, c.problem
	case wire.CloseCode(s.serverCode.Load()) == wire.CloseInternalError:
		return nil, wire.Errorf(wire.CodeInternal, "something went wrong on the server; try again")
	case c.greeting == nil:
		c.abort()
		return nil, wire.Errorf(wire.CodeBadMessage, "the body must be the auth message, in UTF-8")
	}
	return c.greeting, nil
}

// take hands a frame to the session. One that is not numbered higher than the last was taken before and is so no more;
// 0 is no number. It reports false when the session is over.
func (c *eventConn) take(number uint64, frame []byte) bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	switch {
	case c.closed || c.session.ending():
		return false
	case number > 0 && number <= c.taken:
		return true
	}
	c.taken = max(c.taken, number)
	c.session.receive(frame)
	return true
}

// leave ends the session as a client that says goodbye.
func (c *eventConn) leave() {
	c.leaving.Do(func() {
		c.session.clientCode.CompareAndSwap(0, int32(wire.CloseNormal))
		close(c.goodbye)
	})
	select {
	case c.writing <- struct{}{}: // nobody writes: the stream can end in good order
		c.silence()
		<-c.writing
		c.close()
	default:
		c.abort()
	}
}

// silence lets nothing more be written. The caller holds writing.
func (c *eventConn) silence() {
	c.mu.Lock()
	c.said = true
	c.mu.Unlock()
}

// serve writes the events to stream until the connection is over or gone, which is when the client has gone. It reports
// false, and has written nothing, when there was a stream already. The caller must not use stream any more; cut says
// that it must cut the connection below.
func (c *eventConn) serve(stream *eventStream, gone <-chan struct{}) (served, cut bool) {
	if !c.attach(stream) {
		return false, false
	}
	if c.session.out.open() {
		go c.session.writeGathered(batches.Get().(*batch)) // ended waits for it
	}
	select {
	case <-gone:
		c.abort()
	case <-c.over:
	}
	c.writing <- struct{}{} // a write that is under way fails by now, or is the last
	defer func() { <-c.writing }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = nil
	return true, c.aborted
}

// attach begins the stream: the client learns at once that nothing holds it back.
func (c *eventConn) attach(stream *eventStream) bool {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	c.mu.Lock()
	second := c.begun
	if !second {
		c.begun, c.stream = true, stream
	}
	c.mu.Unlock()
	if second {
		return false
	}
	if err := c.put(stream, streamHead()); err != nil {
		c.abort()
	}
	return true
}

// streamHead is how every stream begins: padding, and an event that says that it is open.
var streamHead = sync.OnceValue(func() []byte {
	head := append([]byte{':'}, bytes.Repeat([]byte{' '}, streamPadding)...)
	return append(head, "\n\nevent: open\ndata: {}\n\n"...)
})

// put writes p at once. The caller holds writing.
func (c *eventConn) put(stream *eventStream, p []byte) error {
	if _, err := stream.w.Write(p); err != nil {
		return err
	}
	if err := stream.control.Flush(); err != nil {
		return err
	}
	c.wrote.Store(int64(c.session.server.clock.now()))
	return nil
}

// current returns the stream, nil when nothing may be written.
func (c *eventConn) current() *eventStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said {
		return nil
	}
	return c.stream
}

// greet implements conn: the first frame is the answer to POST /session.
func (c *eventConn) greet(frame []byte, problem *wire.Error) bool {
	c.greeting, c.problem = frame, problem
	return true
}

// transport implements conn.
func (c *eventConn) transport() string { return "events" }

// look implements conn.
func (c *eventConn) look(now time.Duration) {
	c.mu.Lock()
	begun := c.begun
	c.mu.Unlock()
	switch {
	case !begun && now-c.session.born >= streamWait:
		c.abort()
	case begun && now-time.Duration(c.wrote.Load()) >= commentPeriod:
		c.session.server.spawn(c.ping)
	}
}

// eventBuffers are for frames on their way to a stream.
var eventBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write implements conn.
func (c *eventConn) write(frame []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	stream := c.current()
	if stream == nil {
		return net.ErrClosed
	}
	events := eventBuffers.Get().(*bytes.Buffer)
	defer func() {
		if events.Cap() <= maxEventsKept {
			events.Reset()
			eventBuffers.Put(events)
		}
	}()
	writeEvents(events, frame)
	return c.put(stream, events.Bytes())
}

// writeEvents makes an event of each object of a frame.
func writeEvents(events *bytes.Buffer, frame []byte) {
	wire.Lines(frame, func(line []byte) bool {
		events.WriteString("data: ")
		// A carriage return ends a line of the stream. In JSON it can only stand between tokens, in what a client
		// wrote so and is relayed unread.
		for part, rest, more := bytes.Cut(line, []byte{'\r'}); ; part, rest, more = bytes.Cut(rest, []byte{'\r'}) {
			events.Write(part)
			if !more {
				break
			}
			events.WriteByte(' ')
		}
		events.WriteString("\n\n")
		return true
	})
}

// ping implements conn: a comment keeps what is between from ending a stream that says nothing. While something is being
// written there is no need.
func (c *eventConn) ping() {
	select {
	case c.writing <- struct{}{}:
	default:
		return
	}
	defer func() { <-c.writing }()
	if stream := c.current(); stream != nil && c.put(stream, []byte(":\n\n")) != nil {
		c.abort()
	}
}

// setReadLimit implements conn. The limit of a request is that of its path.
func (c *eventConn) setReadLimit(int64) {}

// streamEnd is the data of the event that closes a stream.
type streamEnd struct {
	Code   wire.CloseCode `json:"code"`
	Reason string         `json:"reason"`
}

// writeClose implements conn. Nothing is to be waited for afterwards: the client does not answer on a stream.
func (c *eventConn) writeClose(code wire.CloseCode, reason string, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case c.writing <- struct{}{}:
	case <-timeout.C:
		return errStreamBusy
	}
	defer func() { <-c.writing }()
	stream := c.current()
	if stream == nil {
		return net.ErrClosed
	}
	data, err := json.Marshal(streamEnd{code, reason})
	if err != nil {
		return err
	}
	_ = stream.control.SetWriteDeadline(time.Now().Add(limit)) // where there are none the sweeper's patience is the limit
	if err := c.put(stream, []byte("event: close\ndata: "+string(data)+"\n\n")); err != nil {
		return err
	}
	_ = stream.control.SetWriteDeadline(time.Time{}) // the connection below may serve other requests
	c.silence()
	c.close()
	return nil
}

// abort implements conn. It ends a write that is under way.
func (c *eventConn) abort() {
	c.mu.Lock()
	c.aborted = true
	if c.stream != nil {
		_ = c.stream.control.SetWriteDeadline(time.Unix(1, 0)) // an error means that it has ended
	}
	c.mu.Unlock()
	c.close()
}

// close implements conn.
func (c *eventConn) close() { c.ending.Do(func() { close(c.over) }) }
