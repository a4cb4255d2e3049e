package signaling

import (
	"context"
	"fmt"

	"confab/rooms"
	"confab/signaling/wire"
)

// A mux knows what to do with each type of message. It is built once and then constant.
type mux map[wire.Kind]handler

// A handler does what one message asks for, on the read goroutine. An error that it returns is the answer;
// otherwise it has answered or handed the Answer on.
type handler func(context.Context, *Session, wire.Envelope) error

// Handle registers fn for messages of type M: the type on the wire and the body follow from it. The envelope
// comes along for its names, and for its data where that is relayed unread.
func Handle[M wire.ClientMessage](m mux, fn func(context.Context, *Session, wire.Envelope, M) error) {
	var zero M
	kind := zero.Kind()
	if _, taken := m[kind]; taken {
		panic(fmt.Sprintf("signaling: two handlers for %q", kind))
	}
	m[kind] = func(ctx context.Context, s *Session, env wire.Envelope) error {
		msg, err := wire.DecodeBody[M](env.Data)
		if err != nil {
			return err
		}
		return fn(ctx, s, env, msg)
	}
}

// inRoom makes a handler of what acts on a room that the session is in. The room gives the answer.
func inRoom[M wire.ClientMessage](fn func(*rooms.Member, wire.Envelope, M, rooms.Answer)) func(context.Context, *Session, wire.Envelope, M) error {
	return func(_ context.Context, s *Session, env wire.Envelope, msg M) error {
		m, err := s.memberOf(env)
		if err != nil {
			return err
		}
		fn(m, env, msg, s.answer(env))
		return nil
	}
}

// memberOf finds the room that a message names.
//
// Errors: *wire.Error with CodeBadMessage or CodeNotJoined.
func (s *Session) memberOf(env wire.Envelope) (*rooms.Member, error) {
	if env.Room == "" {
		return nil, wire.Errorf(wire.CodeBadMessage, "%s needs a room", env.Type)
	}
	m := s.member(env.Room)
	if m == nil {
		return nil, wire.Errorf(wire.CodeNotJoined, "join the room first")
	}
	return m, nil
}

// newMux is the table of contents: every type of message that this server understands after auth.
func newMux() mux {
	m := make(mux)
	handleConnection(m)
	handleRooms(m)
	handleChat(m)
	handleCalls(m)
	handleBots(m)
	return m
}

// dispatch finds the handler. Errors: those of the handler, and *wire.Error with CodeUnknownType.
func (m mux) dispatch(ctx context.Context, s *Session, env wire.Envelope) error {
	handle, ok := m[env.Type]
	if !ok {
		return wire.Errorf(wire.CodeUnknownType, "this server knows no message of this type")
	}
	return handle(ctx, s, env)
}
