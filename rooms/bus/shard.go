package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	shardCount = 4
	// shardQueue is the number of republished records that wait for a shard. When it is full NATS drops the
	// newest and says so once; the followers find the gap and read it from the log.
	shardQueue = 8192
)

// A shard delivers to a part of the open timelines, on one goroutine.
type shard struct {
	// Set by newShard, then constant.
	bus  *Bus
	live chan *nats.Msg // written by NATS, never closed

	mu sync.Mutex
	// Guarded by mu.
	followers map[string]*follower // by live subject
	open      map[rooms.Timeline]*follower
}

func newShard(b *Bus) *shard {
	return &shard{bus: b, live: make(chan *nats.Msg, shardQueue), followers: make(map[string]*follower), open: make(map[rooms.Timeline]*follower)}
}

// shardOf is the shard of a timeline. All rooms of a partition share one.
func (b *Bus) shardOf(at place) *shard { return b.shards[at.partition%shardCount] }

// run delivers until the bus ends.
func (s *shard) run() {
	for {
		select {
		case <-s.bus.lifetime.Done():
			return
		case msg := <-s.live:
			s.mu.Lock()
			f := s.followers[msg.Subject]
			s.mu.Unlock()
			if f == nil {
				continue // closed a moment ago
			}
			record, prev, err := recordOf(msg)
			if err != nil {
				s.bus.log.Warn("a republished record cannot be read", "err", err)
				continue
			}
			f.receive(record, prev)
			s.bus.appender.echoed(first(msg.Header, nats.MsgIdHdr), record.Seq)
			f.wake()
		}
	}
}

// follow gives the follower of a timeline, made if it has none, with one more user.
func (s *shard) follow(at place, t rooms.Timeline) *follower {
	live := at.live()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.followers[live]
	if f == nil {
		f = newFollower(s, at, live, t)
		s.followers[live], s.open[t] = f, f
	}
	f.users++
	return f
}

// find is locate for a timeline that may be open here: then it has been located, and what is stored there comes back to
// this process.
func (b *Bus) find(t rooms.Timeline) (at place, open bool, err error) {
	s := b.shards[partitionOf(t.Room)%shardCount]
	s.mu.Lock()
	f := s.open[t]
	s.mu.Unlock()
	if f != nil {
		return f.at, true, nil
	}
	at, err = locate(t)
	return at, false, err
}

// leave takes a user away; the last one ends the follower.
func (s *shard) leave(f *follower) {
	s.mu.Lock()
	f.users--
	last := f.users == 0
	if last {
		delete(s.followers, f.live)
		delete(s.open, f.timeline)
	}
	s.mu.Unlock()
	if last {
		s.bus.keeper.remove(f)
		f.end()
	}
}

// all is a list of the followers at this moment.
func (b *Bus) all() []*follower {
	var all []*follower
	for _, s := range b.shards {
		s.mu.Lock()
		all = slices.Grow(all, len(s.followers))
		for _, f := range s.followers {
			all = append(all, f)
		}
		s.mu.Unlock()
	}
	return all
}

// doubtAll makes every follower hold what comes until its partition has been verified.
func (b *Bus) doubtAll() {
	for _, f := range b.all() {
		f.doubt()
		b.keeper.soon(f)
	}
}

// checkAll compares every follower with the log soon.
func (b *Bus) checkAll() {
	for _, f := range b.all() {
		b.keeper.soon(f)
	}
}

// A subscriber is one feed of a follower.
type subscriber struct {
	// Set by Open, then constant.
	feed rooms.Feed

	stopped atomic.Bool

	// Guarded by follower.mu.
	live   bool           // has its tail; until then records wait in early
	last   wire.Seq       // what the feed has heard of
	resets uint64         // follower.resets when the feed began to wait
	early  []rooms.Record // at most maxHeld
	missed bool           // early was full
}

// Open reads the tail of a timeline and follows it; see rooms.Log. A record may reach the feed before Open has
// returned. After stop has returned no call of the feed begins; one that had begun may still be running. stop
// does not block and may be called from within the feed.
func (b *Bus) Open(ctx context.Context, t rooms.Timeline, feed rooms.Feed) (rooms.Tail, func(), error) {
	at, err := locate(t)
	if err != nil {
		return rooms.Tail{}, nil, err
	}
	if b.closing.Load() {
		return rooms.Tail{}, nil, rooms.ErrLogClosed
	}
	s := b.shardOf(at)
	f := s.follow(at, t)
	sub := &subscriber{feed: feed}
	tail, err := f.join(ctx, sub)
	if err != nil {
		sub.stopped.Store(true)
		b.keeper.leave(f)
		return rooms.Tail{}, nil, fmt.Errorf("opening %s: %w", at.subject, err)
	}
	feed.Wake()
	stop := func() {
		if !sub.stopped.Swap(true) {
			b.keeper.leave(f)
		}
	}
	return tail, stop, nil
}
