package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	shardCount = 4
	// shardQueue is the number of republished records, or of confirmations, that wait for a shard. When it is full NATS
	// drops the newest and says so once; the followers find the gap and read it from the log.
	shardQueue = 8192
)

// A shard delivers to a part of the open timelines, on one goroutine.
type shard struct {
	// Set by newShard, then constant.
	bus    *Bus
	number int
	// One of these is nil. Both are written by NATS and never closed.
	acks chan *nats.Msg // confirmations, where nobody else writes: they tell of every record
	live chan *nats.Msg // republished records

	mu sync.Mutex
	// Guarded by mu.
	followers map[string]*follower // by live subject
	open      map[rooms.Timeline]*follower
}

func newShard(b *Bus, number int) *shard {
	s := &shard{bus: b, number: number, followers: make(map[string]*follower), open: make(map[rooms.Timeline]*follower)}
	if b.alone() {
		s.acks = make(chan *nats.Msg, shardQueue)
	} else {
		s.live = make(chan *nats.Msg, shardQueue)
	}
	return s
}

// shard is the number of a place's shard. All rooms of a partition share one.
func (p place) shard() int { return p.partition % shardCount }

// shardOf is the shard of a timeline.
func (b *Bus) shardOf(at place) *shard { return b.shards[at.shard()] }

// run delivers until the bus ends.
func (s *shard) run() {
	for {
		select {
		case <-s.bus.lifetime.Done():
			return
		case msg := <-s.acks:
			s.confirm(msg)
		case msg := <-s.live:
			s.hear(msg)
		}
	}
}

// hear delivers a republished record.
func (s *shard) hear(msg *nats.Msg) {
	f := s.follower(msg.Subject)
	if f == nil {
		return // closed a moment ago
	}
	record, prev, err := recordOf(msg)
	if err != nil {
		s.bus.log.Warn("a republished record cannot be read", "err", err)
		return
	}
	f.receive(arrival{record: record, prev: prev})
	s.bus.appender.echoed(first(msg.Header, nats.MsgIdHdr), record.Seq)
	f.wake()
}

// follower is that of a timeline, by its live subject; nil when it is not open.
func (s *shard) follower(live string) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followers[live]
}

// confirm settles the append that msg answers, or notes why NATS refused it. Where nobody else writes it also delivers the
// record.
func (s *shard) confirm(msg *nats.Msg) {
	ack, err := parseAck(msg)
	p, due := s.bus.appender.answered(s.number, msg.Subject, err)
	if p == nil || err != nil {
		return
	}
	s.bus.parts[p.place.partition].saw(uint64(ack.Seq))
	if due {
		s.bus.stored(p)
		p.done(ack, nil)
	}
	if s.bus.alone() {
		s.deliver(p, ack)
	}
}

// deliver hands on the record of an append that was confirmed. Nobody else writes to the partition, and it gives each
// record the next sequence: one of which nothing was heard leaves a gap. Which timeline it belongs to is not known then,
// so each of the partition looks.
func (s *shard) deliver(p *pendingAppend, ack rooms.Appended) {
	part := s.bus.parts[p.place.partition]
	if ack.Duplicate && uint64(ack.Seq) <= part.heard {
		return
	}
	if ack.Duplicate || uint64(ack.Seq) != part.heard+1 {
		s.suspect(part)
	}
	part.heard = uint64(ack.Seq)
	if f := s.follower(p.place.live); f != nil && !ack.Duplicate {
		taken := time.UnixMilli(p.since.UnixMilli()) // as the header has it
		f.receive(arrival{record: rooms.Record{Seq: ack.Seq, Time: taken, ID: unescapeID(p.id), Payload: p.payload}, next: true})
		f.wake()
	}
}

// suspect has every open timeline of a partition read from the log what it may have missed.
func (s *shard) suspect(part *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.followers {
		if f.part == part {
			f.miss()
		}
	}
}

// follow gives the follower of a timeline, made if it has none, with one more user.
func (s *shard) follow(at place, t rooms.Timeline) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.followers[at.live]
	if f == nil {
		f = newFollower(s, at, t)
		s.followers[at.live], s.open[t] = f, f
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
		delete(s.followers, f.at.live)
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
