package signaling

import (
	"sync"

	"confab/signaling/wire"
)

// An outbox holds what one client must be sent. There is no goroutine behind it: the first frame makes a writer,
// what comes meanwhile gathers here, and the writer comes for it when its write is done (take), as one frame of at
// most wire.MaxBatchBytes, until there is nothing more. So a client that keeps up costs one write a message and
// one that is behind costs one write a batch.
//
// Order is the order of push. A frame with a key replaces a waiting one of the same key in its place. More than
// wire.MaxOutboxBytes waiting means that the client is too slow: the outbox is dead from that moment, so that
// nothing can follow what was dropped. The zero value is gated: frames wait until open.
type outbox struct {
	mu      sync.Mutex
	state   outboxState   // guarded by mu
	writing bool          // there is a writer; guarded by mu
	waiting *queue        // nil while nothing waits; guarded by mu
	drained chan struct{} // made for who waits for the writer's end, closed at it; guarded by mu
}

type outboxState uint8

const (
	outboxGated  outboxState = iota // frames wait for open
	outboxOpen                      // frames are written or wait for the writer
	outboxClosed                    // takes nothing more, but writes what it has
	outboxDead                      // holds nothing
)

// pushed is what became of a frame.
type pushed uint8

const (
	pushWaits   pushed = iota // it waits, or replaced one that waits
	pushWrite                 // the caller must start the writer with it
	pushSlow                  // it was the one too many: the outbox has just died
	pushRefused               // the outbox is closed or dead
)

// push adds a frame. counted says whether it counts against wire.MaxOutboxBytes.
func (o *outbox) push(frame []byte, key string, counted bool) pushed {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.state >= outboxClosed:
		return pushRefused
	case o.state == outboxOpen && !o.writing:
		o.writing = true
		return pushWrite
	}
	if o.waiting == nil {
		o.waiting = queues.Get().(*queue)
	}
	o.waiting.push(frame, key, counted)
	if o.waiting.bytes <= wire.MaxOutboxBytes {
		return pushWaits
	}
	o.dieLocked()
	return pushSlow
}

// open lets frames through. The caller must start the writer with the connection's first frame; it then comes for
// those that waited. It reports false when the outbox is open or closed already.
func (o *outbox) open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxGated {
		return false
	}
	o.state, o.writing = outboxOpen, true
	return true
}

// close lets nothing more in. It returns a channel that is closed when all that waits is written; nil when
// nothing is under way, or nothing will be.
func (o *outbox) close() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == outboxDead {
		return nil
	}
	if !o.writing {
		o.releaseLocked() // it was gated: what waits would come before connected
	}
	o.state = outboxClosed
	return o.writerLocked()
}

// die drops everything, for a connection that is gone. It returns a channel that is closed when the writer has
// ended; nil when there is none.
func (o *outbox) die() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dieLocked()
	return o.writerLocked()
}

func (o *outbox) dieLocked() {
	o.state = outboxDead
	o.releaseLocked()
}

// writerLocked returns what is closed when the writer ends, nil when there is none.
func (o *outbox) writerLocked() <-chan struct{} {
	if o.writing && o.drained == nil {
		o.drained = make(chan struct{})
	}
	return o.drained
}

func (o *outbox) releaseLocked() {
	if o.waiting != nil {
		o.waiting.release()
		o.waiting = nil
	}
}

// take moves the next frames, together at most wire.MaxBatchBytes unless the first alone is larger, into batch.
// It reports false when there is nothing more: the writer must end then.
func (o *outbox) take(batch *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(batch.frames) // those of the write before
	batch.frames = batch.frames[:0]
	if o.waiting == nil {
		o.writing = false
		if o.drained != nil {
			close(o.drained)
			o.drained = nil
		}
		return false
	}
	if o.waiting.take(batch) {
		o.releaseLocked()
	}
	return true
}

// A queue holds the frames that wait. It lives only while some do.
type queue struct {
	items []queued
	head  int            // items before it are taken
	bytes int            // of the items that count
	keys  map[string]int // index of the waiting item of each key; nil until there is one
}

type queued struct {
	frame   []byte
	key     string
	counted bool
}

var queues = sync.Pool{New: func() any { return new(queue) }}

func (q *queue) push(frame []byte, key string, counted bool) {
	if key != "" {
		if i, ok := q.keys[key]; ok {
			item := &q.items[i]
			if item.counted {
				q.bytes += len(frame) - len(item.frame)
			}
			item.frame = frame
			return
		}
		if q.keys == nil {
			q.keys = make(map[string]int)
		}
		q.keys[key] = len(q.items)
	}
	q.items = append(q.items, queued{frame, key, counted})
	if counted {
		q.bytes += len(frame)
	}
}

// take moves frames to batch and reports whether the queue is empty now.
func (q *queue) take(batch *batch) (empty bool) {
	size := 0
	for q.head < len(q.items) {
		item := &q.items[q.head]
		if size += len(item.frame) + 1; size > wire.MaxBatchBytes && len(batch.frames) > 0 {
			break
		}
		batch.frames = append(batch.frames, item.frame)
		if item.counted {
			q.bytes -= len(item.frame)
		}
		if item.key != "" {
			delete(q.keys, item.key)
		}
		*item = queued{}
		q.head++
	}
	if q.head == len(q.items) {
		return true
	}
	q.compact()
	return false
}

// compact moves the items to the front when more than half of the slice is taken, so that a queue that never
// becomes empty does not grow.
func (q *queue) compact() {
	if q.head < 64 || q.head < len(q.items)/2 {
		return
	}
	n := copy(q.items, q.items[q.head:])
	clear(q.items[n:])
	q.items = q.items[:n]
	for key := range q.keys {
		q.keys[key] -= q.head
	}
	q.head = 0
}

// release gives an emptied or dropped queue back for another session.
func (q *queue) release() {
	if cap(q.items) > 1024 {
		return // a burst is no reason to keep 40 KiB
	}
	clear(q.items)
	clear(q.keys)
	q.items, q.head, q.bytes = q.items[:0], 0, 0
	queues.Put(q)
}

// A batch is what one write takes, and the buffer in which several frames become one.
type batch struct {
	frames [][]byte
	buf    []byte
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// frame returns the batch as one frame: objects, one a line.
func (b *batch) frame() []byte {
	if len(b.frames) == 1 {
		return b.frames[0]
	}
	b.buf = b.buf[:0]
	for i, f := range b.frames {
		if i > 0 {
			b.buf = append(b.buf, '\n')
		}
		b.buf = append(b.buf, f...)
	}
	return b.buf
}

// release gives the batch back, after a take that found nothing.
func (b *batch) release() { batches.Put(b) }
