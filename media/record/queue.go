package record

import (
	"sync"
	"time"
)

// An item is what waits for a recording's goroutine: a packet of a track, or something to do.
type item struct {
	writer  *TrackWriter
	packet  []byte
	arrival time.Time
	do      func() error // nil for a packet
}

const itemBytes = 128 // what an item counts beside its packet

// A queue holds items in order. put may be called from any goroutine, take from one.
type queue struct {
	limit int           // bytes, constant
	ready chan struct{} // holds one token while there may be items

	mu     sync.Mutex
	items  []item // guarded by mu
	bytes  int    // guarded by mu
	closed bool   // guarded by mu: nothing more is taken in
}

func newQueue(limit int) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// put appends an item and returns whether there was room. It never blocks. A closed queue takes nothing and says
// that it had room.
func (q *queue) put(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	size := itemBytes + len(it.packet)
	if q.bytes+size > q.limit {
		return false
	}
	q.items = append(q.items, it)
	q.bytes += size
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// take returns all items, in the place of the given empty ones, whose memory it reuses.
func (q *queue) take(empty []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = empty[:0], 0
	return items
}

// close has put take nothing more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
