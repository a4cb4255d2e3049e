package signaling

import (
	"context"
	"slices"

	"confab/rooms"
	"confab/signaling/wire"
)

// handleRooms registers entering, leaving and running a room.
func handleRooms(m mux) {
	Handle(m, join)
	Handle(m, leave)
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.SetMedia, answer rooms.Answer) {
		m.SetMedia(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.Moderate, answer rooms.Answer) {
		m.Moderate(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, _ wire.Bans, answer rooms.Answer) { m.Bans(answer) }))
}

// joining is a join that is under way. The room may answer before Registry.Join has returned.
type joining struct {
	member   *rooms.Member // guarded by the session's mu
	previous *rooms.Member // of the same room, replaced by member; guarded by the session's mu
	failed   bool          // guarded by the session's mu
}

// join enters a room, or enters it again to catch up.
//
// Errors: *wire.Error with CodeBadMessage, CodeForbidden or CodeConflict, and what the room answers.
func join(ctx context.Context, s *Session, env wire.Envelope, msg wire.Join) error {
	if env.Room == "" {
		return wire.Errorf(wire.CodeBadMessage, "join needs a room")
	}
	claims := s.currentClaims()
	if !claims.Allows(env.Room) {
		return wire.Errorf(wire.CodeForbidden, "the token is not for this room; ask for an invitation")
	}
	if s.full(env.Room) {
		return wire.Errorf(wire.CodeConflict, "a session may be in %d rooms; leave one first", wire.MaxRoomsPerSession)
	}
	if peers := s.server.peers; peers != nil {
		if relayed, err := peers.route(ctx, s, env); relayed || err != nil {
			return s.notIn(env.Room, err)
		}
	}
	var j joining
	answer := s.answer(env)
	if msg.Knock {
		answer = s.answerLate(env)
	}
	m := s.server.opts.Registry.Join(s.identity(claims), env.Room, env.ID, msg, s, func(body wire.ServerMessage, err error) {
		if err != nil {
			s.joinFailed(&j)
		}
		answer(body, s.notIn(env.Room, err))
	})
	if !s.joined(&j, m) {
		m.Disconnect()
	}
	return nil
}

// full reports whether the session can enter no further room.
func (s *Session) full(room wire.RoomID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay != nil && slices.ContainsFunc(s.relay.rooms, func(r relayedRoom) bool { return r.room == room }) {
		return false
	}
	return len(s.members)+s.relayed() >= wire.MaxRoomsPerSession &&
		!slices.ContainsFunc(s.members, func(m *rooms.Member) bool { return m.Room() == room })
}

// joined keeps the member that a join gave, in place of the one it had of the same room. It reports false when the
// session is over.
func (s *Session) joined(j *joining, m *rooms.Member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return false
	case j.failed:
		return true
	}
	j.member = m
	for i, have := range s.members {
		if have.Room() == m.Room() {
			j.previous, s.members[i] = have, m
			return true
		}
	}
	if s.members == nil {
		s.members = make([]*rooms.Member, 0, 1) // most clients are in one room
	}
	s.members = append(s.members, m)
	return true
}

// joinFailed takes back what joined has done.
func (s *Session) joinFailed(j *joining) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.failed = true
	i := slices.Index(s.members, j.member)
	switch {
	case i < 0 || j.member == nil:
	case j.previous != nil:
		s.members[i] = j.previous
	default:
		s.members = slices.Delete(s.members, i, i+1)
	}
}

// notIn tells the node of a virtual session that a join came to nothing, unless the session was in the room before. It
// returns err.
func (s *Session) notIn(room wire.RoomID, err error) error {
	if s.virtual != nil && err != nil && s.member(room) == nil {
		s.virtual.left(room, "")
	}
	return err
}

// leave leaves a room. The session forgets it when the room has agreed.
func leave(_ context.Context, s *Session, env wire.Envelope, _ wire.Leave) error {
	m, err := s.memberOf(env)
	if err != nil {
		return err
	}
	answer := s.answer(env)
	m.Leave(func(body wire.ServerMessage, err error) {
		if err == nil {
			s.mu.Lock()
			s.members = slices.DeleteFunc(s.members, func(have *rooms.Member) bool { return have == m })
			s.mu.Unlock()
			if s.virtual != nil {
				s.virtual.left(m.Room(), "")
			}
		}
		answer(body, err)
	})
	return nil
}
