package signaling

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

const indexShards = 64

// An index finds sessions by id, live ones and those lost a short while ago, and by user. It may be used from any
// goroutine.
type index struct {
	seed   maphash.Seed
	serial atomic.Uint64 // of the last session that was given an id
	byID   [indexShards]idShard
	byUser [indexShards]userShard
}

type idShard struct {
	mu   sync.Mutex
	live map[wire.ParticipantID]*Session      // guarded by mu
	lost map[wire.ParticipantID]time.Duration // when the connection was lost, on the server's clock; guarded by mu
}

type userShard struct {
	mu    sync.Mutex
	first map[wire.UserID]*Session // guarded by mu; the others hang on Session.sibling
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range indexShards {
		x.byID[i].live = make(map[wire.ParticipantID]*Session)
		x.byID[i].lost = make(map[wire.ParticipantID]time.Duration)
		x.byUser[i].first = make(map[wire.UserID]*Session)
	}
	return x
}

func (x *index) id(id wire.ParticipantID) *idShard {
	return &x.byID[maphash.String(x.seed, string(id))%indexShards]
}

func (x *index) user(user wire.UserID) *userShard {
	return &x.byUser[maphash.String(x.seed, string(user))%indexShards]
}

// nextSerial returns the serial of a connection: larger than every other one of this process, larger than floor, and as far
// as clocks agree larger than those of other nodes before it.
func (x *index) nextSerial(floor uint64) uint64 {
	for {
		last := x.serial.Load()
		next := max(last+1, floor+1, uint64(time.Now().UnixMicro()))
		if x.serial.CompareAndSwap(last, next) {
			return next
		}
	}
}

// claim makes s the session of id if the rules of resuming allow it: the id is live or was lost less than
// wire.ReconnectWindow ago when own (the ticket is of this process), and it is not live otherwise. It returns the
// session that had the id until now, if one had.
func (x *index) claim(s *Session, id wire.ParticipantID, own bool, floor uint64, now time.Duration) (previous *Session, ok bool) {
	shard := x.id(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	previous = shard.live[id]
	at, lost := shard.lost[id]
	recent := lost && now-at < wire.ReconnectWindow
	if own && previous == nil && !recent || !own && previous != nil {
		return nil, false
	}
	delete(shard.lost, id)
	shard.live[id] = s
	s.serial = x.nextSerial(floor) // under mu: who claims an id later has the larger one
	return previous, true
}

// yield gives an id up to another node, if it is the user's. It returns the live session that had it; known says that it
// was live or could still be resumed here.
func (x *index) yield(id wire.ParticipantID, user wire.UserID, now time.Duration) (previous *Session, known bool) {
	shard := x.id(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if s := shard.live[id]; s != nil {
		if s.user() != user {
			return nil, true
		}
		delete(shard.live, id)
		return s, true
	}
	at, lost := shard.lost[id]
	delete(shard.lost, id)
	return nil, lost && now-at < wire.ReconnectWindow
}

// add enters a session with a new id.
func (x *index) add(s *Session, id wire.ParticipantID) {
	shard := x.id(id)
	shard.mu.Lock()
	shard.live[id] = s
	s.serial = x.nextSerial(0)
	shard.mu.Unlock()
}

// find returns the live session of an id, nil when there is none.
func (x *index) find(id wire.ParticipantID) *Session {
	shard := x.id(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.live[id]
}

// remove takes s out; keep says that its id may be resumed for a while. It does nothing to an id that another
// session has taken over.
func (x *index) remove(s *Session, id wire.ParticipantID, keep bool, now time.Duration) {
	shard := x.id(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.live[id] != s {
		return
	}
	delete(shard.live, id)
	if keep {
		shard.lost[id] = now
	}
}

// forget drops the ids that can no longer be resumed.
func (x *index) forget(now time.Duration) {
	for i := range x.byID {
		shard := &x.byID[i]
		shard.mu.Lock()
		for id, at := range shard.lost {
			if now-at >= wire.ReconnectWindow {
				delete(shard.lost, id)
			}
		}
		shard.mu.Unlock()
	}
}

// addUser enters s under its user.
func (x *index) addUser(s *Session, user wire.UserID) {
	shard := x.user(user)
	shard.mu.Lock()
	s.sibling, shard.first[user] = shard.first[user], s
	shard.mu.Unlock()
}

// removeUser takes s out.
func (x *index) removeUser(s *Session, user wire.UserID) {
	shard := x.user(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	first := shard.first[user]
	switch {
	case first == s && s.sibling == nil:
		delete(shard.first, user)
	case first == s:
		shard.first[user] = s.sibling
	default:
		for at := first; at != nil; at = at.sibling {
			if at.sibling == s {
				at.sibling = s.sibling
				break
			}
		}
	}
	s.sibling = nil
}

// ofUser returns the live sessions of a user.
func (x *index) ofUser(user wire.UserID) []*Session {
	shard := x.user(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	var all []*Session
	for s := shard.first[user]; s != nil; s = s.sibling {
		all = append(all, s)
	}
	return all
}
