package rooms

import "confab/signaling/wire"

// A Watch is the hold of somebody who receives the media of one participant and is seen by nobody. As long as it
// lasts, the room's media goes by the SFU.
type Watch struct {
	// Set by Registry.Watch, then constant.
	Identity
	of   wire.ParticipantID
	room *Room
	gone chan struct{} // closed by the room, or by Watch when there is no room
}

// Watch asks a room for a hold on what of sends. It returns at once; on success answer gets wire.Ack. Errors:
// not-found (no such participant in a room of this process, or no SFU), forbidden and room-locked as for who joins.
func (g *Registry) Watch(id Identity, room wire.RoomID, of wire.ParticipantID, answer Answer) *Watch {
	w := &Watch{Identity: id, of: of, gone: make(chan struct{})}
	g.mu.Lock()
	w.room = g.rooms[room]
	if w.room != nil {
		w.room.refs++
	}
	g.mu.Unlock()
	if w.room == nil || g.opts.SFU == nil {
		w.refuse(answer, errNobody())
		return w
	}
	w.room.post(func(body wire.ServerMessage, err error) { w.refuse(answer, err) }, func() { w.room.watch(w, answer) })
	return w
}

func errNobody() error {
	return wire.Errorf(wire.CodeNotFound, "there is no such participant in this room")
}

// refuse ends a watch that has not begun.
func (w *Watch) refuse(answer Answer, err error) {
	if w.room != nil {
		w.room.registry.release(w.room)
	}
	close(w.gone)
	answer(nil, err)
}

// Gone is closed when the participant, or the watcher by a moderator's word, is out of the room.
func (w *Watch) Gone() <-chan struct{} { return w.gone }

// Leave gives the hold back. It may be called more than once, and at any time.
func (w *Watch) Leave() {
	if w.room != nil {
		w.room.post(noAnswer, func() { w.room.unwatch(w) })
	}
}

// watch lets w in or says why not.
func (r *Room) watch(w *Watch, answer Answer) {
	if r.members[w.of] == nil {
		w.refuse(answer, errNobody())
		return
	}
	if err := r.mayEnter(&Member{Identity: w.Identity, room: r}); err != nil {
		w.refuse(answer, err)
		return
	}
	if r.watches == nil {
		r.watches = map[*Watch]bool{}
	}
	r.watches[w] = true
	r.updateMode()
	answer(wire.Ack{}, nil)
}

// unwatch ends w, if it has not ended.
func (r *Room) unwatch(w *Watch) {
	if !r.watches[w] {
		return
	}
	delete(r.watches, w)
	close(w.gone)
	r.updateMode()
	r.registry.release(r)
}

// unwatchIf ends the watches that match.
func (r *Room) unwatchIf(match func(*Watch) bool) {
	for w := range r.watches {
		if match(w) {
			r.unwatch(w)
		}
	}
}
