package bus

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstCheck   = 250 * time.Millisecond // after Open: covers a replica that was behind and interest that came late
	suspectPause = 200 * time.Millisecond // for a record that the log has and that may be on its way
	checkRetry   = time.Second            // after a check that failed
	checkMin     = 10 * time.Second
	checkMax     = 30 * time.Second
)

// A keeper compares every follower with the log, each in its own time, and lets a few workers do it.
type keeper struct {
	// Set by newKeeper, then constant.
	bus  *Bus
	wake chan struct{}  // a value: the heap or leaving has changed
	jobs chan *follower // never closed

	mu sync.Mutex
	// Guarded by mu.
	byDue   dueHeap
	leaving []*follower
}

func newKeeper(b *Bus) *keeper {
	return &keeper{bus: b, wake: make(chan struct{}, 1), jobs: make(chan *follower)}
}

// add begins to check a follower.
func (k *keeper) add(f *follower) { k.schedule(f, firstCheck) }

// soon checks a follower as soon as a worker is free. It does not block and may be called with follower.mu held.
func (k *keeper) soon(f *follower) {
	k.mu.Lock()
	f.again = true
	if f.index >= 0 {
		f.due = time.Now()
		heap.Fix(&k.byDue, f.index)
	}
	k.mu.Unlock()
	poke(k.wake)
}

// leave takes one user of a follower away. It does not block and may be called from within a feed.
func (k *keeper) leave(f *follower) {
	k.mu.Lock()
	k.leaving = append(k.leaving, f)
	k.mu.Unlock()
	poke(k.wake)
}

// schedule puts a follower into the heap, due after pause, or at once when somebody asked meanwhile.
func (k *keeper) schedule(f *follower, pause time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.ended || f.index >= 0 {
		return
	}
	if f.again {
		pause = min(pause, checkRetry/20) // not zero: what it asks for may fail for a while
	}
	f.again = false
	f.due = time.Now().Add(pause)
	heap.Push(&k.byDue, f)
	poke(k.wake)
}

// run hands out what is due until the bus ends.
func (k *keeper) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, wait := k.next(time.Now())
		if next != nil {
			select {
			case k.jobs <- next:
				continue
			case <-k.bus.lifetime.Done():
				return
			}
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-k.wake:
		case <-k.bus.lifetime.Done():
			return
		}
	}
}

// next lets go of the followers that were left, and gives one that is due or how long to wait for it.
func (k *keeper) next(now time.Time) (*follower, time.Duration) {
	k.mu.Lock()
	leaving := k.leaving
	k.leaving = nil
	k.mu.Unlock()
	for _, f := range leaving {
		f.forget()
		f.shard.leave(f)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.byDue) == 0 {
		return nil, time.Hour
	}
	f := k.byDue[0]
	if wait := f.due.Sub(now); wait > 0 {
		return nil, wait
	}
	heap.Pop(&k.byDue)
	f.again = false
	return f, 0
}

// remove ends the checks of a follower.
func (k *keeper) remove(f *follower) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.ended = true
	if f.index >= 0 {
		heap.Remove(&k.byDue, f.index)
	}
}

// work checks followers until the bus ends.
func (k *keeper) work() {
	for {
		select {
		case <-k.bus.lifetime.Done():
			return
		case f := <-k.jobs:
			ctx, cancel := context.WithTimeout(k.bus.lifetime, appendPatience)
			pause, err := f.check(ctx)
			cancel()
			f.wake()
			if err != nil {
				if k.bus.lifetime.Err() == nil {
					k.bus.log.Debug("a timeline was not compared with the log; it is tried again", "timeline", f.at.subject, "err", err)
				}
				pause = checkRetry
			}
			k.schedule(f, pause)
		}
	}
}

// nextCheck is when a follower that is up to date is looked at again.
func nextCheck() time.Duration { return checkMin + rand.N(checkMax-checkMin) }

// A dueHeap has the follower that is due first on top (container/heap).
type dueHeap []*follower

// Len, Less, Swap, Push and Pop are what container/heap asks for.
func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	f := x.(*follower)
	f.index = len(*h)
	*h = append(*h, f)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	f.index = -1
	return f
}
