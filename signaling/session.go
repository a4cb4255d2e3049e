package signaling

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	pingPeriod = 25 * time.Second // of silence; below wire.Heartbeat, so that two pongs fit before 4008
)

// A conn is a session's connection, over whatever it goes. Its methods may be called from any goroutine unless they say
// otherwise, and those that do not say that they wait return at once.
type conn interface {
	// greet is given the first frame: connected, or the error that is problem. It reports whether the connection has a
	// way of its own for it; otherwise it is written like any other, and what was said before it follows. Only from the
	// read goroutine.
	greet(frame []byte, problem *wire.Error) bool
	// transport names what the connection goes over, for metrics.
	transport() string
	// look is called by the sweeper, once a second, with the server's time.
	look(now time.Duration)
	// write writes a frame, however long that takes: the sweeper ends a write that takes too long. Only from the
	// session's writer. After an error the connection is good for nothing but abort.
	write(frame []byte) error
	// ping asks the client for a sign of life, waiting for a write that is under way.
	ping()
	// setReadLimit changes what a frame may hold, in bytes. Only from the read goroutine.
	setReadLimit(bytes int64)
	// writeClose tells the client why the connection ends, waiting at most limit for a write that is under way.
	writeClose(code wire.CloseCode, reason string, limit time.Duration) error
	// abort ends the connection without a word.
	abort()
	// close ends a connection to which all has been said.
	close()
}

// A Session is one client: its connection, who it is, and the rooms it is in. It outlives nothing: when the
// connection ends the session ends, and its id may be taken up by a new Session that shows the ticket.
//
// The read goroutine authenticates it and handles its messages one after another; rooms put frames into it from
// theirs (it is a rooms.Outlet); a writer, which exists only while there is something to write, takes them out.
// There is no timer: Server.sweep looks at every session once a second.
type Session struct {
	// Set by accept, then constant.
	server  *Server
	peer    *address
	virtual *virtual      // its connection is at another node; nil = it is here
	born    time.Duration // on the server's clock

	// Owned by the read goroutine. conn, raw and id never change once they are set, which is before any other goroutine
	// can find the session.
	conn     conn
	raw      *rawConn           // below conn; nil when conn can only be written to by waiting for it
	id       wire.ParticipantID // empty = not authenticated
	serial   uint64             // among all sessions; of two with one id the larger is the newer
	urlToken string             // from the old way to connect, until begin
	started  chan struct{}      // closed and forgotten when the connection is up
	received time.Duration      // when the message that is being handled came
	messages bucket
	widened  bool // the read limit is that of an authenticated client

	writes atomic.Uint32 // begun and ended: odd during a write

	// Owned by the sweeper.
	stuck  time.Duration // since when writes is what it is, if it is odd
	wrote  uint32        // writes at the last look
	pinged time.Duration // when the client was last asked for a sign of life

	// Guarded by the index.
	sibling *Session // the next session of the same user

	seen       atomic.Int64 // when the client last gave a sign of life, on the server's clock
	expires    atomic.Int64 // when the token expires, Unix time in milliseconds; 0 = never
	authed     atomic.Bool
	clientCode atomic.Int32 // of the client's close frame; 0 = none came
	serverCode atomic.Int32 // why the server ends the connection; 0 = it does not

	out outbox

	mu      sync.Mutex
	claims  *Claims         // guarded by mu
	members []*rooms.Member // one a room; guarded by mu
	relay   *relay          // what it has at other nodes; nil = nothing; guarded by mu
	errors  *errorWindow    // nil until the first error; guarded by mu
	gone    bool            // ended or replaced: takes no new members; guarded by mu
}

// alive notes a sign of life and returns the moment.
func (s *Session) alive() time.Duration {
	now := s.server.clock.now()
	s.seen.Store(int64(now))
	return now
}

// ending reports whether the server is closing the connection. What the client still sends is ignored then.
func (s *Session) ending() bool { return s.serverCode.Load() != 0 }

// begin runs on the read goroutine before the first read.
func (s *Session) begin() {
	s.alive()
	s.server.metrics.connection(s.conn.transport(), "accepted")
	if token := s.urlToken; token != "" {
		s.urlToken = ""
		s.admit(func() { s.authenticate(wire.Envelope{}, wire.Auth{Token: token}, true) })
		s.widen()
	}
}

// widen lets an authenticated client send longer frames. It runs on the read goroutine.
func (s *Session) widen() {
	if s.id != "" && !s.widened {
		s.widened = true
		s.conn.setReadLimit(wire.MaxFrameBytes)
	}
}

// admit runs fn, which either opens the session or refuses the client. One that panicked has done neither.
func (s *Session) admit(fn func()) {
	s.deep(wire.Envelope{}, fn)
	if !s.authed.Load() {
		s.finish(wire.CloseInternalError, "something went wrong on the server")
	}
}

// deep runs fn, which handles env, on a goroutine of its own and waits. Verifying a token needs a deep stack, and a
// stack that has grown stays with the connection for a while.
func (s *Session) deep(env wire.Envelope, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.survive(env)
		fn()
	}()
	<-done
}

// survive turns a panic into an error for this client alone. It must be deferred itself.
func (s *Session) survive(env wire.Envelope) {
	if v := recover(); v != nil {
		s.server.log.Error("panic while handling a message", "type", string(env.Type), "session", string(s.id),
			"panic", v, "stack", string(debug.Stack()))
		s.fail(env, wire.Errorf(wire.CodeInternal, "something went wrong on the server; try again"))
	}
}

// receive handles one text frame, on the read goroutine. Nothing of it may be kept: its memory is used again.
func (s *Session) receive(frame []byte) {
	s.received = s.alive()
	if s.ending() {
		return
	}
	if !utf8.Valid(frame) { // RFC 6455 section 8.1
		s.finish(wire.CloseInvalidPayload, "text frames must be UTF-8")
		return
	}
	wire.Lines(frame, func(line []byte) bool {
		if s.id == "" {
			s.admit(func() { s.first(line) })
		} else {
			s.handle(line)
		}
		return !s.ending()
	})
	s.widen()
}

// receiveBinary refuses a binary frame.
func (s *Session) receiveBinary() {
	s.alive()
	s.finish(wire.CloseUnsupported, "send text frames")
}

// handle does what one message of an authenticated client asks for.
func (s *Session) handle(line []byte) {
	env, err := wire.DecodeEnvelope(line)
	if err == nil {
		s.server.metrics.received(env.Type)
	}
	s.handleDecoded(env, err, line)
}

// handleDecoded does what env asks for, of which line is the text; err is why it is nothing.
func (s *Session) handleDecoded(env wire.Envelope, err error, line []byte) {
	defer s.survive(env)
	if wait := s.takeMessage(); wait > 0 {
		err = &wire.Error{Code: wire.CodeRateLimited, Text: "too many messages; slow down", RetryAfter: wait}
	}
	switch {
	case err != nil:
	case env.Room != "" && env.Type != wire.KindJoin && s.server.peers != nil && s.relayLine(env.Room, line):
	case env.Type == wire.KindJoin: // needs a deep stack, and nearly every connection does it once
		err = s.dispatchDeep(env)
	default:
		err = s.server.mux.dispatch(s.server.lifetime, s, env)
	}
	if err != nil {
		s.fail(env, err)
	}
}

// dispatchDeep is mux.dispatch by deep. It is no part of handle, or what it shares with the other goroutine would be
// garbage of every message.
func (s *Session) dispatchDeep(env wire.Envelope) (err error) {
	s.deep(env, func() { err = s.server.mux.dispatch(s.server.lifetime, s, env) })
	return err
}

// takeMessage takes one message from what the session and its address may send; it returns how long to wait, 0 =
// taken.
func (s *Session) takeMessage() time.Duration {
	rate := s.server.opts.RateLimit
	if rate <= 0 || s.virtual != nil { // its node has taken it
		return 0
	}
	interval := time.Second / time.Duration(rate)
	if wait := s.messages.take(s.received, interval, rate*burstSeconds, 1); wait > 0 {
		return wait
	}
	return s.peer.takeMessage(s.received, interval/addressFactor, rate*burstSeconds*addressFactor)
}

// answer makes the Answer of a request. Every request with an id gets exactly one: the body, an error, or what
// the room has sent already.
func (s *Session) answer(env wire.Envelope) rooms.Answer {
	head := heading{env.ID, env.Room, env.Thread}
	received := s.received
	return func(body wire.ServerMessage, err error) {
		if err != nil {
			s.fail(head.envelope(), err)
			return
		}
		s.server.metrics.answered(s.server.clock.now() - received)
		if body != nil {
			s.reply(head.envelope(), body)
		}
	}
}

// answerLate is answer for a request whose answer may wait for a person: it says nothing of how quick the server is.
func (s *Session) answerLate(env wire.Envelope) rooms.Answer {
	head := heading{env.ID, env.Room, env.Thread}
	return func(body wire.ServerMessage, err error) {
		switch {
		case err != nil:
			s.fail(head.envelope(), err)
		case body != nil:
			s.reply(head.envelope(), body)
		}
	}
}

// heading is what an answer repeats of its request.
type heading struct {
	id     wire.RequestID
	room   wire.RoomID
	thread wire.ThreadID
}

func (h heading) envelope() wire.Envelope {
	return wire.Envelope{ID: h.id, Room: h.room, Thread: h.thread}
}

// reply answers the request in env. A plain acknowledgement is for requests with an id only.
func (s *Session) reply(env wire.Envelope, body wire.ServerMessage) {
	ack, plain := body.(wire.Ack)
	head := wire.Envelope{ID: env.ID, Room: env.Room, Thread: env.Thread}
	switch {
	case !plain:
		s.Send(wire.Encode(head, body), "")
	case env.ID != "":
		s.Send(wire.EncodeAck(head, ack), "")
	}
}

// fail answers the request in env with an error, with or without an id, and counts it against the client.
func (s *Session) fail(env wire.Envelope, err error) {
	problem := wire.AsError(err)
	if problem.Code == wire.CodeInternal && problem.Err != nil {
		s.server.log.Error("request failed", "session", string(s.id), "err", problem.Err)
	}
	s.server.metrics.failed(problem.Code)
	s.Send(encodeError(env, problem), "")
	s.mu.Lock()
	if s.errors == nil {
		s.errors = new(errorWindow)
	}
	tooMany := s.errors.add(s.server.clock.now())
	s.mu.Unlock()
	if tooMany {
		s.finish(wire.CloseTooManyErrors, "too many errors; the client is broken")
	}
}

// ended runs on the read goroutine after the connection's last message. A client that said goodbye leaves its
// rooms; any other keeps its place for wire.ReconnectWindow.
func (s *Session) ended() {
	if writing := s.out.die(); writing != nil {
		<-writing // at once: the socket is closed
	}
	code := wire.CloseCode(s.clientCode.Load())
	left := (code == wire.CloseNormal || code == wire.CloseGoingAway) && !s.ending()
	// First of all, so that whoever is seen to leave cannot be resumed any more.
	if s.id != "" {
		s.server.index.remove(s, s.id, !left, s.server.clock.now())
		s.server.index.removeUser(s, s.user())
		s.server.metrics.sessions.WithLabelValues(s.conn.transport()).Dec()
	}
	s.leaveRelays(left)
	for _, m := range s.detach() {
		if left {
			m.Leave(func(wire.ServerMessage, error) {}) // nobody is there to hear the answer
		} else {
			m.Disconnect()
		}
	}
	s.server.addresses.leave(s.peer)
	s.server.log.Debug("connection ended", "session", string(s.id), "client_code", int(code),
		"server_code", s.serverCode.Load())
}

// supersede ends a session whose id a new connection has taken over. Its rooms see it as reconnecting until the
// new one joins.
func (s *Session) supersede() {
	s.leaveRelays(false)
	for _, m := range s.detach() {
		m.Disconnect()
	}
	s.finish(wire.CloseReplaced, "replaced by a newer connection")
}

// detach takes the members from a session that is over.
func (s *Session) detach() []*rooms.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := s.members
	s.members, s.gone = nil, true
	return members
}

// check is the sweeper's look at the session.
func (s *Session) check(now time.Duration, wall time.Time) {
	s.conn.look(now)
	if writes := s.writes.Load(); writes != s.wrote || writes%2 == 0 {
		s.wrote, s.stuck = writes, now
	} else if now-s.stuck >= writeWait {
		s.conn.abort() // the client takes nothing: no close frame would arrive either
		return
	}
	expires := s.expires.Load()
	switch {
	case s.ending():
	case !s.authed.Load():
		if now-s.born >= s.server.opts.AuthTimeout {
			s.finish(wire.ClosePolicy, "not authenticated in time")
		}
	case now-time.Duration(s.seen.Load()) >= 2*wire.Heartbeat:
		s.finish(wire.CloseSilent, "no sign of life")
	case expires != 0 && wall.UnixMilli() >= expires+wire.ExpiryGrace.Milliseconds():
		s.finish(wire.CloseTokenExpired, "the token has expired; bring a new one")
	case now-max(time.Duration(s.seen.Load()), s.pinged) >= pingPeriod:
		s.pinged = now
		s.server.spawn(s.conn.ping)
	}
}

// user returns whose session it is.
func (s *Session) user() wire.UserID { return s.currentClaims().User }

func (s *Session) currentClaims() *Claims {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

// identity is how rooms know the session.
func (s *Session) identity(c *Claims) rooms.Identity {
	return rooms.Identity{
		Participant: s.id, User: c.User, Name: c.Name, Kind: cmp.Or(c.Kind, wire.Human), Role: c.Role, Grants: c.Grants, Guest: c.Guest,
		Connection: s.serial, Address: s.peer.source,
	}
}

// member returns the session's hold on a room, nil when it is not in it.
func (s *Session) member(room wire.RoomID) *rooms.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m.Room() == room {
			return m
		}
	}
	return nil
}

// verify asks the verifier, within what the address may try.
//
// Errors: *wire.Error with CodeRateLimited or CodeUnauthorized, or CodeUnavailable when it cannot be decided now.
func (s *Session) verify(ctx context.Context, token string) (*Claims, error) {
	limited := s.server.opts.ConnectionLimit > 0
	now := s.server.clock.now()
	if limited {
		if wait := s.peer.takeAuth(now, 1); wait > 0 {
			return nil, &wire.Error{Code: wire.CodeRateLimited, Text: "too many attempts from this address; wait", RetryAfter: wait}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.server.opts.AuthTimeout)
	defer cancel()
	claims, err := s.server.opts.Verifier.Verify(ctx, token)
	if err != nil && limited && !wire.AsError(err).Code.Retryable() { // keys that cannot be had are not the token's fault
		s.peer.takeAuth(now, failedAuthCost-1)
	}
	return claims, err
}
