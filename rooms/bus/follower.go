package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

// Bounds of what a follower, or a feed that waits for its tail, holds back. Beyond them everything held is
// dropped and read from the log instead.
const (
	maxHeld      = 1024
	maxHeldBytes = 4 << 20
	seatPause    = 10 * time.Millisecond // before a tail that did not fit is read again
)

// What a follower does with a record that comes.
const (
	waiting  = iota // for its first tail: holds it
	flowing         // delivers it
	doubting        // a connection was lost, the epoch is not verified: holds it
	broken          // there is a gap before it: holds it
)

// An arrival is a record as it was republished or confirmed.
type arrival struct {
	record rooms.Record
	prev   wire.Seq // the record before it in the timeline; 0 = unknown
	next   bool     // what came before it in the timeline is known to have arrived, or the follower to be told of the gap
}

// A follower keeps the feeds of one timeline up to the log.
type follower struct {
	// Set by newFollower, then constant.
	bus      *Bus
	shard    *shard
	part     *partition
	at       place
	timeline rooms.Timeline

	users int // Guarded by shard.mu.

	// Guarded by keeper.mu.
	due   time.Time
	index int  // in the keeper's heap, -1 = being worked on or ended
	again bool // due at once when the work is done
	ended bool

	mu sync.Mutex
	// Guarded by mu.
	sub       *nats.Subscription // nil also where nothing is republished
	hears     bool               // of every record that comes
	reading   *tailRead
	feeds     []*subscriber
	state     int
	epoch     string
	last      wire.Seq // newest record delivered, or in the tail
	floor     wire.Seq // everything up to here is delivered or is not of this timeline
	held      []arrival
	heldBytes int
	dropped   bool     // something was not held: only the log has it
	suspect   wire.Seq // the log has this one, which did not come yet
	resets    uint64
	over      bool
}

func newFollower(s *shard, at place, t rooms.Timeline) *follower {
	return &follower{bus: s.bus, shard: s, part: s.bus.parts[at.partition], at: at, timeline: t, index: -1}
}

// receive takes a record from the shard.
func (f *follower) receive(a arrival) {
	f.part.saw(uint64(a.record.Seq))
	f.mu.Lock()
	f.take(a)
	f.mu.Unlock()
}

// miss is told that something may have been stored of which nothing was heard.
func (f *follower) miss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == flowing {
		f.state = broken
		f.bus.keeper.soon(f)
		return
	}
	f.held, f.heldBytes, f.dropped = nil, 0, true // and so it is read once more before it flows
}

// wake lets the feeds act on what they have been given. mu must not be held: they may come back to the bus.
func (f *follower) wake() {
	var some [4]rooms.Feed
	feeds := some[:0]
	f.mu.Lock()
	for _, s := range f.feeds {
		if !s.stopped.Load() {
			feeds = append(feeds, s.feed)
		}
	}
	f.mu.Unlock()
	for _, feed := range feeds {
		feed.Wake()
	}
}

// take delivers an arrival, holds it or drops it as known. mu is held.
func (f *follower) take(a arrival) {
	switch {
	case f.state != flowing:
		f.hold(a)
	case a.record.Seq <= f.last:
	case a.prev > f.last:
		f.state = broken
		f.hold(a)
		f.bus.keeper.soon(f)
	default:
		// prev below last: the record before was erased. 0: there was none in the log, so none is missing.
		if a.prev != 0 || a.next {
			a.record.Prev = f.last
		}
		f.deliver(a.record)
	}
}

// hold keeps an arrival for later. mu is held.
func (f *follower) hold(a arrival) {
	if f.dropped {
		return
	}
	if len(f.held) >= maxHeld || f.heldBytes+len(a.record.Payload) > maxHeldBytes {
		f.held, f.heldBytes, f.dropped = nil, 0, true
		return
	}
	f.held = append(f.held, a)
	f.heldBytes += len(a.record.Payload)
}

// deliver hands a record to every feed that has not heard of it. mu is held.
func (f *follower) deliver(record rooms.Record) {
	f.last = record.Seq
	f.floor = max(f.floor, record.Seq)
	for _, s := range f.feeds {
		switch {
		case s.stopped.Load():
		case s.live:
			if record.Seq > s.last {
				s.last = record.Seq
				s.feed.Record(record)
			}
		case len(s.early) < maxHeld:
			s.early = append(s.early, record)
		default:
			s.early, s.missed = nil, true
		}
	}
}

// flow delivers from now on, beginning with what was held. mu is held.
func (f *follower) flow() {
	held, dropped := f.held, f.dropped
	f.held, f.heldBytes, f.dropped = nil, 0, false
	f.state = flowing
	if dropped {
		f.state = broken
		f.bus.keeper.soon(f)
	}
	for _, a := range held {
		f.take(a)
	}
}

// doubt holds what comes until check has verified the partition.
func (f *follower) doubt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == flowing || f.state == broken {
		f.state = doubting
	}
}

// A tailRead is one reading of a timeline's tail, for all who wait for it.
type tailRead struct {
	done  chan struct{} // closed when the others are set
	tail  rooms.Tail
	links uint64 // Bus.links before it was read
	err   error
}

// join adds a feed: it begins to collect records, reads the tail, and then hears what was collected and is not
// in the tail. Reading after the subscription stands, and dropping by sequence, closes the race between the two.
func (f *follower) join(ctx context.Context, s *subscriber) (rooms.Tail, error) {
	f.mu.Lock()
	f.feeds = append(f.feeds, s)
	f.mu.Unlock()
	for {
		f.mu.Lock()
		s.early, s.missed, s.resets = nil, false, f.resets
		base := f.last
		read, mine := f.reading, false
		if read == nil {
			read, mine = &tailRead{done: make(chan struct{})}, true
			f.reading = read
			if !f.bus.spawn(func() { f.read(read) }) {
				f.reading = nil
				f.mu.Unlock()
				return rooms.Tail{}, rooms.ErrLogClosed
			}
		}
		f.mu.Unlock()
		select {
		case <-read.done:
		case <-ctx.Done():
			return rooms.Tail{}, f.bus.gone(ctx)
		case <-f.bus.lifetime.Done():
			return rooms.Tail{}, rooms.ErrLogClosed
		}
		if read.err != nil {
			return rooms.Tail{}, read.err
		}
		if tail, ok := f.seat(s, read, mine, base); ok {
			return tail, nil
		}
		if err := sleep(ctx, seatPause); err != nil {
			return rooms.Tail{}, f.bus.gone(ctx)
		}
	}
}

// seat gives the feed its tail, unless there is a hole between the tail and what the feed collected: the
// timeline was reset meanwhile, too much came, or the read had begun before the feed was there and ends below
// what others had heard by then (base).
func (f *follower) seat(s *subscriber, read *tailRead, mine bool, base wire.Seq) (rooms.Tail, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tail := read.tail
	if f.state != waiting && f.epoch != tail.Epoch {
		f.bus.keeper.soon(f) // it resets the timeline first
		return rooms.Tail{}, false
	}
	if s.missed || s.resets != f.resets || !mine && tail.Last < base {
		return rooms.Tail{}, false
	}
	s.live, s.last = true, tail.Last
	for _, record := range s.early {
		if record.Seq > s.last && !s.stopped.Load() {
			s.last = record.Seq
			s.feed.Record(record)
		}
	}
	s.early = nil
	if f.state == waiting {
		f.epoch, f.last = tail.Epoch, tail.Last
		f.floor = max(f.floor, tail.Last)
		if f.state = doubting; f.bus.links.Load() == read.links {
			f.flow()
		}
		f.bus.keeper.add(f)
	}
	tail.Records = slices.Clone(tail.Records)
	return tail, true
}

// read runs one reading of the tail for all who wait for it.
func (f *follower) read(read *tailRead) {
	ctx, cancel := context.WithTimeout(f.bus.lifetime, appendPatience)
	defer cancel()
	read.links = f.bus.links.Load()
	read.tail, read.err = f.listenAndRead(ctx)
	if read.err != nil {
		switch {
		case f.bus.lifetime.Err() != nil:
			read.err = rooms.ErrLogClosed
		case !errors.Is(read.err, rooms.ErrUnavailable):
			read.err = fmt.Errorf("%w: %w", rooms.ErrUnavailable, read.err)
		}
	}
	f.mu.Lock()
	f.reading = nil
	f.mu.Unlock()
	close(read.done)
}

func (f *follower) listenAndRead(ctx context.Context) (rooms.Tail, error) {
	if err := f.bus.enter(ctx, f.bus.reads); err != nil {
		return rooms.Tail{}, err
	}
	defer func() { <-f.bus.reads }()
	var tail rooms.Tail
	never := func(error) bool { return false }
	err := f.bus.persist(ctx, appendPatience, never, func(ctx context.Context) (err error) {
		if err = f.listen(ctx); err != nil {
			return err
		}
		tail, err = f.tail(ctx)
		return err
	})
	return tail, err
}

// listen sees to it that the follower hears of every record from now on.
func (f *follower) listen(ctx context.Context) error {
	f.mu.Lock()
	hears := f.hears
	f.mu.Unlock()
	if hears {
		return nil
	}
	// Only the one reader of this follower comes here, so nobody else does so meanwhile.
	floor := f.part.last.Load()
	var sub *nats.Subscription
	if !f.bus.alone() { // otherwise the shard tells it of what is confirmed
		var err error
		if sub, err = f.subscribe(ctx); err != nil {
			return fmt.Errorf("subscribing to %s: %w", f.at.live, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		if sub != nil {
			_ = sub.Unsubscribe()
		}
		return rooms.ErrLogClosed
	}
	f.sub, f.hears = sub, true
	// What the partition had before is in every tail read after it.
	f.floor = max(f.floor, wire.Seq(floor))
	return nil
}

// subscribe makes the subscription, and waits until the server has it.
func (f *follower) subscribe(ctx context.Context) (*nats.Subscription, error) {
	sub, err := f.bus.subscribe.ChanSubscribe(f.at.live, f.shard.live)
	if err != nil {
		return nil, err
	}
	flush, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := f.bus.subscribe.FlushWithContext(flush); err != nil {
		_ = sub.Unsubscribe() // the connection is at fault, and forgets it or repeats both
		return nil, err
	}
	return sub, nil
}

// tail reads what the timeline holds, within one epoch. The caller holds a place in Bus.reads.
func (f *follower) tail(ctx context.Context) (rooms.Tail, error) {
	if err := f.part.verified(ctx); err != nil {
		return rooms.Tail{}, err
	}
	tail := rooms.Tail{Epoch: f.part.currentEpoch()}
	records, err := f.bus.currentFrom(ctx, f.at, 1)
	if err != nil {
		return rooms.Tail{}, err
	}
	if f.part.currentEpoch() != tail.Epoch {
		return rooms.Tail{}, fmt.Errorf("reading %s: the epoch changed meanwhile", f.at.subject)
	}
	if keep := f.bus.opts.perTimeline(); len(records) > keep {
		records = slices.Delete(records, 0, len(records)-keep) // appended to while it was read
		records[0].Prev = 0
	}
	tail.Records = records
	if n := len(records); n > 0 {
		tail.Last = records[n-1].Seq
	}
	return tail, nil
}

// forget drops the feeds that have stopped.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = slices.DeleteFunc(f.feeds, func(s *subscriber) bool { return s.stopped.Load() })
}

// end leaves the timeline: nobody uses it any more.
func (f *follower) end() {
	f.mu.Lock()
	sub := f.sub
	f.sub, f.over, f.feeds, f.held = nil, true, nil, nil
	f.mu.Unlock()
	if sub != nil {
		_ = sub.Unsubscribe() // fails only when the connection is closed, which ends it as well
	}
}
