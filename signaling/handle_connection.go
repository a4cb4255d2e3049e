package signaling

import (
	"context"
	"slices"

	"confab/signaling/wire"
)

// handleConnection registers what concerns the connection alone.
func handleConnection(m mux) {
	Handle(m, ping)
	Handle(m, refresh)
	Handle(m, authAgain)
}

// ping answers with pong, also without an id.
func ping(_ context.Context, s *Session, env wire.Envelope, _ wire.Ping) error {
	s.Send(wire.AppendEnvelope(make([]byte, 0, 96), wire.Envelope{ID: env.ID}, wire.KindPong, nil), "")
	return nil
}

// refresh takes a new token of the same user. Rooms learn at once what it allows.
//
// Errors: *wire.Error with CodeUnauthorized, CodeRateLimited.
func refresh(ctx context.Context, s *Session, env wire.Envelope, msg wire.Refresh) error {
	var claims *Claims
	var err error
	s.deep(env, func() { claims, err = s.verify(ctx, msg.Token) })
	if err != nil {
		return err
	}
	if claims == nil { // the verifier has panicked, and the client has been told so
		return nil
	}
	if claims.User != s.user() {
		return wire.Errorf(wire.CodeUnauthorized, "the new token is another user's; connect anew with it")
	}
	s.takeClaims(claims)
	s.setExpiry(claims)
	s.relayRefresh()
	s.reply(env, wire.Ack{})
	return nil
}

// takeClaims takes over what a new token says, and tells the session's rooms.
func (s *Session) takeClaims(claims *Claims) {
	s.mu.Lock()
	s.claims = claims
	members := slices.Clone(s.members)
	s.mu.Unlock()
	for _, m := range members {
		if claims.Allows(m.Room()) {
			m.Update(s.identity(claims))
		} else {
			m.Expel()
		}
	}
}

// authAgain refuses a second auth: a session has one user from its beginning to its end.
func authAgain(context.Context, *Session, wire.Envelope, wire.Auth) error {
	return wire.Errorf(wire.CodeConflict, "authenticated already; use refresh for a new token")
}
