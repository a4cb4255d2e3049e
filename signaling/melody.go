package signaling

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"confab/signaling/wire"
)

const (
	writeWait       = 10 * time.Second // a write that takes longer ends the connection
	readBufferSize  = 512              // bytes kept per connection; larger messages are read piecewise
	writeBufferSize = 4 << 10          // bytes, pooled: held only during a write
	lingerBytes     = 1 << 20          // read and thrown away from a client that is being refused
)

// never is melody's PongWait and PingPeriod. The sweeper pings, and decides who is silent: it also counts messages,
// which melody does not.
const never = 24 * 365 * time.Hour

// A hub is melody as we use it: the upgrade, the sessions and their end. A connection is read inside melody's connect
// handler, which returns when it has ended; so melody starts its pumps only to end them. Idle, they are 3 of the 14 KiB
// that a connection takes: a goroutine, a ticker and a channel for frames that nobody gives it, as they are written by
// the session's writer, which exists only while there is something to write. And because gorilla allows one writer,
// nothing here may call melody's Write, Close or Broadcast.
type hub struct {
	// Set by newHub, then constant.
	server *Server
	melody *melody.Melody

	seed   maphash.Seed
	shards [indexShards]hubShard
}

// hubShard holds some of the sessions that have a connection.
type hubShard struct {
	mu  sync.Mutex
	all map[*Session]struct{} // guarded by mu
}

// requestKey is how a Session travels through the upgrade.
type requestKey struct{}

func newHub(server *Server) *hub {
	h := &hub{server: server, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].all = make(map[*Session]struct{})
	}
	upgrader := &websocket.Upgrader{
		HandshakeTimeout: writeWait,
		ReadBufferSize:   readBufferSize,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{wire.Subprotocol},
		CheckOrigin:      server.origins.Allow,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			w.Header().Set("Sec-Websocket-Version", "13") // RFC 6455 section 4.4
			wire.WriteProblem(w, status, handshakeProblem(status, reason))
		},
		// No compression: the read limit would count compressed bytes, and a writer costs 650 KB.
		EnableCompression: false,
	}
	h.melody = melody.New()
	h.melody.Upgrader = upgrader
	h.melody.Config = &melody.Config{WriteWait: writeWait, PongWait: never, PingPeriod: never, MessageBufferSize: 1}
	h.melody.HandleConnect(h.connected)
	return h
}

func handshakeProblem(status int, reason error) *wire.Error {
	switch status {
	case http.StatusForbidden:
		return wire.Errorf(wire.CodeForbidden, "pages of this origin may not connect; add it to the server's --origins")
	case http.StatusInternalServerError:
		return &wire.Error{Code: wire.CodeInternal, Text: "the connection cannot be upgraded", Err: reason}
	default:
		return wire.Errorf(wire.CodeBadMessage, "this is a WebSocket endpoint; connect to it with a WebSocket client")
	}
}

func (h *hub) shard(s *Session) *hubShard {
	return &h.shards[maphash.Comparable(h.seed, s)%indexShards]
}

func (h *hub) add(s *Session) {
	shard := h.shard(s)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.all[s] = struct{}{}
}

func (h *hub) remove(s *Session) {
	shard := h.shard(s)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	delete(shard.all, s)
}

// appendAll appends every session, authenticated or not.
func (h *hub) appendAll(all []*Session) []*Session {
	for i := range h.shards {
		shard := &h.shards[i]
		shard.mu.Lock()
		for s := range shard.all {
			all = append(all, s)
		}
		shard.mu.Unlock()
	}
	return all
}

// accept upgrades the request and serves the connection on a goroutine of its own, so that the HTTP server's
// one can go: 12 KiB instead of 28 per connection. It returns when the connection is up or refused; refusals
// are answered.
func (h *hub) accept(w http.ResponseWriter, r *http.Request, s *Session) {
	started := make(chan struct{})
	s.started = started
	// The request must not live as long as the connection, nor end it: melody gets one with a context of its own.
	r = r.WithContext(context.WithValue(context.Background(), requestKey{}, s))
	if !h.server.hold() {
		wire.WriteProblem(w, http.StatusServiceUnavailable, errGoingDown())
		h.server.addresses.leave(s.peer)
		return
	}
	go h.run(w, r, s) // not a closure: it would keep w and r as long as the connection lives
	<-started
}

// run is the read goroutine of a connection from the upgrade to its end. It keeps nothing but s alive: what is
// on its stack stays as long as the connection.
func (h *hub) run(w http.ResponseWriter, r *http.Request, s *Session) {
	defer h.server.running.Done()
	err := h.melody.HandleRequest(w, r) // returns when the connection has ended
	if s.started != nil {               // it never began: the upgrader has answered, unless the client was gone
		h.server.metrics.connection("websocket", "refused")
		h.server.addresses.leave(s.peer)
		h.server.log.Debug("upgrade failed", "err", err)
		close(s.started)
		return
	}
	h.remove(s)
	s.ended()
}

// connected is melody's connect handler: it serves a connection until it has ended, on the goroutine of run.
func (h *hub) connected(ws *melody.Session) {
	s := ws.Request.Context().Value(requestKey{}).(*Session)
	ws.Request = nil // and with it the HTTP server's buffers
	socket := webSocket{ws.WebsocketConnection()}
	s.conn = socket
	if canTryWrite {
		s.raw, _ = socket.ws.NetConn().(*rawConn)
	}
	h.add(s)
	close(s.started)
	s.started = nil
	if h.server.down() {
		// It was accepted before the draining began and is known too late to be among those that are sent away.
		s.serverCode.Store(int32(wire.CloseServiceRestart))
		_ = s.conn.writeClose(wire.CloseServiceRestart, "the server restarts", wire.SlowCloseTimeout) // or it is cut
		socket.linger()
		socket.close() // the reader would go on to wait for a client that waits for this
		return
	}
	socket.ws.SetPongHandler(func(string) error {
		s.alive()
		return nil
	})
	// There is no close handler: gorilla's own gives the client the echo of its close frame.
	socket.setReadLimit(wire.MaxAuthFrameBytes) // until authentication raises it
	s.begin()
	h.failed(s, socket, read(s, socket))
}

// frames are buffers for what is read. A connection holds one from a frame's header until the frame is dealt with.
var frames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxFrameKept is the size in bytes up to which a buffer is used again: long messages are rare.
const maxFrameKept = 8 << 10

// read hands what the client says to s until the connection ends, and returns why it did.
func read(s *Session, socket webSocket) error {
	for {
		kind, r, err := socket.ws.NextReader()
		if err != nil {
			return err
		}
		if err := receive(s, kind, r); err != nil {
			return err
		}
	}
}

// receive reads one frame and hands it to s, which keeps nothing of it.
func receive(s *Session, kind int, r io.Reader) error {
	frame := frames.Get().(*bytes.Buffer)
	defer func() {
		if frame.Cap() <= maxFrameKept {
			frame.Reset()
			frames.Put(frame)
		}
	}()
	if _, err := frame.ReadFrom(r); err != nil {
		return err
	}
	if kind == websocket.TextMessage {
		s.receive(frame.Bytes())
	} else {
		s.receiveBinary()
	}
	return nil
}

// failed hears how the reading ended. Only that tells how the client did.
func (h *hub) failed(s *Session, socket webSocket, err error) {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		s.clientCode.CompareAndSwap(0, int32(closed.Code))
		return
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		if s.serverCode.CompareAndSwap(0, int32(wire.CloseTooBig)) {
			h.server.metrics.closed(wire.CloseTooBig)
		}
		socket.linger()
	}
}

// A webSocket is a WebSocket as a conn. It is no larger than a pointer, so that a conn holds it without an allocation.
type webSocket struct{ ws *websocket.Conn }

// write implements conn. A deadline for each would be an eighth of the cost of a write. gorilla allows one writer.
func (c webSocket) write(frame []byte) error {
	return c.ws.WriteMessage(websocket.TextMessage, frame)
}

// greet implements conn.
func (c webSocket) greet([]byte, *wire.Error) bool { return false }

// transport implements conn.
func (c webSocket) transport() string { return "websocket" }

// look implements conn.
func (c webSocket) look(time.Duration) {}

// ping implements conn. A connection that cannot be written to is the writer's or the sweeper's to end.
func (c webSocket) ping() {
	_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait))
}

// setReadLimit implements conn.
func (c webSocket) setReadLimit(bytes int64) { c.ws.SetReadLimit(bytes) }

// writeClose implements conn.
func (c webSocket) writeClose(code wire.CloseCode, reason string, limit time.Duration) error {
	return c.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(int(code), reason), time.Now().Add(limit))
}

// abort implements conn. melody's own Close would queue behind what a slow client does not
// read; and so that the system does not keep on offering it what nobody waits for any more, for minutes and up to
// megabytes, the connection is reset (RFC 9293 section 3.10.4).
func (c webSocket) abort() {
	if socket, ok := c.ws.NetConn().(interface{ SetLinger(sec int) error }); ok {
		_ = socket.SetLinger(0) // an error means that it is closed already
	}
	c.close()
}

// close implements conn.
func (c webSocket) close() {
	raw := c.ws.NetConn()
	_ = raw.SetDeadline(time.Now()) // wakes reader and writer; an error means that it is closed already
	_ = raw.Close()
}

// linger reads on for a moment after a refusal has been written, on the read goroutine, so that the close of the
// socket does not overtake it: closing with unread data resets the connection (RFC 1122 section 4.2.2.13).
func (c webSocket) linger() {
	raw := c.ws.NetConn()
	_ = raw.SetReadDeadline(time.Now().Add(wire.SlowCloseTimeout))
	_, _ = io.CopyN(io.Discard, raw, lingerBytes) // ends by the deadline, the bound or the client
}

// subprotocolAllowed reports whether the client names ours, or none.
func subprotocolAllowed(r *http.Request) bool {
	named := websocket.Subprotocols(r)
	for _, p := range named {
		if p == wire.Subprotocol {
			return true
		}
	}
	return len(named) == 0
}
