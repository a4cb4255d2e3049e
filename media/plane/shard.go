package plane

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
)

// A Shard is a share of the transports, such as all of some rooms: those of one shard forward to each other. It has
// one lock for all of their media. Its methods may be called concurrently.
type Shard struct {
	plane *Plane // constant
	index int    // constant

	mu      sync.Mutex
	writer  Writer     // guarded by mu
	stats   Stats      // guarded by mu
	scratch []byte     // guarded by mu; the packet that is being received, decrypted
	header  rtp.Header // guarded by mu; of that
}

func newShard(p *Plane, index int) *Shard {
	s := &Shard{plane: p, index: index, scratch: make([]byte, maxDatagram)}
	s.writer = Writer{shard: s, arena: make([]byte, arenaSize)}
	return s
}

// Do calls f with the shard locked and sends what it has written. f must not block and not call the Plane, the Shard
// or a Transport.
func (s *Shard) Do(f func(w *Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.writer)
	s.writer.finish()
}

// Queue is Do for what can wait some milliseconds: it leaves with what the shard sends next, at the latest after a
// controlTick. One datagram by itself costs as much as several more in a batch.
func (s *Shard) Queue(f func(w *Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.writer)
	s.writer.doTasks()
	if slices.ContainsFunc(s.writer.conns, func(c *Conn) bool { return !c.minded() }) {
		s.writer.flush()
	}
}

// flush sends what is queued, unless somebody has the shard, who will see to it.
func (s *Shard) flush() {
	if s.mu.TryLock() {
		s.writer.flush()
		s.mu.Unlock()
	}
}

// take handles what of a batch is for the shard, and lets go of whose it was.
func (s *Shard) take(batch []datagram, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		if d := &batch[i]; d.to != nil && d.to.shard == s {
			d.pion = d.to.receive(&s.writer, d.what, d.data, now)
			d.to = nil // the socket keeps d, perhaps until as many come at once again
		}
	}
	s.writer.finish()
}
