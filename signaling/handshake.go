package signaling

import (
	"encoding/json"
	"time"

	"confab/signaling/wire"
)

// legacyAuth is the message of clients from before the version 1 of the protocol: the token at the top.
type legacyAuth struct {
	Type  string `json:"type"`
	Token string `json:"token"`
}

const kindLegacyAuth wire.Kind = "authenticate"

// first handles the first message of a connection, which must be auth.
func (s *Session) first(line []byte) {
	env, err := wire.DecodeEnvelope(line)
	if err != nil {
		s.refuse(env, wire.AsError(err), wire.ClosePolicy)
		return
	}
	var auth wire.Auth
	switch env.Type {
	case wire.KindAuth:
		auth, err = wire.DecodeBody[wire.Auth](env.Data)
	case kindLegacyAuth:
		var legacy legacyAuth
		if err := json.Unmarshal(line, &legacy); err == nil {
			auth.Token = legacy.Token
		}
		err = auth.Validate()
	default:
		err = wire.Errorf(wire.CodeUnauthorized, "send auth before anything else")
	}
	if err != nil {
		s.refuse(env, wire.AsError(err), wire.ClosePolicy)
		return
	}
	s.authenticate(env, auth, false)
}

// authenticate verifies the token and opens the session. old says that the token stood in the URL.
func (s *Session) authenticate(env wire.Envelope, auth wire.Auth, old bool) {
	claims, err := s.verify(s.server.lifetime, auth.Token)
	if err != nil {
		problem := wire.AsError(err)
		code := wire.ClosePolicy
		if problem.Code.Retryable() { // not the token's fault: the client comes back with it
			code = wire.CloseTryAgainLater
		}
		s.server.metrics.authenticated(old, string(problem.Code))
		s.refuse(env, problem, code)
		return
	}
	resumed := s.enter(claims, auth.Ticket)
	s.server.metrics.authenticated(old, "ok")
	s.server.metrics.sessions.WithLabelValues(s.conn.transport()).Inc()
	s.connected(env.ID, claims, resumed, old)
	s.server.log.Debug("session", "session", string(s.id), "user", string(claims.User), "resumed", resumed,
		"deprecated", old, "client", auth.Client)
}

// refuse answers an unauthenticated client and closes the connection.
func (s *Session) refuse(env wire.Envelope, problem *wire.Error, code wire.CloseCode) {
	s.server.metrics.failed(problem.Code)
	s.greet(encodeError(env, problem), problem)
	s.finish(code, string(problem.Code))
}

// enter gives the session its id, that of the ticket where the rules allow it, and makes it known. It reports
// whether an earlier session is resumed.
//
// A ticket of this process needs a session that is live (it is taken over) or was lost a moment ago. One of
// another process, before a restart, is good by its signature and age alone, unless the id lives here by now.
func (s *Session) enter(claims *Claims, text string) (resumed bool) {
	now := s.server.clock.now()
	s.mu.Lock()
	s.claims = claims
	s.mu.Unlock()
	s.setExpiry(claims)
	var previous *Session
	if t, err := parseTicket(text, s.server.opts.TicketKey); err == nil && t.user == claims.User {
		own := t.incarnation == s.server.incarnation
		fresh := own || s.server.wall().Sub(t.issued) < ticketMaxAge
		s.id = t.session
		floor := t.serial
		if peers := s.server.peers; peers != nil && fresh && !own {
			floor, fresh = peers.claim(s.server.lifetime, t)
		}
		if fresh {
			previous, resumed = s.server.index.claim(s, t.session, own, floor, now)
		}
	}
	if !resumed {
		s.id = newSessionID()
		s.server.index.add(s, s.id)
	}
	s.server.index.addUser(s, claims.User)
	s.authed.Store(true)
	if previous != nil {
		previous.supersede()
	}
	return resumed
}

// connected sends the first frame.
func (s *Session) connected(id wire.RequestID, claims *Claims, resumed, deprecated bool) {
	opts := &s.server.opts
	text := ticket{
		incarnation: s.server.incarnation, serial: s.serial, issued: s.server.wall(), session: s.id, user: claims.User,
	}.sign(opts.TicketKey)
	s.greet(wire.Encode(wire.Envelope{ID: id}, wire.Connected{
		Session: s.id, Ticket: text, User: wire.User{ID: claims.User, Name: claims.Name}, Resumed: resumed,
		HeartbeatMS: wire.Heartbeat.Milliseconds(), Deprecated: deprecated, ExpiresAt: s.expires.Load(),
		Limits: wire.Limits{MessageBytes: wire.MaxFrameBytes, RatePerSecond: opts.RateLimit, History: opts.History},
	}), nil)
}

// greet says the first frame: connected, or the error that is problem.
func (s *Session) greet(frame []byte, problem *wire.Error) {
	if !s.conn.greet(frame, problem) && s.out.open() {
		s.server.flusher.add(s, frame)
	}
}

// setExpiry takes over when the token expires.
func (s *Session) setExpiry(claims *Claims) {
	var at int64
	if !claims.ExpiresAt.IsZero() {
		at = claims.ExpiresAt.UnixMilli()
	}
	s.expires.Store(at)
}

// wall is the time of day.
func (s *Server) wall() time.Time { return time.Now().Add(time.Duration(s.clock.skew.Load())) }
