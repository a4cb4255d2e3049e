package signaling

import (
	"encoding/json"
	"sync"

	"confab/rooms"
	"confab/signaling/wire"
)

const maxBacklog = wire.MaxOutboxBytes // of lines that wait for a virtual session, in bytes

// An ownerLink is a link from a node whose sessions are in rooms of this one. It implements rooms.LinkEnd.
type ownerLink struct {
	// Set by newOwnerLink, then constant.
	server *Server
	out    linkOut

	in       linkIn              // owned by the link's receiver
	sessions map[uint64]*virtual // by number; owned by the link's receiver
}

// A virtual is what makes a Session of one whose connection is at another node. Its lines are handled in order: by the
// link's receiver, or while one of them takes long (a join may wait for the log) by a goroutine that ends with the
// backlog.
type virtual struct {
	// Set by open, then constant.
	link    *ownerLink
	number  uint64
	session *Session

	mu      sync.Mutex
	busy    bool                   // a goroutine is at the backlog; guarded by mu
	backlog []func()               // guarded by mu
	waiting int                    // bytes of lines in it; guarded by mu
	joins   map[wire.RoomID]uint64 // that came; guarded by mu
}

func newOwnerLink(server *Server, link rooms.Link) *ownerLink {
	l := &ownerLink{server: server, sessions: make(map[uint64]*virtual)}
	l.out.attach(link)
	return l
}

// Fill implements rooms.LinkEnd.
func (l *ownerLink) Fill(buf []byte) []byte { return l.out.Fill(buf) }

// Receive implements rooms.LinkEnd.
func (l *ownerLink) Receive(data []byte) error { return l.in.receive(data, l.take) }

// Ended implements rooms.LinkEnd: the connections are lost with the link.
func (l *ownerLink) Ended(error) {
	l.out.end()
	for _, v := range l.sessions {
		v.do(true, 0, func() { v.end(false) })
	}
	l.sessions = nil
}

// take handles one item from the edge.
func (l *ownerLink) take(kind itemKind, body *itemBody) error {
	switch kind {
	case itemOpen, itemRefresh:
		var o opening
		if err := json.Unmarshal(body.data, &o); err != nil || o.Claims == nil {
			return errLinkItem
		}
		if kind == itemOpen {
			l.open(o)
			return nil
		}
		v := l.sessions[o.Number]
		if v == nil {
			return errNoSession
		}
		v.do(false, 0, func() { v.session.takeClaims(o.Claims) })
		return nil
	case itemLine, itemLost:
	default:
		return errLinkItem
	}
	number := body.number()
	v := l.sessions[number]
	if v == nil || body.bad {
		return errNoSession
	}
	if kind == itemLine {
		v.line(body.data)
		return nil
	}
	delete(l.sessions, number)
	left := body.number() == 1
	v.do(false, 0, func() { v.end(left) })
	return nil
}

// open makes the session. It is in no index: its node finds it there.
func (l *ownerLink) open(o opening) {
	v := &virtual{link: l, number: o.Number, joins: make(map[wire.RoomID]uint64)}
	s := &Session{server: l.server, peer: &address{source: o.Source}, id: o.ID, serial: o.Serial, claims: o.Claims, virtual: v}
	s.authed.Store(true)
	v.session = s
	l.sessions[o.Number] = v
}

// line handles one line of the client.
func (v *virtual) line(line []byte) {
	env, err := wire.DecodeEnvelope(line)
	v.do(err == nil && env.Type == wire.KindJoin, len(line), func() {
		s := v.session
		if s.ending() {
			return
		}
		s.received = s.alive()
		if err == nil && env.Type == wire.KindJoin {
			v.mu.Lock()
			v.joins[env.Room]++
			v.mu.Unlock()
		}
		s.handleDecoded(env, err, line)
	})
}

// do runs fn after what waits, at once when nothing does and it is not long.
func (v *virtual) do(long bool, size int, fn func()) {
	v.mu.Lock()
	if !v.busy && !long {
		v.mu.Unlock()
		fn()
		return
	}
	if v.waiting += size; v.waiting > maxBacklog {
		v.mu.Unlock()
		v.session.finish(wire.CloseTooSlow, "too much is waiting for the room; resume")
		return
	}
	v.backlog = append(v.backlog, func() {
		fn()
		v.mu.Lock()
		v.waiting -= size
		v.mu.Unlock()
	})
	begin := !v.busy
	v.busy = true
	v.mu.Unlock()
	if begin && !v.link.server.spawn(v.work) {
		v.session.detach() // the server is going down, and its rooms with it
	}
}

// work does the backlog until nothing is left.
func (v *virtual) work() {
	for {
		v.mu.Lock()
		if len(v.backlog) == 0 {
			v.busy, v.backlog = false, nil
			v.mu.Unlock()
			return
		}
		fn := v.backlog[0]
		v.backlog = v.backlog[1:]
		v.mu.Unlock()
		fn()
	}
}

// end leaves the session's rooms, as Session.ended does.
func (v *virtual) end(left bool) {
	for _, m := range v.session.detach() {
		if left {
			m.Leave(func(wire.ServerMessage, error) {}) // nobody is there to hear the answer
		} else {
			m.Disconnect()
		}
	}
}

// moved gives a join back to the edge: the room is not this node's.
func (v *virtual) moved(env wire.Envelope) {
	line := wire.AppendEnvelope(nil, wire.Envelope{ID: env.ID, Room: env.Room, Thread: env.Thread}, env.Type, env.Data)
	v.link.out.put(itemMoved, line, v.number)
}

// left tells the edge that the session is not in a room any more, or did not come in.
func (v *virtual) left(room wire.RoomID, why wire.RemovedReason) {
	v.mu.Lock()
	joins := v.joins[room]
	v.mu.Unlock()
	v.link.out.put(itemLeft, append([]byte(room), why...), v.number, joins, uint64(len(room)))
}

// close ends the connection at the edge.
func (v *virtual) close(code wire.CloseCode, reason string) {
	v.link.out.put(itemClose, []byte(reason), v.number, uint64(code))
}
