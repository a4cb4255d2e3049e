package signaling

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"

	"confab/rooms"
	"confab/signaling/wire"
)

// A relay is what a session has at other nodes.
type relay struct {
	seats []relaySeat   // one for each link
	rooms []relayedRoom // at most wire.MaxRoomsPerSession, with those that are here
}

// A relaySeat is a session's place on a link.
type relaySeat struct {
	link   *edgeLink
	number uint64
}

// A relayedRoom is a room that the session has asked another node for.
type relayedRoom struct {
	room  wire.RoomID
	seat  relaySeat
	joins uint64 // sent; so that the end of an earlier one does not end a later one
}

// An edgeLink is a link to a node that owns rooms in which sessions of this server are. It implements rooms.LinkEnd.
type edgeLink struct {
	// Set by peers.linkTo, then constant.
	peers *peers
	node  rooms.NodeID
	out   linkOut

	in linkIn // owned by the link's receiver

	mu       sync.Mutex
	last     uint64              // number given; guarded by mu
	sessions map[uint64]*Session // by number; guarded by mu
	over     bool                // guarded by mu
}

// An opening is who a session is.
type opening struct {
	Number uint64             `json:"n"`
	ID     wire.ParticipantID `json:"id,omitempty"`
	Serial uint64             `json:"serial,omitempty"`
	Source netip.Prefix       `json:"source"` // what the client is counted by at its own node
	Claims *Claims            `json:"claims"`
}

func (o opening) encode() []byte {
	data, err := json.Marshal(o)
	if err != nil {
		panic(err) // plain structs of ours
	}
	return data
}

// seat gives a session its place, with s.mu held. It reports false when the link is over.
func (l *edgeLink) seat(s *Session) (relaySeat, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return relaySeat{}, false
	}
	l.last++
	l.sessions[l.last] = s
	l.out.put(itemOpen, opening{l.last, s.id, s.serial, s.peer.source, s.claims}.encode())
	return relaySeat{l, l.last}, true
}

// leave gives the place back and says how the connection ended.
func (t relaySeat) leave(left bool) {
	t.link.mu.Lock()
	delete(t.link.sessions, t.number)
	t.link.mu.Unlock()
	var how uint64
	if left {
		how = 1
	}
	t.link.out.put(itemLost, nil, t.number, how)
}

// relayJoin sends a join to the owner of the room. It reports false when the link is over.
func (s *Session) relayJoin(l *edgeLink, env wire.Envelope) bool {
	line := wire.AppendEnvelope(nil, wire.Envelope{ID: env.ID, Room: env.Room, Thread: env.Thread}, env.Type, env.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return true
	}
	if s.relay == nil {
		s.relay = new(relay)
	}
	var seat relaySeat
	if i := slices.IndexFunc(s.relay.seats, func(t relaySeat) bool { return t.link == l }); i >= 0 {
		seat = s.relay.seats[i]
	} else {
		var ok bool
		if seat, ok = l.seat(s); !ok {
			return false
		}
		s.relay.seats = append(s.relay.seats, seat)
	}
	s.members = slices.DeleteFunc(s.members, func(m *rooms.Member) bool { return m.Room() == env.Room }) // it was here once
	i := slices.IndexFunc(s.relay.rooms, func(r relayedRoom) bool { return r.room == env.Room })
	if i < 0 {
		i = len(s.relay.rooms)
		s.relay.rooms = append(s.relay.rooms, relayedRoom{room: env.Room})
	}
	r := &s.relay.rooms[i]
	if r.seat != seat {
		r.seat, r.joins = seat, 0
	}
	r.joins++
	seat.link.out.put(itemLine, line, seat.number)
	return true
}

// relayLine sends a line to the owner of the room that it names. It reports false when that is no other node.
func (s *Session) relayLine(room wire.RoomID, line []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay == nil {
		return false
	}
	i := slices.IndexFunc(s.relay.rooms, func(r relayedRoom) bool { return r.room == room })
	if i < 0 {
		return false
	}
	seat := s.relay.rooms[i].seat
	seat.link.out.put(itemLine, line, seat.number)
	return true
}

// unrelay forgets that a room is at another node.
func (s *Session) unrelay(room wire.RoomID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay != nil {
		s.relay.rooms = slices.DeleteFunc(s.relay.rooms, func(r relayedRoom) bool { return r.room == room })
	}
}

// relayed is the number of rooms at other nodes. s.mu is held.
func (s *Session) relayed() int {
	if s.relay == nil {
		return 0
	}
	return len(s.relay.rooms)
}

// relayRefresh tells other nodes what a new token says.
func (s *Session) relayRefresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay == nil {
		return
	}
	for _, t := range s.relay.seats {
		t.link.out.put(itemRefresh, opening{Number: t.number, Claims: s.claims}.encode())
	}
}

// leaveRelays gives back the session's places at other nodes, when it is over.
func (s *Session) leaveRelays(left bool) {
	s.mu.Lock()
	relay := s.relay
	s.relay = nil
	s.mu.Unlock()
	if relay == nil {
		return
	}
	for _, t := range relay.seats {
		t.leave(left)
	}
}

// Fill implements rooms.LinkEnd.
func (l *edgeLink) Fill(buf []byte) []byte { return l.out.Fill(buf) }

// Receive implements rooms.LinkEnd.
func (l *edgeLink) Receive(data []byte) error { return l.in.receive(data, l.take) }

// take handles one item from the owner. Sessions that are over meanwhile are no error.
func (l *edgeLink) take(kind itemKind, body *itemBody) error {
	if kind == itemFrame {
		return l.takeFrame(body)
	}
	s := l.session(body.number())
	switch kind {
	case itemJoined:
		if s != nil && !body.bad {
			s.SendJoined(bytes.Clone(body.data))
		}
	case itemClose:
		code := wire.CloseCode(body.number())
		if s != nil && !body.bad {
			s.finish(code, string(body.data))
		}
	case itemLeft:
		joins, room := body.number(), wire.RoomID(body.text())
		if s != nil && !body.bad {
			s.relayLeft(l, room, joins, wire.RemovedReason(body.data))
		}
	case itemMoved:
		if s != nil {
			l.moved(s, body.data)
		}
	default:
		return errLinkItem
	}
	if body.bad {
		return errLinkItem
	}
	return nil
}

func (l *edgeLink) session(number uint64) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[number]
}

// takeFrame hands a frame to every session it is for.
func (l *edgeLink) takeFrame(body *itemBody) error {
	key, count := body.text(), body.number()
	if body.bad || count > uint64(len(body.data)) {
		return errLinkItem
	}
	numbers := itemBody{data: body.data}
	for range count {
		body.number()
	}
	if body.bad {
		return errLinkItem
	}
	frame := bytes.Clone(body.data) // alone: it may wait for long, and what it came in is large
	for range count {
		if s := l.session(numbers.number()); s != nil {
			s.Send(frame, key)
		}
	}
	return nil
}

// relayLeft forgets a room that the session is not in: it has left, was not let in, or was put out.
func (s *Session) relayLeft(l *edgeLink, room wire.RoomID, joins uint64, why wire.RemovedReason) {
	s.mu.Lock()
	known := false
	if s.relay != nil {
		before := len(s.relay.rooms)
		s.relay.rooms = slices.DeleteFunc(s.relay.rooms, func(r relayedRoom) bool {
			return r.room == room && r.seat.link == l && r.joins == joins
		})
		known = len(s.relay.rooms) < before
	}
	last := len(s.members)+s.relayed() == 0
	s.mu.Unlock()
	if known && last {
		s.finishRemoved(why)
	}
}

// moved looks for a room's owner again: it is not the node that was asked.
func (l *edgeLink) moved(s *Session, line []byte) {
	env, err := wire.DecodeEnvelope(line)
	if err != nil {
		return // it is our own line
	}
	l.peers.nodes.Disown(env.Room, l.node)
	l.peers.server.spawn(func() {
		if err := l.peers.server.mux.dispatch(l.peers.server.lifetime, s, env); err != nil {
			s.fail(env, err)
		}
	})
}

// Ended implements rooms.LinkEnd: the clients that used the link come back and resume.
func (l *edgeLink) Ended(err error) {
	l.out.end()
	l.peers.forget(l)
	l.mu.Lock()
	sessions := l.sessions
	l.sessions, l.over = nil, true
	l.mu.Unlock()
	l.peers.server.log.Info("link to a node ended", "node", string(l.node), "sessions", len(sessions), "reason", err)
	for _, s := range sessions {
		if s.usesLink(l) {
			s.finish(wire.CloseTooSlow, "the room moves to another node; resume")
		}
	}
}

// usesLink forgets the session's place on a link that is over, and reports whether it has a room there.
func (s *Session) usesLink(l *edgeLink) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay == nil {
		return false
	}
	s.relay.seats = slices.DeleteFunc(s.relay.seats, func(t relaySeat) bool { return t.link == l })
	return slices.ContainsFunc(s.relay.rooms, func(r relayedRoom) bool { return r.seat.link == l })
}
