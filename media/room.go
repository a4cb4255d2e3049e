package media

import (
	"slices"
	"sync"

	"confab/media/plane"
	"confab/signaling/wire"
)

// A trackKey names what is published: a participant sends each source once.
type trackKey struct {
	participant wire.ParticipantID
	source      wire.Source
}

// A room is the set of peers that hear each other and of what they publish. It decides nothing: it tells its peers
// that something has changed, and each works out from tracks what it has to send. Its methods may be called
// concurrently.
type room struct {
	id    wire.RoomID  // constant
	shard *plane.Shard // constant once a peer is in; nil = pion moves all media

	scratch  *scratch // guarded by the shard
	compound []byte   // guarded by the shard: the RTCP that is being sent

	listener listener

	mu        sync.Mutex
	peers     map[wire.ParticipantID]*Peer // guarded by mu
	published []*ingress                   // guarded by mu; in order of publication
	inside    int                          // guarded by mu: of them, Microphones, which keep the room as peers do
}

func newRoom(id wire.RoomID) *room {
	return &room{id: id, scratch: newScratch(), peers: map[wire.ParticipantID]*Peer{}}
}

func (r *room) peer(id wire.ParticipantID) *Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[id]
}

func (r *room) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

func (r *room) all() []*Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	peers := make([]*Peer, 0, len(r.peers))
	for _, p := range r.peers {
		peers = append(peers, p)
	}
	return peers
}

func (r *room) enter(p *Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p.id] = p
	p.lookAgain()
}

// leave takes p and what it publishes out and returns how many keep the room.
func (r *room) leave(p *Peer) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p.id)
	r.published = slices.DeleteFunc(r.published, func(in *ingress) bool { return in.peer == p })
	r.changedLocked()
	return len(r.peers) + r.inside
}

// publish makes a track available to the others, if it is not yet.
func (r *room) publish(in *ingress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.published, in) {
		return
	}
	r.published = append(r.published, in)
	r.changedLocked()
}

func (r *room) unpublish(in *ingress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.published)
	r.published = slices.DeleteFunc(r.published, func(other *ingress) bool { return other == in })
	if len(r.published) != before {
		r.changedLocked()
	}
}

// tracks returns what p may receive, oldest first.
func (r *room) tracks(p *Peer) []*ingress {
	r.mu.Lock()
	defer r.mu.Unlock()
	others := make([]*ingress, 0, len(r.published))
	for _, in := range r.published {
		if in.peer != p {
			others = append(others, in)
		}
	}
	return others
}

func (r *room) changedLocked() {
	for _, p := range r.peers {
		p.lookAgain()
	}
}
