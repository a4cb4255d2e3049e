package signaling

import (
	"runtime"
	"sync"
)

const (
	// A larger frame is written by a goroutine of its own: it seldom fits into what the socket takes at once, and its
	// copying would keep others waiting.
	maxFlush = 16 << 10

	flushChunk = 32 // frames that a writer takes at a time; with more than that for each, another joins
	flushTurns = 4  // writes to one session before it is the others' turn
)

// A flusher writes for all sessions. A goroutine for each write would be a quarter of its cost: most frames are
// short and fit into the socket's buffer, so that a few goroutines can write them one after another without waiting.
// What does not fit is handed to a goroutine of the session (Session.write), so that nobody waits for a slow client.
//
// What it holds is bounded by the sessions: each is in it at most once, because its outbox lets one writer begin.
type flusher struct {
	max     int            // writers, constant
	writers sync.WaitGroup // close waits for them
	wake    sync.Cond      // on mu: an idle writer is wanted, or all are, to end

	mu     sync.Mutex
	queue  []due // guarded by mu
	head   int   // items before it are taken; guarded by mu
	active int   // writers that are at work or woken; guarded by mu
	idle   int   // writers that wait; guarded by mu
	closed bool  // nothing is taken any more; guarded by mu
}

// due is a session and the frame to write to it; nil = what has gathered in its outbox.
type due struct {
	session *Session
	frame   []byte
}

func newFlusher() *flusher {
	f := &flusher{max: runtime.GOMAXPROCS(0)}
	f.wake.L = &f.mu
	return f
}

// add begins to write frame to s and then what has gathered in its outbox. It does not block. The outbox must have
// said that s has no writer.
func (f *flusher) add(s *Session, frame []byte) {
	if s.raw == nil || len(frame) > maxFlush || !f.push(due{s, frame}) {
		go s.write(frame, batches.Get().(*batch)) // ended waits for it
	}
}

// push reports false when the flusher is closed.
func (f *flusher) push(d due) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if f.head > flushChunk && f.head > len(f.queue)/2 {
		n := copy(f.queue, f.queue[f.head:])
		clear(f.queue[n:])
		f.queue, f.head = f.queue[:n], 0
	}
	f.queue = append(f.queue, d)
	if f.active == 0 || f.active < f.max && len(f.queue)-f.head > f.active*flushChunk {
		f.active++
		if f.idle > 0 {
			f.idle--
			f.wake.Signal()
		} else {
			f.writers.Go(f.run)
		}
	}
	return true
}

// close ends the writers when they have written what they were given, and waits for them.
func (f *flusher) close() {
	f.mu.Lock()
	f.closed = true
	f.wake.Broadcast()
	f.mu.Unlock()
	f.writers.Wait()
}

// run is a writer.
func (f *flusher) run() {
	var mine [flushChunk]due
	b := batches.Get().(*batch)
	for {
		n := f.take(mine[:])
		if n == 0 {
			b.release()
			return
		}
		for i, d := range mine[:n] {
			b = f.write(d, b)
			mine[i] = due{}
		}
	}
}

// take waits for something to do. It returns 0 when the writer must end.
func (f *flusher) take(into []due) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.head == len(f.queue) {
		if f.closed {
			return 0
		}
		f.active--
		f.idle++
		f.wake.Wait() // who wakes it counts it
	}
	n := copy(into, f.queue[f.head:])
	clear(f.queue[f.head : f.head+n])
	f.head += n
	if f.head == len(f.queue) {
		f.queue, f.head = f.queue[:0], 0
	}
	return n
}

// write writes what is due, without waiting for the client. It returns a batch for the next one: b may be given away.
func (f *flusher) write(d due, b *batch) *batch {
	s, frame := d.session, d.frame
	for range flushTurns {
		if frame == nil {
			if !s.out.take(b) {
				return b
			}
			frame = b.frame()
		}
		if len(frame) > maxFlush || !s.raw.try() {
			go s.write(frame, b) // ended waits for it
			return batches.Get().(*batch)
		}
		s.writes.Add(1)
		err := s.conn.write(frame)
		if s.raw.done() {
			go s.writeSpill(err) // ended waits for it
			return b
		}
		s.writes.Add(1)
		if err != nil {
			s.cut()
		}
		frame = nil
	}
	if !f.push(due{session: s}) {
		go s.writeGathered(batches.Get().(*batch)) // ended waits for it
	}
	return b
}
